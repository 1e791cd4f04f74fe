"""`/v1/portals/{key}/reconcile`: page by page, for operators."""

from typing import Any

import pytest

from emulator.records import Change
from tests.conformance.ledger.world import PAID
from tests.house import EmulatedPortal
from tests.integration.web.api_house import a_payment, drive, lines, streamed
from tests.integration.web.conftest import Place, refused

PAYMENTS = 120


@pytest.fixture(scope="module")
def portal(place: Place) -> EmulatedPortal:
    """A portal whose payments the ledger calls paid, and where one of them is not."""
    portal = place.house.add_portal(plan="none")
    status, _ = streamed(place.web, lines(a_payment(portal, n) for n in range(1, PAYMENTS + 1)))
    assert status == 202
    assert len(drive(portal, PAID, PAYMENTS)) == PAYMENTS
    portal.ask(lambda emulator, name: emulator.change(name, range(2, PAYMENTS + 1), Change.PAY))
    return portal


def ask(place: Place, portal: EmulatedPortal, **query: str) -> Any:
    return place.web.ask("GET", f"/v1/portals/{portal.key}/reconcile", params=query)


def test_a_comparison_goes_page_by_page(place: Place, portal: EmulatedPortal):
    """Each page has at most fifty payments and the period of the first; together they have all of them."""
    pages = [ask(place, portal, since="2026-01-01T00:00:00Z").body]
    while pages[-1]["next_cursor"]:
        pages.append(ask(place, portal, cursor=pages[-1]["next_cursor"]).body)
    compared = [page for page in pages if not page["wait_s"]]
    assert len({page["until"] for page in pages}) == 1
    assert all(sum(page["counts"].values()) <= 50 for page in compared)
    assert sum(sum(page["counts"].values()) for page in compared) == PAYMENTS
    [finding] = [each for page in pages for each in page["findings"]]
    assert (finding["kind"], finding["difference"], finding["invoice_id"]) == ("unpaid_there", True, 1)


def test_a_cursor_of_elsewhere_is_refused(place: Place, portal: EmulatedPortal):
    """Of another portal, of another period, or of nobody's making."""
    cursor = ask(place, portal).body["next_cursor"]
    other = place.house.add_portal()
    refused(ask(place, other, cursor=cursor), 422, "invalid")
    refused(ask(place, portal, cursor=cursor, since="2026-01-01T00:00:00Z"), 422, "invalid")
    refused(ask(place, portal, cursor="bm9uZQ"), 422, "invalid")
    refused(ask(place, portal, until="2020-01-01T00:00:00Z", since="2021-01-01T00:00:00Z"), 422, "invalid")


def test_what_cannot_be_read_is_told_and_not_held(place: Place, portal: EmulatedPortal):
    """The portal refuses the credential: the page says so, and the lane goes on as it was."""
    portal.change(webhooks={"1/another": {}})
    page = ask(place, portal).body
    assert (page["stopped"]["code"], page["findings"]) == ("INVALID_CREDENTIALS", [])
    assert page["next_cursor"]
    assert portal.held() is None
