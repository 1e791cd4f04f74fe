"""`doubts`, `doubts verify` and `doubts resolve`: what nobody can read is seen, read again, or decided by a person."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from config.connections import async_redis_client
from emulator.records import Change
from ledger.ledger import Accepted, Lease
from ledger.payment import Payment, PortalKey, Refusal, State
from ledger.redis import RedisLedger
from ledger.verdict import Decision, InDoubt, Unpaid, Unreadable, Verdict
from tests.conformance.ledger.world import an_ask
from tests.conftest import SECRET_KEY
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, wait_for
from tests.integration.cli.conftest import Said, Terminal

NOT_PERMITTED = Unreadable(Refusal("INSUFFICIENT_SCOPE", "The request requires higher privileges"), retry_s=300.0)


@dataclass(frozen=True)
class Desk:
    """An operator at a ledger that no worker looks after; what a worker would do the test does by hand."""

    url: str
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Said:
        """Give one command."""
        self.capsys.readouterr()
        code = run(arguments)
        return Said(code, *self.capsys.readouterr())

    def doubt(self, *verdicts: Verdict, quiet_s: float = 0.0, portal: str = "acme") -> Payment:
        """A payment that was sent and not answered, read back with these verdicts."""
        return wait_for(self._doubt(portal, quiet_s, verdicts))

    def ledger(self, question: Callable[[RedisLedger], Any]) -> Any:
        """Ask the ledger."""

        async def asked() -> Any:
            async with self._ledger() as ledger:
                return await question(ledger)

        return wait_for(asked())

    @asynccontextmanager
    async def _ledger(self) -> AsyncIterator[RedisLedger]:
        async with async_redis_client(self.url, max_connections=4, decode_responses=False) as client:
            yield RedisLedger(client, lease_s=75, retention_s=3600, max_attempts=5, quiet_s=120)

    async def _doubt(self, portal: str, quiet_s: float, verdicts: Sequence[Verdict]) -> Payment:
        async with self._ledger() as ledger:
            await ledger.add_lane(portal)
            number = 1 + sum((await ledger.lanes([portal]))[0].counts.values())
            [opened] = await ledger.open([an_ask(f"{portal}-{number}", portal=PortalKey(portal), invoice_id=number)])
            assert isinstance(opened, Accepted)
            [lease], _ = await ledger.take("by-hand", 1)
            payments: Sequence[Payment] = (await ledger.claim(lease, 1)).payments
            for verdict in (InDoubt(quiet_s), *verdicts):
                payments = await _settled(ledger, lease, payments, verdict)
            await ledger.release(lease, 0)
        return payments[0]


async def _settled(ledger: RedisLedger, lease: Lease, payments: Sequence[Payment], verdict: Verdict) -> list[Payment]:
    return [each.payment for each in await ledger.settle(lease, [Decision(row, verdict) for row in payments])]


@pytest.fixture
def desk(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A desk with an empty ledger."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("B24PAY_SECRET_KEYS", SECRET_KEY)
    monkeypatch.chdir(tmp_path)
    return Desk(redis_url, capsys)


def unreadable_payment(terminal: Terminal, portal: EmulatedPortal) -> str:
    """A payment that the portal executed and answered with an error, and whose invoice 7 it does not show."""
    portal.ask(lambda emulator, name: emulator.change(name, [7], Change.HIDE))
    portal.fault("refuse", place="command_after", code="INTERNAL_SERVER_ERROR", count=1)
    payment = terminal.json("pay", "7", "--portal", portal.key, "--pay-system", "1").document["id"]
    eventually_sync(lambda: terminal.json("inspect", payment).document["last_read_error"])
    return str(payment)


def test_what_cannot_be_read_is_listed_with_its_reason_and_remedy(terminal: Terminal):
    """Without the right to read an unanswered call stays in doubt; with it, reading again proves that it was paid."""
    portal = terminal.house.add_portal(webhooks={"1/emulator-secret": {"scopes": ["pay_system"]}})
    portal.fault("502_html", place="after", count=1)
    payment = terminal.json("pay", "7", "--portal", portal.key, "--pay-system", "1").document["id"]
    eventually_sync(lambda: terminal.json("inspect", payment).document["last_read_error"])
    listed = terminal.json("doubts", "--portal", portal.key)
    assert (listed.code, listed.document["id"]) == (0, payment)
    assert "INSUFFICIENT_SCOPE" in listed.document["last_read_error"]
    assert "scope crm" in listed.document["what_to_do"]
    assert listed.document["unpaid_counts_from"] > listed.document["since"]
    assert listed.document["next_read_at"]
    again = terminal.json("doubts", "verify", payment)
    assert (again.code, again.document["outcome"]) == (3, "unreadable")
    portal.change(webhooks={"1/emulator-secret": {}})
    mended = terminal.json("doubts", "verify", payment)
    assert (mended.code, mended.document["status"], mended.document["evidence"]) == (0, "paid", "read_back")
    assert terminal("doubts", "--portal", portal.key).err == "No payment is in doubt.\n"
    assert portal.tally.effects == 1


def test_a_person_who_is_wrong_makes_nothing_paid_twice(terminal: Terminal):
    """Said to be unpaid, the payment fails and stays so; its retry reads first, and finds that it was paid."""
    portal = terminal.house.add_portal()
    payment = unreadable_payment(terminal, portal)
    said = terminal.json("doubts", "resolve", payment, "--as", "unpaid", "--because", "the list shows it unpaid")
    assert (said.code, said.document["error"]["code"]) == (0, "RESOLVED_UNPAID")
    assert f"retry {payment} reads the invoice first" in said.err
    assert "read back before it is sent" in terminal("retry", payment).out
    eventually_sync(lambda: terminal.json("inspect", payment).document["last_read_error"])
    queued = terminal.json("doubts", "--portal", portal.key)
    assert (queued.document["status"], "NOT_READABLE" in queued.document["last_read_error"]) == ("queued", True)
    assert "before" in queued.err
    portal.ask(lambda emulator, name: emulator.change(name, [7], Change.SHOW))
    verified = terminal.json("doubts", "verify", "--portal", portal.key)
    assert (verified.code, verified.document["status"]) == (0, "paid")
    assert portal.tally.effects == 1


def test_a_person_s_word_ends_a_doubt_with_its_reason_on_record(terminal: Terminal):
    """`paid` is delivered with evidence `operator`; status and inspect show why."""
    portal = terminal.house.add_portal()
    payment = unreadable_payment(terminal, portal)
    dry = terminal.json("doubts", "resolve", payment, "--as", "paid", "--because", "seen", "--dry-run")
    assert (dry.code, dry.document["status"]) == (0, "in_doubt")
    because = "Anna saw the bank statement"
    assert terminal("doubts", "resolve", payment, "--as", "paid", "--because", f" {because} ").code == 0
    for verb in ("status", "inspect"):
        document = terminal.json(verb, payment).document
        assert (document["status"], document["evidence"], document["because"]) == ("paid", "operator", because)
        assert because in terminal(verb, payment).out
    result = terminal.house.celery().AsyncResult(payment)
    assert result.get(timeout=30)["evidence"] == "operator"


def test_an_unpaid_is_refused_while_the_call_may_still_run(desk: Desk):
    """75 and the moment from which it counts; `paid` may be said at once."""
    payment = desk.doubt(Unpaid(), quiet_s=120)
    for extra in ([], ["--dry-run"]):
        early = desk("doubts", "resolve", payment.id, "--as", "unpaid", "--because", "I looked", *extra)
        assert early.code == 75
        assert f"{payment.quiet_until:%H:%M:%S} UTC" in early.err
    assert desk("doubts", "resolve", payment.id, "--as", "paid", "--because", "I looked").code == 0


def test_what_is_not_in_doubt_is_not_decided(desk: Desk):
    """1 and what to do instead; a second word does not replace the first."""
    payment = desk.doubt(NOT_PERMITTED)
    assert desk("doubts", "resolve", payment.id, "--as", "unpaid", "--because", "first").code == 0
    for extra in (["--dry-run"], []):
        second = desk("doubts", "resolve", payment.id, "--as", "paid", "--because", "second", *extra)
        assert second.code == 1
        assert f"retry {payment.id}" in second.err
    [row] = desk.ledger(lambda ledger: ledger.find([payment.id]))
    assert (row.state, row.because) == (State.FAILED, "first")
    assert desk("doubts", "resolve", "nobody", "--as", "paid", "--because", "x").code == 1


def test_a_reason_keeps_no_secret(desk: Desk):
    """Whoever pastes a webhook as the reason does not put it on record."""
    payment = desk.doubt()
    because = "see https://acme.example/rest/1/c4n4ry9secret/crm.invoice.get"
    said = desk("doubts", "resolve", payment.id, "--as", "paid", "--because", because)
    assert said.code == 0
    assert "c4n4ry" not in said.out + said.err + desk("inspect", payment.id, "--json").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["resolve", "p", "--as", "paid"],
        ["resolve", "p", "--as", "paid", "--because", " \t"],
        ["resolve", "p", "--because", "seen"],
        ["resolve", "p", "--as", "maybe", "--because", "seen"],
        ["verify", "p", "--portal", "acme"],
        ["verify", "--timeout", "nan"],
        ["--portal", "acme", "verify"],
        ["--json", "verify", "p"],
    ],
)
def test_wrong_usage_is_told(desk: Desk, arguments: list[str]):
    """A decision without a reason, and options that stand where nobody would heed them."""
    said = desk("doubts", *arguments)
    assert (said.code, said.out) == (2, "")


def test_a_held_lane_says_how_it_goes_on(desk: Desk):
    """Nobody reads for it until a person resumes it: 75, the reason and the command."""
    payment = desk.doubt()
    desk.ledger(lambda ledger: ledger.hold("acme", "REVOKED", "the webhook was deleted"))
    listed = desk("doubts")
    assert "REVOKED: the webhook was deleted" in listed.out
    assert "1 lane held" in listed.err
    said = desk("doubts", "verify", payment.id)
    assert said.code == 75
    assert "REVOKED" in said.err
    assert "b24pay portal resume acme" in said.err


def test_nobody_who_reads_is_told(desk: Desk):
    """Without a worker the wait ends with 75 and says what is missing; the payment stays due."""
    payment = desk.doubt(NOT_PERMITTED)
    said = desk("doubts", "verify", payment.id, "--timeout", "0.3")
    assert said.code == 75
    assert "no worker" in said.out
    assert "Procfile" in said.err
    leases, _ = desk.ledger(lambda ledger: ledger.take("somebody", 1))
    assert [lease.portal for lease in leases] == ["acme"]


def test_every_doubt_of_every_lane_is_listed(desk: Desk):
    """With totals, and with each remedy once."""
    payments = [desk.doubt(NOT_PERMITTED, portal=portal) for portal in ("acme", "acme", "globex")]
    listed = desk("doubts")
    assert all(each.id in listed.out for each in payments)
    assert listed.out.count("scope crm") == 1
    assert listed.out.count("next read") == 1
    assert listed.err == "3 in doubt.\n"
    only = desk("doubts", "--portal", "globex", "--json")
    assert [document["id"] for document in only.documents] == [payments[2].id]
    assert desk("doubts", "--portal", "nobody").code == 1


def test_what_is_decided_or_unknown_needs_no_reading(desk: Desk):
    """Nothing is waited for: what ended is shown, and an unknown id is partly done."""
    payment = desk.doubt(NOT_PERMITTED)
    assert desk("doubts", "verify", payment.id, "--dry-run").code == 0
    desk("doubts", "resolve", payment.id, "--as", "paid", "--because", "seen")
    said = desk("doubts", "verify", payment.id, "nobody")
    assert said.code == 4
    assert "paid (operator)" in said.out
    assert desk("doubts", "verify", "nobody").code == 1
    assert desk("doubts", "verify").code == 0
