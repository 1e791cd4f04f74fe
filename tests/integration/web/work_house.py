"""What tests of the working pages do: make payments in any state, read pages as people do, go through runs."""

import html
import re
from collections.abc import Sequence

from access.audit import Entry
from ledger.payment import Evidence, Handle, NewPayment, Payment, PortalKey, Refusal, State
from ledger.verdict import Decision, Failed, InDoubt, Paid, Verdict
from tests.integration.web.pages_house import Browser, Lobby, Page

PAID = Paid(Evidence.READ_BACK)
REFUSED = Failed(Refusal("ERROR_CHECK_FAILURE", "Pay system with ID=99 not found"))
OTHER = Failed(Refusal("SOMETHING_NEW", "no"))
UNSURE = InDoubt(1000.0)
SETTLED = InDoubt(0.0)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp\x07" + "W" * 300
WHY = "because it was mended"


async def made(
    lobby: Lobby, verdict: Verdict | None, *invoices: int, portal: str = "acme", **changes: object
) -> list[str]:
    """New payments, ended as it is said; without a verdict they stay queued."""
    ledger = lobby.parts.ledger
    await ledger.add_lane(portal)
    asks = [an_ask(f"{portal}-{n}", portal, n, **changes) for n in invoices]
    await ledger.open(asks)
    if verdict is not None:
        await drive(lobby, verdict, len(asks), portal)
    return [ask.id for ask in asks]


def an_ask(name: str, portal: str, invoice: int, **changes: object) -> NewPayment:
    plain: dict[str, object] = {"pay_system_id": 31}
    return NewPayment(id=Handle(name), portal=PortalKey(portal), invoice_id=invoice, **(plain | changes))  # type: ignore[arg-type]  # the tests name real fields


async def drive(lobby: Lobby, verdict: Verdict, count: int, portal: str = "acme") -> Sequence[Payment]:
    """Claim the oldest payments of a lane and settle them."""
    ledger = lobby.parts.ledger
    leases, _ = await ledger.take("test-driver", 100)
    [lease] = [each for each in leases if each.portal == portal]
    claim = await ledger.claim(lease, count)
    assert len(claim.payments) == count
    settled = await ledger.settle(lease, [Decision(row, verdict) for row in claim.payments])
    for each in leases:
        await ledger.release(each, 0)
    return [entry.payment for entry in settled]


async def state_of(lobby: Lobby, name: str) -> State:
    """Where a payment stands."""
    [row] = await lobby.parts.ledger.find([name])
    assert row is not None
    return row.state


async def audit_of(lobby: Lobby, what: str) -> list[Entry]:
    """The changes of this name, newest first."""
    return [each async for each in lobby.parts.audit.entries(3600) if each.what == what]


def told(page: Page) -> str:
    """What a reader sees of a page."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", page.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", text)))


def linked(page: Page, text: str) -> str:
    """Where the link with this text leads."""
    found = re.findall(r'<a [^>]*href="([^"]*)"[^>]*>([^<]*)</a>', page.text)
    return html.unescape(next(href for href, inner in found if text in html.unescape(inner)))


async def run_through(browser: Browser, path: str, because: str = WHY) -> Page:
    """Begin a run on its preview and go on as its page does, to the end."""
    page = await browser.get(path)
    while True:
        fields = fields_of(page)
        page = await browser.post(path.partition("?")[0], {**fields, "because": because})
        assert page.status == 200, told(page)
        if "data-goes-on" not in page.text:
            return page


def fields_of(page: Page) -> dict[str, str]:
    """The hidden fields of the form that changes something."""
    form = page.text[page.text.rindex('<form method="post" action="/bulk/') :]
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}
