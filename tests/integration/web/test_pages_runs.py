"""Changes of all payments that match, who may make any, and what others wrote: on every working page."""

import re

import pytest

from access.audit import Outcome
from access.roles import Role
from ledger.payment import Refusal, State
from ledger.verdict import Decision, Failed, Unreadable
from tests.integration.web.pages_house import Browser, Lobby, Page
from tests.integration.web.work_house import (
    HOSTILE,
    OTHER,
    REFUSED,
    UNSURE,
    WHY,
    an_ask,
    audit_of,
    fields_of,
    made,
    run_through,
    state_of,
    told,
)
from web.pages import bulk


async def test_a_filter_is_redriven_and_what_does_not_match_is_left_alone(
    lobby: Lobby, operator: Browser, monkeypatch: pytest.MonkeyPatch
):
    """In steps, each payment in a row of the audit with the reason; the others, and what comes later, stay failed."""
    monkeypatch.setattr(bulk, "STEP_S", 0.0)
    monkeypatch.setattr(bulk, "PORTION", 4)
    ours = await made(lobby, REFUSED, *range(1, 11))
    others = [*await made(lobby, OTHER, 20, 21), *await made(lobby, REFUSED, 1, portal="globex")]
    path = "/bulk/retry?portal=acme&code=ERROR_CHECK_FAILURE"
    preview = await operator.get(path)
    assert "Retry 10 payments" in told(preview)
    assert {await state_of(lobby, name) for name in ours} == {State.FAILED}
    late = await made(lobby, REFUSED, 30)
    page = await operator.post("/bulk/retry", {**fields_of(preview), "because": WHY})
    assert "4 queued again, 4 of 10 looked at" in told(page)
    while "data-goes-on" in page.text:
        page = await operator.post("/bulk/retry", fields_of(page))
    assert "10 queued again" in told(page)
    assert {await state_of(lobby, name) for name in ours} == {State.QUEUED}
    assert {await state_of(lobby, name) for name in [*others, *late]} == {State.FAILED}
    portions = [
        each for each in await audit_of(lobby, "payment.retry") if ours[0] in each.subjects or len(each.subjects) > 1
    ]
    assert sorted(name for each in portions for name in each.subjects) == sorted(ours)
    assert all(each.why == WHY and each.origin == "web" and each.outcome is Outcome.DONE for each in portions)


async def test_the_audit_counts_the_payments_of_a_large_change(lobby: Lobby, operator: Browser):
    """A hundred names with a state each would hide everything else; who wants one finds it by its name."""
    names = await made(lobby, REFUSED, *range(1, 13))
    await run_through(operator, "/bulk/retry?portal=acme")
    assert "12 failed" in told(await operator.get("/audit"))
    assert "12 queued" in told(await operator.get(f"/audit?subject={names[5]}"))


async def test_a_run_needs_a_reason(lobby: Lobby, operator: Browser):
    """Without one nothing is changed."""
    [name] = await made(lobby, REFUSED, 1)
    preview = await operator.get("/bulk/retry?portal=acme")
    page = await operator.post("/bulk/retry", {**fields_of(preview), "because": "  "})
    assert page.status == 422
    assert await state_of(lobby, name) is State.FAILED


async def test_what_cannot_be_retried_is_counted_with_its_reason(lobby: Lobby, operator: Browser):
    """Another payment of its invoice is open: the ledger refuses, and the summary says so."""
    [first] = await made(lobby, REFUSED, 1)
    await lobby.parts.ledger.open([an_ask("again", "acme", 1)])
    await made(lobby, None, 2)
    page = await run_through(operator, "/bulk/retry?portal=acme")
    assert "0 queued again" in told(page)
    assert "1 stayed as they were: Another payment of this invoice is open or paid" in told(page)
    assert await state_of(lobby, first) is State.FAILED
    entry = next(each for each in await audit_of(lobby, "payment.retry") if first in each.subjects)
    assert entry.outcome is Outcome.REFUSED


async def test_all_that_wait_are_cancelled_and_all_doubts_are_read(lobby: Lobby, operator: Browser):
    """The other two verbs; what a page was shown before does not count for what came after it."""
    await made(lobby, UNSURE, 1, 2)
    names = await made(lobby, None, 3, 4, 5)
    preview = await operator.get("/bulk/cancel?portal=acme")
    [late] = await made(lobby, None, 6)
    page = await operator.post("/bulk/cancel", {**fields_of(preview), "because": WHY})
    assert "3 withdrawn" in told(page)
    assert {await state_of(lobby, name) for name in names} == {State.CANCELLED}
    assert await state_of(lobby, late) is State.QUEUED
    page = await run_through(operator, "/bulk/verify")
    assert "2 to be read now" in told(page)


async def test_what_was_ever_sent_is_read_before_a_redrive_sends_it(lobby: Lobby, operator: Browser):
    """The claim of a retried payment is refused until its read-back has said unpaid."""
    await made(lobby, REFUSED, 1)
    await run_through(operator, "/bulk/retry?portal=acme")
    leases, _ = await lobby.parts.ledger.take("test-driver", 1)
    claim = await lobby.parts.ledger.claim(leases[0], 10)
    assert claim.payments == ()
    assert [row.id for row in await lobby.parts.ledger.doubts(leases[0], 10)] == ["acme-1"]


# --- who may, and what somebody else wrote ---

FORMS = [
    "/portals/acme/hold",
    "/portals/acme/resume",
    "/payments/acme-1/retry",
    "/payments/acme-1/cancel",
    "/payments/acme-1/verify",
    "/payments/acme-1/resolve",
    "/bulk/retry",
    "/bulk/cancel",
    "/bulk/verify",
    "/reconcile",
]
PAGES = [
    "/portals",
    "/portals/acme",
    "/payments",
    "/payments?state=failed",
    "/payments/acme-1",
    "/failures",
    "/doubts",
    "/bulk/retry",
    "/bulk/verify",
    "/reconcile",
]


async def test_a_viewer_sees_everything_and_changes_nothing(lobby: Lobby):
    """No button, and no way around it."""
    [name] = await made(lobby, REFUSED, 1)
    viewer = await lobby.signed_in(Role.VIEWER)
    for path in PAGES:
        page = await viewer.get(path)
        assert page.status == 200, path
        assert not [
            form for form in re.findall(r'<form method="post" action="([^"]*)"', page.text) if form != "/sign-out"
        ], path
    for action in FORMS:
        page = await viewer.post(action, {"form_key": page_key(await viewer.get("/portals")), "because": WHY})
        assert page.status == 403, action
    assert await state_of(lobby, name) is State.FAILED


def page_key(page: Page) -> str:
    """The session's form key."""
    return page.form_key


@pytest.mark.parametrize("action", FORMS)
async def test_a_form_without_its_key_changes_nothing(lobby: Lobby, operator: Browser, action: str):
    """A page of elsewhere cannot send one."""
    await made(lobby, REFUSED, 1)
    assert (await operator.post(action, {"because": WHY, "portal": "acme"})).status == 403
    assert await state_of(lobby, "acme-1") is State.FAILED


async def test_text_of_others_is_shown_as_text(lobby: Lobby, operator: Browser):
    """Codes, texts, keys, reasons and holds; what cannot be seen is told as its code."""
    await made(lobby, Failed(Refusal(HOSTILE, HOSTILE)), 1)
    [name] = await made(lobby, UNSURE, 2)
    await lobby.parts.ledger.read_again([name])
    leases, _ = await lobby.parts.ledger.take("test-driver", 1)
    [row] = await lobby.parts.ledger.find([name])
    assert row is not None
    await lobby.parts.ledger.settle(leases[0], [Decision(row, Unreadable(Refusal(HOSTILE, HOSTILE), 100.0))])
    await lobby.parts.ledger.release(leases[0], 0)
    await lobby.parts.ledger.hold("acme", HOSTILE, HOSTILE, remedy=HOSTILE)
    for path in [
        *PAGES,
        f"/payments/{name}",
        f"/payments?q={'x' * 300}",
        "/payments?q=%3Cscript%3E",
        "/portals?from=%3Cscript%3E",
    ]:
        page = await operator.get(path)
        assert page.status in (200, 422), path
        assert "<script>alert" not in page.text, path
        assert "<img src=x" not in page.text, path
        assert "\u202e" not in page.text, path
        assert "\x07" not in page.text, path
        assert "style=" not in page.text, path
        assert not re.search(
            r"\son\w+=", re.sub(r"&[^;]*;", "", page.text).split("<main", 1)[1].replace("onerror=alert", "")
        ), path


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_whole_while_there_is_nothing(operator: Browser, path: str):
    """An empty ledger has pages as well."""
    page = await operator.get(path)
    assert page.status == (404 if path == "/payments/acme-1" else 200)
    assert "</html>" in page.text
