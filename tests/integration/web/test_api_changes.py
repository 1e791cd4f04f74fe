"""Retry, cancel, verify, resolve, hold and resume: what they change, and what they refuse with a reason."""

import pytest

from ledger.payment import Evidence, Refusal
from ledger.verdict import Failed, InDoubt, Paid
from tests.house import EmulatedPortal
from tests.integration.web.api_house import drive, noted, pay
from tests.integration.web.conftest import Web, refused

PAID = Paid(Evidence.READ_BACK)
REFUSED = Failed(Refusal("ERROR_CHECK_FAILURE", "Pay system with ID=99 not found"))


def test_a_failed_payment_is_retried(web: Web, portal: EmulatedPortal):
    """Once: the second time it is queued already. The reason is on record."""
    url = pay(web, portal).body["url"]
    [failed] = drive(portal, REFUSED)
    shown = web.ask("GET", url).body
    assert (shown["status"], shown["error"]["code"]) == ("failed", "ERROR_CHECK_FAILURE")
    answer = web.ask("POST", f"{url}/retry", json={"because": "the pay system is back"})
    assert (answer.status, answer.body["status"], answer.body["error"]) == (200, "queued", None)
    again = web.ask("POST", f"{url}/retry")
    refused(again, 409, "wrong-state")
    assert again.body["payment"]["status"] == "queued"
    assert noted(portal, failed.id, "payment.retry") == [("failed", "queued", "the pay system is back")]


def test_no_payment_is_retried_beside_another_of_its_invoice(web: Web, portal: EmulatedPortal):
    """The refusal says why."""
    url = pay(web, portal).body["url"]
    drive(portal, REFUSED)
    pay(web, portal)
    answer = web.ask("POST", f"{url}/retry")
    refused(answer, 409, "wrong-state")
    assert "Another payment" in answer.body["detail"]


def test_a_queued_payment_is_cancelled_and_a_paid_one_is_not(web: Web, portal: EmulatedPortal):
    """A repeated cancellation finds its wish fulfilled and is noted once."""
    made = pay(web, portal, 1).body
    answers = [web.ask("POST", f"{made['url']}/cancel", json={}) for _ in range(2)]
    assert [(each.status, each.body["status"]) for each in answers] == [(200, "cancelled")] * 2
    assert noted(portal, made["id"], "payment.cancel") == [("queued", "cancelled", None)]
    url = pay(web, portal, 2).body["url"]
    drive(portal, PAID)
    refused(web.ask("POST", f"{url}/cancel"), 409, "wrong-state")
    assert web.ask("GET", url).body["status"] == "paid"


def test_a_doubt_is_verified_and_resolved(web: Web, portal: EmulatedPortal):
    """Paid at once; unpaid not before the call can no longer run. A word that was given stands."""
    first, second = (pay(web, portal, n).body for n in (1, 2))
    drive(portal, InDoubt(1000.0))
    drive(portal, InDoubt(0.0))
    answer = web.ask("POST", f"/v1/doubts/{first['id']}/verify")
    assert (answer.status, answer.body["status"]) == (202, "in_doubt")
    said = {"as": "unpaid", "because": "looked"}
    early = web.ask("POST", f"/v1/doubts/{first['id']}/resolve", json=said)
    refused(early, 409, "too-early")
    assert early.body["until"]
    paid = web.ask("POST", f"/v1/doubts/{first['id']}/resolve", json={"as": "paid", "because": "seen in the portal"})
    assert (paid.status, paid.body["status"], paid.body["evidence"]) == (200, "paid", "operator")
    assert paid.body["because"] == "seen in the portal"
    unpaid = web.ask("POST", f"/v1/doubts/{second['id']}/resolve", json=said)
    assert (unpaid.status, unpaid.body["status"], unpaid.body["error"]["code"]) == (200, "failed", "RESOLVED_UNPAID")
    for change in ("verify", "resolve"):
        refused(
            web.ask("POST", f"/v1/doubts/{first['id']}/{change}", json=said if change == "resolve" else {}),
            409,
            "wrong-state",
        )
    assert noted(portal, first["id"], "doubt.resolve") == [("in_doubt", "paid", "seen in the portal")]


def test_what_is_said_of_a_doubt_is_checked(web: Web, portal: EmulatedPortal):
    """All of it at once."""
    made = pay(web, portal).body
    answer = web.ask("POST", f"/v1/doubts/{made['id']}/resolve", json={"as": "perhaps", "because": "", "x": 1})
    refused(answer, 422, "invalid")
    assert {(each["pointer"], each["rule"]) for each in answer.body["errors"]} == {
        ("/as", "one-of"),
        ("/because", "length"),
        ("/x", "unknown"),
    }


def test_a_portal_is_held_with_a_reason_and_resumed(web: Web, portal: EmulatedPortal):
    """Both may be repeated; the first reason is kept, and no secret in it."""
    url = f"/v1/portals/{portal.key}"
    refused(web.ask("POST", f"{url}/hold", json={}), 422, "invalid")
    held = web.ask("POST", f"{url}/hold", json={"reason": "moves this weekend"})
    assert (held.status, held.body["held"]["code"], held.body["held"]["text"]) == (
        200,
        "OPERATOR",
        "moves this weekend",
    )
    assert web.ask("POST", f"{url}/hold", json={"reason": "second"}).body["held"]["text"] == "moves this weekend"
    assert portal.held() == "OPERATOR"
    for _ in range(2):
        answer = web.ask("POST", f"{url}/resume")
        assert (answer.status, answer.body["held"]) == (200, None)
    assert portal.held() is None
    assert len(noted(portal, portal.key, "portal.resume")) == 1
    refused(web.ask("POST", "/v1/portals/nobody/resume"), 404, "no-portal")
    refused(web.ask("POST", "/v1/portals/nobody/hold", json={"reason": "x"}), 404, "no-portal")


@pytest.mark.parametrize("change", ["payments/{}/retry", "payments/{}/cancel", "doubts/{}/verify", "doubts/{}/resolve"])
@pytest.mark.parametrize("name", ["nobody", "%00", "a%2Fb", "%ff", "x" * 300])
def test_a_payment_that_is_not_known_is_not_found(web: Web, change: str, name: str):
    """Whatever its name is made of."""
    body = {"as": "paid", "because": "x"} if "resolve" in change else {}
    refused(web.ask("POST", "/v1/" + change.format(name), json=body), 404, "no-payment")


def test_a_change_takes_a_small_json_body_or_none(web: Web, portal: EmulatedPortal):
    """Nothing is changed by one that cannot be read."""
    url = pay(web, portal).body["url"]
    refused(web.ask("POST", f"{url}/cancel", data=b"x"), 415, "wrong-type")
    refused(web.ask("POST", f"{url}/cancel", json={"because": "x" * 9000}), 413, "too-large")
    refused(web.ask("POST", f"{url}/cancel", json=["x"]), 422, "invalid")
    assert web.ask("GET", url).body["status"] == "queued"
