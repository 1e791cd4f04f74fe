"""`GET /v1/payments`, `/v1/doubts` and `/v1/portals`: filters, and pages that stay right while payments move."""

from datetime import UTC, datetime, timedelta

import pytest

from bitrix24.portal import KEY
from ledger.payment import Evidence, Refusal
from ledger.verdict import Failed, InDoubt, Paid
from tests.house import EmulatedPortal, House
from tests.integration.web.api_house import drive, ids, listed, pay
from tests.integration.web.conftest import Place, Web, refused

PAID = Paid(Evidence.READ_BACK)
REFUSED = Failed(Refusal("ERROR_CHECK_FAILURE", "Pay system with ID=99 not found"))
OTHER = Failed(Refusal("OTHER", "otherwise"))
UNSURE = InDoubt(1000.0)


@pytest.fixture(scope="module")
def mixed(house: House, place: Place) -> tuple[EmulatedPortal, list[str]]:
    """A portal with payments of the invoices 1 to 12: 3 paid, 2 and 1 failed, 2 in doubt, 4 queued."""
    portal = house.add_portal()
    names = [pay(place.web, portal, n).body["id"] for n in range(1, 13)]
    for verdict, count in ((PAID, 3), (REFUSED, 2), (OTHER, 1), (UNSURE, 2)):
        drive(portal, verdict, count)
    return portal, names


@pytest.mark.parametrize("limit", [1, 2, 5, 500])
def test_pages_of_any_size_show_everything_once(web: Web, mixed: tuple[EmulatedPortal, list[str]], limit: int):
    """Through all states of a portal."""
    portal, names = mixed
    rows = listed(web, f"portal={portal.key}&limit={limit}")
    assert sorted(ids(rows)) == sorted(names)
    assert ids([row for row in rows if row["status"] == "queued"]) == names[8:]
    assert ids([row for row in rows if row["status"] == "paid"]) == names[2::-1]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("state=paid", [3, 2, 1]),
        ("state=failed", [6, 5, 4]),
        ("state=failed&state=paid", [3, 2, 1, 6, 5, 4]),
        ("state=in_doubt&limit=1", [7, 8]),
        ("state=cancelled", []),
        ("code=ERROR_CHECK_FAILURE", [5, 4]),
        ("code=OTHER&state=failed", [6]),
        ("code=OTHER&state=paid", []),
        ("code=NOBODY", []),
        ("invoice=5", [5]),
        ("invoice=05&state=failed", [5]),
        ("invoice=5&state=paid", []),
        ("invoice=999", []),
        ("since=2020-01-01T00:00:00Z&state=paid", [3, 2, 1]),
        ("until=2020-01-01T00:00:00Z", []),
        ("since=2999-01-01T00:00:00%2B02:00", []),
        ("until=2999-01-01t00:00:00z&state=paid", [3, 2, 1]),
    ],
)
def test_filters(web: Web, mixed: tuple[EmulatedPortal, list[str]], query: str, wanted: list[int]):
    """By state, code, invoice and time."""
    portal, names = mixed
    shown = ids(listed(web, f"portal={portal.key}&{query}"))
    numbers = [names.index(name) + 1 for name in shown]
    assert sorted(numbers) == wanted if "in_doubt" in query else numbers == wanted


def test_time_is_that_of_the_end(web: Web, portal: EmulatedPortal):
    """What ended since a moment, however long ago it was accepted."""
    first, second = (pay(web, portal, n).body["id"] for n in (1, 2))
    drive(portal, PAID)
    moment = datetime.now(UTC) + timedelta(seconds=0.002)
    while datetime.now(UTC) < moment + timedelta(seconds=0.002):
        pass
    drive(portal, PAID)
    at = moment.isoformat().replace("+00:00", "Z")
    assert ids(listed(web, f"portal={portal.key}&since={at}")) == [second]
    assert ids(listed(web, f"portal={portal.key}&until={at}")) == [first]


def test_who_retries_each_page_of_failed_payments_reaches_all(web: Web, portal: EmulatedPortal):
    """The list moves under the cursor with every retry."""
    names = [pay(web, portal, n).body["id"] for n in range(1, 10)]
    drive(portal, REFUSED, 9)
    cursor, reached = "", []
    while cursor is not None:
        query = f"portal={portal.key}&state=failed&limit=2" + (f"&cursor={cursor}" if cursor else "")
        answer = web.ask("GET", f"/v1/payments?{query}")
        for row in answer.body["payments"]:
            assert web.ask("POST", f"/v1/payments/{row['id']}/retry").status == 200
            reached.append(row["id"])
        cursor = answer.body["next_cursor"]
    assert reached == names[::-1]


def test_all_portals_are_listed_in_the_order_of_their_keys(web: Web, house: House):
    """Without a filter a list goes through every lane that has something."""
    portals = [house.add_portal() for _ in range(3)]
    names = {portal.key: [pay(web, portal, 77, pay_system_id=n).body["id"] for n in (1,)] for portal in portals}
    for limit in (1, 50):
        rows = listed(web, f"state=queued&limit={limit}")
        ours = [row for row in rows if row["portal"] in names]
        assert [row["portal"] for row in ours] == sorted(names)
        assert [row["portal"] for row in rows] == sorted(row["portal"] for row in rows)
    found = listed(web, "invoice=77&limit=2")
    assert [row["portal"] for row in found] == sorted(names)


def test_a_cursor_of_another_list_is_refused(web: Web, mixed: tuple[EmulatedPortal, list[str]]):
    """It would lead astray; so would one that somebody wrote."""
    portal, _ = mixed
    cursor = web.ask("GET", f"/v1/payments?portal={portal.key}&limit=1").body["next_cursor"]
    assert web.ask("GET", f"/v1/payments?portal={portal.key}&limit=7&cursor={cursor}").status == 200
    others = [f"/v1/payments?cursor={cursor}", f"/v1/doubts?cursor={cursor}", f"/v1/portals?cursor={cursor}"]
    written = ["x", "W10", "e30", "WzEsMl0", cursor[:-3], "W" * 2000, "bnVsbA", "W1tbW1tb"]
    for url in others + [f"/v1/payments?portal={portal.key}&cursor={text}" for text in written]:
        answer = web.ask("GET", url)
        refused(answer, 422, "invalid")
        assert answer.body["errors"][0]["parameter"] == "cursor"


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (
            "state=unknown&limit=0&portal=HOST&invoice=x&since=yesterday&until=1",
            "state limit portal invoice since until",
        ),
        ("limit=501&code=&cursor=", "limit code cursor"),
        ("limit=1&limit=2&stat=paid", "limit stat"),
        ("since=2026-02-30T00:00:00Z", "since"),
        ("since=2026-11-24T00:00:00", "since"),
        ("code=%ff", ""),
    ],
)
def test_everything_that_is_wrong_with_a_query_is_told_at_once(web: Web, query: str, parameters: str):
    """Each with the parameter's name; one that is not known too."""
    answer = web.ask("GET", f"/v1/payments?{query}")
    if not parameters:
        assert answer.status in (200, 422)
        return
    refused(answer, 422, "invalid")
    assert sorted(each["parameter"] for each in answer.body["errors"]) == sorted(parameters.split())


def test_doubts_say_what_keeps_them(web: Web, portal: EmulatedPortal):
    """Since when, from when on an unpaid counts, what holds the lane, and what to do."""
    name = pay(web, portal, 1).body["id"]
    drive(portal, UNSURE)
    [doubt] = listed(web, f"portal={portal.key}", "doubts")
    assert (doubt["id"], doubt["status"], doubt["lane_held"]) == (name, "in_doubt", None)
    assert doubt["since"]
    assert doubt["unpaid_counts_from"]
    assert "read back by itself" in doubt["what_to_do"]
    web.ask("POST", f"/v1/portals/{portal.key}/hold", json={"reason": "look first"})
    [doubt] = listed(web, f"portal={portal.key}", "doubts")
    assert (doubt["lane_held"]["code"], doubt["lane_held"]["text"]) == ("OPERATOR", "look first")
    assert f"/v1/portals/{portal.key}/resume" in doubt["what_to_do"]


def test_portals_are_listed_page_by_page(web: Web, mixed: tuple[EmulatedPortal, list[str]]):
    """With how many payments are in which state; one portal also with its address and limits, and no credential."""
    portal, _ = mixed
    rows = listed(web, "limit=2", "portals")
    keys = [row["key"] for row in rows]
    assert keys == sorted(set(keys))
    assert all(KEY.fullmatch(key) for key in keys)
    [row] = [row for row in rows if row["key"] == portal.key]
    assert row["payments"] == {"queued": 4, "sending": 0, "in_doubt": 2, "paid": 3, "failed": 3, "cancelled": 0}
    shown = web.ask("GET", f"/v1/portals/{portal.key}").body
    assert shown["endpoint"] == f"http://{portal.authority}/rest/"
    assert shown["credential"] == "webhook"
    assert shown["limits"]["burst"] == 50
    refused(web.ask("GET", "/v1/portals/nobody"), 404, "no-portal")
    refused(web.ask("GET", "/v1/portals/NO%20KEY"), 404, "no-portal")
