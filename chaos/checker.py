"""Compare what producers were told, what the ledger says and what the portals did, invoice by invoice.

It believes the portals about payments and the producers about what was accepted; the ledger is what is examined.
Pure: the same facts always give the same findings.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final, TypeVar

from chaos.facts import Call, Facts, Invoice, Read, Record, Result, Rollback, Row, Told
from ledger.payment import OPEN, State

# A payment during whose sending three processes died ends as failed: it may be what killed them.
WORKER_DIED: Final = "WORKER_DIED"


class Kind(StrEnum):
    """What may be wrong; every one of them must be zero."""

    LOST = "lost"  # accepted, and neither the ledger nor the broker knows of it
    REFUSED = "refused"  # a producer was told no although the request was right
    PAID_TWICE = "paid_twice"  # a call for an invoice that was paid already
    OVERLAPPING = "overlapping"  # two calls for one invoice at the same time
    UNREAD = "repeated_before_read"  # a second call, and nobody had asked the portal after the first
    WRONG_VERDICT = "wrong_verdict"  # the ledger says paid and the portal does not, or the other way round
    UNRESOLVED = "unresolved"  # still open in the end
    WRONG_RESULT = "wrong_result"  # the result backend does not say what the ledger says


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one invoice."""

    kind: Kind
    invoice: Invoice
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came out of the comparison."""

    findings: tuple[Finding, ...]
    accepted: int  # invoices
    paid: int
    worker_died: int  # failed after three deaths, and the portal agrees that nothing was paid
    failed: int  # for any other reason
    rolled_back: int  # accepted just before a power loss that took the acceptance; asked for again
    called_again: int  # second calls that were right: the portal had been asked first

    @property
    def counts(self) -> dict[str, int]:
        """How many findings of each kind, zeros included."""
        return {kind.value: sum(each.kind is kind for each in self.findings) for kind in Kind}


def check(facts: Facts) -> Verdict:
    """Compare everything."""
    accepted = _by_invoice(told for told in facts.told if told.handle is not None)
    rows = {row.invoice: row for row in facts.rows}
    calls = _by_invoice(facts.calls)
    records = {record.invoice: record for record in facts.records}
    findings = [
        *_refused(facts.told),
        *_missing(accepted, rows, facts),
        *_unresolved(facts.rows),
        *_wrong_verdicts(facts.rows, records),
        *_wrong_calls(calls, facts),
        *_paid_in_a_race(facts.records),
        *_wrong_results(accepted, facts),
    ]
    died = [row for row in facts.rows if row.state is State.FAILED and row.code == WORKER_DIED]
    return Verdict(
        findings=tuple(findings),
        accepted=len(accepted),
        paid=sum(row.state is State.PAID for row in facts.rows),
        worker_died=len(died),
        failed=sum(row.state is State.FAILED for row in facts.rows) - len(died),
        rolled_back=sum(_was_rolled_back(told, facts) for told in accepted.values()),
        called_again=sum(len(each) - 1 for each in calls.values()),
    )


Told_ = Mapping[Invoice, Sequence[Told]]
Named = TypeVar("Named", Told, Call)


def _by_invoice(things: Iterable[Named]) -> dict[Invoice, list[Named]]:
    found: dict[Invoice, list[Named]] = defaultdict(list)
    for thing in things:
        found[thing.invoice].append(thing)
    return dict(found)


def _refused(told: Iterable[Told]) -> Iterator[Finding]:
    for each in told:
        if each.handle is None:
            yield Finding(Kind.REFUSED, each.invoice, f"the {each.door} door refused it: {each.text}")


def taken_by(rollbacks: Iterable[Rollback], at_s: float) -> bool:
    """Whether what was acknowledged at this moment may be gone."""
    return any(each.from_s <= at_s <= each.to_s for each in rollbacks)


def _missing(accepted: Told_, rows: Mapping[Invoice, Row], facts: Facts) -> Iterator[Finding]:
    """Accepted and not in the ledger; every acceptance that a power loss took must have been asked for again."""
    for invoice, told in accepted.items():
        if invoice in rows:
            continue
        last = told[-1]
        if place := facts.waiting.get(last.handle or ""):
            yield Finding(Kind.UNRESOLVED, invoice, f"accepted at {last.at_s:.3f} s, and still in the broker ({place})")
        elif not taken_by(facts.rollbacks, last.at_s):
            yield Finding(Kind.LOST, invoice, f"accepted at {last.at_s:.3f} s through the {last.door} door, and gone")
        else:
            yield Finding(Kind.UNRESOLVED, invoice, "a power loss took it, and it was not asked for again")


def _was_rolled_back(told: Sequence[Told], facts: Facts) -> bool:
    return len(told) > 1 and any(taken_by(facts.rollbacks, each.at_s) for each in told[:-1])


def _unresolved(rows: Iterable[Row]) -> Iterator[Finding]:
    for row in rows:
        if row.state in OPEN:
            yield Finding(Kind.UNRESOLVED, row.invoice, f"still {row.state} after {row.attempts} attempts")


def _wrong_verdicts(rows: Iterable[Row], records: Mapping[Invoice, Record]) -> Iterator[Finding]:
    in_ledger = set()
    for row in rows:
        in_ledger.add(row.invoice)
        record = records.get(row.invoice)
        paid = record is not None and record.paid
        if row.state is State.PAID and not paid:
            yield Finding(Kind.WRONG_VERDICT, row.invoice, "paid in the ledger, not paid at the portal")
        elif row.state in (State.FAILED, State.CANCELLED) and paid:
            text = f"{row.state} ({row.code}) in the ledger, paid at the portal"
            yield Finding(Kind.WRONG_VERDICT, row.invoice, text)
    for invoice, record in records.items():
        if record.paid and invoice not in in_ledger:
            yield Finding(Kind.WRONG_VERDICT, invoice, "paid at the portal, unknown to the ledger")


def _wrong_calls(calls: Mapping[Invoice, Sequence[Call]], facts: Facts) -> Iterator[Finding]:
    reads = _reads_of(facts.reads, {invoice for invoice, each in calls.items() if len(each) > 1})
    overlapping = 0
    for invoice, unordered in calls.items():
        if len(unordered) == 1:
            continue
        ordered = sorted(unordered, key=lambda call: (call.arrived_s, call.request))
        for first, second in pairwise(ordered):
            if second.arrived_s < first.ended_s:
                overlapping += 1
                text = f"called at {second.arrived_s:.3f} s while an earlier call ran until {first.ended_s:.3f} s"
                yield Finding(Kind.OVERLAPPING, invoice, text)
            if not any(_between(first, read, second) for read in reads[invoice]):
                text = f"called at {first.arrived_s:.3f} s and again at {second.arrived_s:.3f} s without a read between"
                yield Finding(Kind.UNREAD, invoice, text)
        for call in ordered:
            if call.repeat:
                yield Finding(Kind.PAID_TWICE, invoice, f"paid again at {call.ended_s:.3f} s")
    if facts.overlaps > overlapping:
        text = f"the portals saw {facts.overlaps} overlapping calls, their journals show {overlapping}"
        yield Finding(Kind.OVERLAPPING, Invoice("*", 0), text)


def _paid_in_a_race(records: Iterable[Record]) -> Iterator[Finding]:
    """Two calls that both saw the invoice unpaid: neither of them is a repeat, and the money moved twice."""
    for record in records:
        if record.effects > 1:
            yield Finding(Kind.PAID_TWICE, record.invoice, f"{record.effects} payments were booked")


def _reads_of(reads: Iterable[Read], invoices: Iterable[Invoice]) -> dict[Invoice, list[Read]]:
    """Which reads cover which invoice, for the few that were called more than once."""
    found: dict[Invoice, list[Read]] = {invoice: [] for invoice in invoices}
    for read in reads:
        for number in read.numbers:
            if (covered := found.get(Invoice(read.portal, number))) is not None:
                covered.append(read)
    return found


def _between(first: Call, read: Read, second: Call) -> bool:
    """Whether a read speaks of the first call and was answered before the second: it runs behind the pays of the same
    batch, or it was asked for later."""
    asked_after = read.request == first.request or read.arrived_s >= first.arrived_s
    return asked_after and read.answered_s <= second.arrived_s


_RESULTS: Final = {State.PAID: "SUCCESS", State.FAILED: "FAILURE", State.CANCELLED: "FAILURE"}


def _wrong_results(accepted: Told_, facts: Facts) -> Iterator[Finding]:
    rows = {row.id: row for row in facts.rows}
    results = {result.handle: result for result in facts.results}
    for invoice, told in accepted.items():
        # An acceptance that a power loss took has no result; the one that was asked for again has.
        for handle in {each.handle for each in told if each.handle is not None and each.handle in facts.handles}:
            row = rows.get(facts.handles[handle])
            if row is None or row.state in OPEN:
                continue
            if problem := _result_problem(row, results.get(handle)):
                yield Finding(Kind.WRONG_RESULT, invoice, f"{problem} (ledger: {row.state})")


def _result_problem(row: Row, result: Result | None) -> str:
    if result is None:
        return "no result"
    if result.celery_state != _RESULTS[row.state]:
        return f"the result is {result.celery_state}"
    if row.state is State.PAID and (result.status, result.number) != ("paid", row.invoice.number):
        return f"the result speaks of invoice {result.number} as {result.status}"
    return ""
