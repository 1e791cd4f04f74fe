"""The working pages: what they show, and that their actions are the ledger's own and rows of the audit."""

import re

import pytest

from access.audit import Outcome
from access.roles import Role
from ledger.payment import Destination, State
from tests.integration.web.pages_house import Browser, Lobby
from tests.integration.web.work_house import (
    HOSTILE,
    OTHER,
    PAID,
    REFUSED,
    SETTLED,
    UNSURE,
    WHY,
    an_ask,
    audit_of,
    drive,
    fields_of,
    linked,
    made,
    state_of,
    told,
)

# --- portals ---


async def test_a_portal_says_what_it_allows_and_what_waits(lobby: Lobby, operator: Browser):
    """In the list and on its own page; never its secret."""
    await made(lobby, PAID, *range(1, 8))
    await made(lobby, None, 20, 21)
    page = await operator.get("/portals")
    assert "acme" in told(page)
    page = await operator.get("/portals/acme")
    assert "2 waiting" in told(page)
    assert "b24pay portal check acme" in told(await operator.get("/portals/acme")) or "b24pay portal add acme" in told(
        page
    )
    assert (await operator.get("/portals/nobody")).status == 404


async def test_portals_are_listed_page_by_page_and_by_what_they_need(lobby: Lobby, operator: Browser):
    """From a key on, the held ones, those with work."""
    for n in range(60):
        await lobby.parts.ledger.add_lane(f"p{n:02}")
    await lobby.parts.ledger.hold("p33", "ACCESS_DENIED", HOSTILE)
    await made(lobby, None, 1, portal="p44")
    first = await operator.get("/portals")
    assert "/portals/p48" in first.text
    assert "/portals/p59" not in first.text
    assert "/portals/p59" in (await operator.get(linked(first, "Next"))).text
    assert re.findall(r"/portals/(p\d+)\"", (await operator.get("/portals?from=p57")).text) == ["p57", "p58", "p59"]
    assert set(re.findall(r"/portals/(p\d+)\"", (await operator.get("/portals?show=held")).text)) == {"p33"}
    assert set(re.findall(r"/portals/(p\d+)\"", (await operator.get("/portals?show=busy")).text)) == {"p44"}


async def test_a_portal_is_held_with_a_reason_and_resumed(lobby: Lobby, operator: Browser):
    """The same step as over HTTP, and a row of the audit that says it came from a page."""
    page = await operator.send("/portals/acme", "/portals/acme/hold", {"because": "  "})
    assert page.status == 422
    assert (await lobby.parts.ledger.lanes(["acme"]))[0].held is None
    page = await operator.send("/portals/acme", "/portals/acme/hold", {"because": WHY})
    assert (page.status, page.headers["Location"]) == (303, "/portals/acme?done=held")
    shown = await operator.get(page.headers["Location"])
    assert WHY in told(shown)
    assert "OPERATOR" in told(shown)
    [entry, refused] = await audit_of(lobby, "portal.hold")
    assert (entry.origin, entry.why, entry.outcome) == ("web", WHY, Outcome.DONE)
    assert refused.outcome == Outcome.REFUSED
    page = await operator.send("/portals/acme", "/portals/acme/resume", {"because": ""})
    assert page.status == 303
    assert (await lobby.parts.ledger.lanes(["acme"]))[0].held is None
    assert [entry.origin for entry in await audit_of(lobby, "portal.resume")] == ["web"]


# --- payments ---


async def test_a_payment_is_found_by_whatever_one_has_of_it(lobby: Lobby, operator: Browser):
    """Invoice, id, handle and key lead straight to it; a code and filters to a list."""
    await lobby.parts.ledger.open([an_ask("p-1", "acme", 17, idempotency_key="order 17/a")])
    await lobby.parts.ledger.open([an_ask("p-2", "acme", 17)])
    await drive(lobby, REFUSED, 1)
    for text in ("17", "p-1", "p-2", "order 17/a"):
        page = await operator.get(f"/payments?q={text.replace(' ', '+').replace('/', '%2F')}")
        assert (page.status, page.headers["Location"]) == (303, "/payments/p-1"), text
    for query in ("q=ERROR_CHECK_FAILURE", "code=ERROR_CHECK_FAILURE&state=failed", "q=17&state=paid"):
        page = await operator.get(f"/payments?{query}")
        assert page.status == 200
        assert ("/payments/p-1" in page.text) == ("paid" not in query), query
    assert "No payment fits" in told(await operator.get("/payments?q=nobody"))


async def test_one_invoice_number_is_found_in_every_portal(lobby: Lobby, operator: Browser):
    """And a token that is limited to one sees that one alone."""
    await made(lobby, None, 5)
    await made(lobby, None, 5, portal="globex")
    page = await operator.get("/payments?q=5")
    assert all(f"/payments/{name}-5" in page.text for name in ("acme", "globex"))
    limited = await lobby.signed_in(Role.OPERATOR, name="limited", portals=["globex"])
    assert (await limited.get("/payments?q=5")).headers["Location"] == "/payments/globex-5"
    assert (await limited.get("/payments/acme-5")).status == 404
    assert "No payment fits" in told(await limited.get("/payments?q=acme-5"))
    page = await limited.get("/payments/globex-5")
    assert (await limited.post("/payments/acme-5/cancel", {"form_key": page.form_key})).status == 404
    assert await state_of(lobby, "acme-5") is State.QUEUED


@pytest.mark.parametrize("query", ["state=nothing", "portal=HOST", "since=yesterday", "code=%07", "cursor=x"])
async def test_a_filter_that_is_wrong_is_told_beside_the_form(operator: Browser, query: str):
    """And nothing is listed as if there were none."""
    page = await operator.get(f"/payments?{query}")
    assert page.status == 422
    assert "No payment fits" not in told(page)


async def test_a_failed_payment_says_why_and_is_retried(lobby: Lobby, operator: Browser):
    """Its code with a sentence and a remedy; the retry is the ledger's own, with the reason on record."""
    [name] = await made(lobby, REFUSED, 1)
    page = await operator.get(f"/payments/{name}")
    assert "ERROR_CHECK_FAILURE" in told(page)
    assert "Pay system with ID=99 not found" in told(page)
    assert "b24pay portal check" in told(page)
    page = await operator.send(f"/payments/{name}", f"/payments/{name}/retry", {"because": WHY})
    assert (page.status, page.headers["Location"]) == (303, f"/payments/{name}?done=retried")
    assert await state_of(lobby, name) is State.QUEUED
    [entry] = await audit_of(lobby, "payment.retry")
    assert (entry.origin, entry.before, entry.after, entry.why) == ("web", "failed", "queued", WHY)
    page = await operator.send(f"/payments/{name}", f"/payments/{name}/retry", {"because": WHY})
    assert page.status == 409
    assert "only a failed one can be retried" in told(page)


async def test_a_queued_payment_is_cancelled(lobby: Lobby, operator: Browser):
    """And a paid one is not."""
    [name] = await made(lobby, None, 1)
    assert (await operator.send(f"/payments/{name}", f"/payments/{name}/cancel", {})).status == 303
    assert await state_of(lobby, name) is State.CANCELLED
    [paid] = await made(lobby, PAID, 2)
    assert (await operator.send(f"/payments/{paid}", f"/payments/{paid}/cancel", {})).status == 409
    assert await state_of(lobby, paid) is State.PAID


async def test_who_joined_and_who_is_told_stands_on_the_page(lobby: Lobby, operator: Browser):
    """Handles, keys, and the host of a callback without its address."""
    there = Destination("shop.example", "https://shop.example/told?token=c4nary")
    await made(lobby, None, 1, callback=there, idempotency_key="mine")
    await lobby.parts.ledger.open([an_ask("second", "acme", 1)])
    page = await operator.get("/payments/acme-1")
    assert all(each in told(page) for each in ("mine", "second", "shop.example", "when it ends"))
    assert "c4nary" not in page.text
    await drive(lobby, PAID, 1)
    assert "pending" in told(await operator.get("/payments/acme-1"))


# --- failures ---


async def test_failures_stand_by_code_with_meaning_place_and_way_on(lobby: Lobby, operator: Browser):
    """Each code once, the most first; what an operator does next is one click away."""
    await made(lobby, REFUSED, 1, 2, 3)
    await made(lobby, OTHER, 4)
    await made(lobby, REFUSED, 1, 2, portal="globex")
    page = await operator.get("/failures")
    text = told(page)
    assert "6 payments have failed, with 2 codes" in text
    assert text.index("ERROR_CHECK_FAILURE") < text.index("SOMETHING_NEW")
    assert "acme (3), globex (2)" in text
    assert "refused the request before it did anything" in text
    assert "Pay system with ID=99 not found" in text
    preview = await operator.get(linked(page, "Retry all 5"))
    assert "Retry 5 payments" in told(preview)
    only = await operator.get("/failures?portal=globex")
    assert "2 payments have failed, with 1 code" in told(only)
    listed = await operator.get(linked(only, "See them"))
    assert re.findall(r"/payments/(globex-\d)", listed.text) == ["globex-2", "globex-1"]
    limited = await lobby.signed_in(Role.VIEWER, name="limited", portals=["globex"])
    assert "2 payments have failed" in told(await limited.get("/failures"))
    assert "No payment has failed" in told(await limited.get("/failures?portal=acme"))


async def test_why_a_payment_failed_and_its_kind_again_in_four_clicks(lobby: Lobby, operator: Browser):
    """Search, its page, the preview, begin."""
    names = await made(lobby, REFUSED, 1, 2, 3)
    found = await operator.get("/payments?q=2")
    page = await operator.get(found.headers["Location"])
    assert "Pay system with ID=99 not found" in told(page)
    preview = await operator.get(linked(page, "that failed so"))
    await operator.post("/bulk/retry", {**fields_of(preview), "because": WHY})
    assert {await state_of(lobby, name) for name in names} == {State.QUEUED}


# --- reconcile ---


async def test_a_comparison_that_cannot_be_made_says_why(lobby: Lobby, operator: Browser):
    """An unknown portal, a period that is none, and a portal of which nothing is stored."""
    await made(lobby, PAID, 1)
    page = await operator.send("/reconcile", "/reconcile", {"portal": "nobody"})
    assert (page.status, "is not known" in told(page)) == (422, True)
    fields = {"portal": "acme", "since": "2026-01-02T00:00", "until": "2026-01-01T00:00"}
    page = await operator.send("/reconcile", "/reconcile", fields)
    assert (page.status, "leaves nothing that can have ended" in told(page)) == (422, True)
    page = await operator.send("/reconcile", "/reconcile", {"portal": "acme"})
    assert page.status == 200
    assert "The portal cannot be read: NOT_USABLE" in told(page)
    [entry] = [each for each in await audit_of(lobby, "portal.reconcile") if each.outcome is Outcome.DONE]
    assert (entry.origin, entry.subjects) == ("web", ("acme",))


# --- doubts ---


async def test_a_doubt_says_since_when_why_and_when_it_can_be_decided(lobby: Lobby, operator: Browser):
    """Unpaid is refused as long as the call may still run; paid is not."""
    [name] = await made(lobby, UNSURE, 1)
    page = await operator.get("/doubts")
    assert f"/payments/{name}" in page.text
    assert "paid: now unpaid:" in told(page)
    fields = {"as": "unpaid", "because": WHY}
    page = await operator.send(f"/payments/{name}", f"/payments/{name}/resolve", fields)
    assert page.status == 409
    assert "may still be running" in told(page)
    assert await state_of(lobby, name) is State.IN_DOUBT
    page = await operator.send(f"/payments/{name}", f"/payments/{name}/resolve", {"as": "paid", "because": " "})
    assert page.status == 422
    page = await operator.send(f"/payments/{name}", f"/payments/{name}/resolve", {"as": "paid", "because": WHY})
    assert page.headers["Location"] == f"/payments/{name}?done=paid"
    assert await state_of(lobby, name) is State.PAID
    entry, *refused = await audit_of(lobby, "doubt.resolve")
    assert (entry.origin, entry.why, entry.after) == ("web", WHY, "paid")
    assert [each.outcome for each in refused] == [Outcome.REFUSED] * 2
    assert "No payment is in doubt" in told(await operator.get("/doubts"))


async def test_a_doubt_is_unpaid_after_its_quiet_time_and_read_on_request(lobby: Lobby, operator: Browser):
    """Both by the ledger's own steps."""
    first, second = await made(lobby, SETTLED, 1, 2)
    page = await operator.send(f"/payments/{first}", f"/payments/{first}/verify", {"because": ""})
    assert page.headers["Location"] == f"/payments/{first}?done=verifying"
    page = await operator.send(f"/payments/{first}", f"/payments/{first}/resolve", {"as": "unpaid", "because": WHY})
    assert page.status == 303
    assert await state_of(lobby, first) is State.FAILED
    assert "RESOLVED_UNPAID" in told(await operator.get(f"/payments/{first}"))
    assert await state_of(lobby, second) is State.IN_DOUBT
    page = await operator.send(f"/payments/{first}", f"/payments/{first}/verify", {})
    assert page.status == 409
