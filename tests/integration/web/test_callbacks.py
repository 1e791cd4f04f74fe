"""Callbacks over HTTP: lists by state and host, page by page, and sending again."""

import pytest

from ledger.payment import Destination
from tests.conformance.ledger.world import an_ask
from tests.house import open_ledger, wait_for
from tests.integration.web.conftest import Place, refused


@pytest.fixture(scope="module")
def ended(place: Place) -> list[str]:
    """Three payments that were withdrawn, whose ends are to be told; the names of their callbacks, newest first."""

    async def withdrawn() -> list[str]:
        async with open_ledger(place.house.server.url) as (ledger, _):
            await ledger.add_lane("told")
            for n, host in enumerate(("a.example", "b.example", "b.example"), start=1):
                to = Destination(host, f"https://{host}/told?token=of-the-receiver")
                await ledger.open([an_ask(f"told-{n}", portal="told", invoice_id=n, callback=to)])
                await ledger.cancel(f"told-{n}")
            from ledger.callbacks import CallbackState

            return [each.id for each in (await ledger.callbacks.page(CallbackState.PENDING)).callbacks]

    names: list[str] = wait_for(withdrawn())
    return names


def test_lists_go_page_by_page(place: Place, ended: list[str]):
    """The cursor of a page is that of the next; addresses come without their queries."""
    first = place.web.ask("GET", "/v1/callbacks?limit=2")
    assert first.status == 200
    assert [each["id"] for each in first.body["callbacks"]] == ended[:2]
    rest = place.web.ask("GET", f"/v1/callbacks?limit=2&cursor={first.body['next_cursor']}")
    assert [each["id"] for each in rest.body["callbacks"]] == ended[2:]
    assert rest.body["next_cursor"] is None
    only = place.web.ask("GET", "/v1/callbacks?host=A.example&state=pending&since=2020-01-01T00:00:00Z")
    [told] = only.body["callbacks"]
    assert (told["host"], told["type"], told["url"]) == (
        "a.example",
        "payment.cancelled",
        "https://a.example/told?***",
    )
    assert place.web.ask("GET", "/v1/callbacks?state=failed").body == {"callbacks": [], "next_cursor": None}


@pytest.mark.parametrize(
    "query",
    ["state=lost", "limit=501", "limit=-1", "limit=x", "cursor=-5", "cursor=99999999999", "since=now", "statte=failed"],
)
def test_what_cannot_be_asked_is_refused(place: Place, query: str):
    """With a cause and a next step."""
    refused(place.web.ask("GET", f"/v1/callbacks?{query}"), 422, "invalid")


def test_one_is_sent_again(place: Place, ended: list[str]):
    """It is due now, under its own id; an unknown one is not found."""
    answer = place.web.ask("POST", f"/v1/callbacks/{ended[0]}/resend")
    assert (answer.status, answer.body["id"], answer.body["state"]) == (202, ended[0], "pending")
    refused(place.web.ask("POST", "/v1/callbacks/evt_unknown/resend"), 404, "no-callback")
