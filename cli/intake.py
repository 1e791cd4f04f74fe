"""From rows of a sheet to payments in the ledger: chunk by chunk, with one outcome a line."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Final, assert_never

from cli.sheet import BadRow, Row, Sheet
from config.redaction import redact

if TYPE_CHECKING:
    from ledger.ledger import Conflict, Ledger, Opened, UnknownPortal
    from ledger.payment import NewPayment

# Rows of one step of the ledger: they may leave while the next are read. Also what a crash would have to join again.
CHUNK: Final = 400


class Outcome(StrEnum):
    """What became of one line."""

    ACCEPTED = "accepted"  # a payment of its own
    RESUMED = "resumed"  # an earlier import of this very file had it accepted
    JOINED = "joined"  # the same request is known: from another line, or from before
    ALREADY_PAID = "already_paid"  # the ledger knows the invoice as paid
    INVALID = "invalid"  # the row cannot be read or is no payment
    UNKNOWN_PORTAL = "unknown_portal"
    CONFLICT = "conflict"  # another payment is in the way


REJECTED: Final = frozenset({Outcome.INVALID, Outcome.UNKNOWN_PORTAL, Outcome.CONFLICT})
_KINDS: Final = tuple(Outcome)


class Intake:
    """The outcome of every line, in a few bytes each: a file may have a million."""

    def __init__(self) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.notes: dict[int, str] = {}  # line -> why it was rejected, or what it joined
        self._lines = array("L")
        self._outcomes = bytearray()
        # portal -> invoice -> the first line that asked for it, to name the other of two rows.
        self._first: defaultdict[str, dict[int, int]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[tuple[int, Outcome]]:
        return ((line, _KINDS[kind]) for line, kind in zip(self._lines, self._outcomes, strict=True))

    @property
    def rejected(self) -> int:
        """How many lines made no payment."""
        return sum(self.counts[outcome] for outcome in REJECTED)

    @property
    def payments(self) -> list[int]:
        """The lines that have a payment, in order."""
        return [line for line, outcome in self if outcome not in REJECTED]

    @property
    def rejections(self) -> Iterator[tuple[int, str]]:
        """The rejected lines with their causes."""
        return ((line, self.notes[line]) for line, outcome in self if outcome in REJECTED)

    def add(self, line: int, outcome: Outcome, note: str = "") -> None:
        """Note one line; lines come in order."""
        self.counts[outcome] += 1
        self._lines.append(line)
        self._outcomes.append(_KINDS.index(outcome))
        if note:
            self.notes[line] = note

    def first_line(self, request: "NewPayment", line: int) -> int:
        """The first line that asked for this invoice; this one where there is none before."""
        return self._first[request.portal].setdefault(request.invoice_id, line)


class Rehearsal:
    """What the ledger would say of the rows of one file, as far as the file and the portals tell; writes nothing."""

    def __init__(self, portals: Collection[str]) -> None:
        self._portals = portals
        # portal -> invoice -> what its first row names as paying it, as a number: a file may have a million rows.
        self._paid_by: defaultdict[str, dict[int, int]] = defaultdict(dict)

    def note(self, intake: Intake, line: int, request: "NewPayment") -> None:
        """Note one row as an import would."""
        from ledger.ledger import UnknownPortal

        if request.portal not in self._portals:
            intake.add(line, Outcome.UNKNOWN_PORTAL, _unknown(UnknownPortal(request.portal)))
            return
        content = hash((request.pay_system_id, request.bx_rest_handler))
        first = intake.first_line(request, line)
        same = self._paid_by[request.portal].setdefault(request.invoice_id, content) == content
        if first == line:
            intake.add(line, Outcome.ACCEPTED)
        elif same:
            intake.add(line, Outcome.JOINED, f"the same as line {first}")
        else:
            intake.add(line, Outcome.CONFLICT, _otherwise(first))


async def take_in(
    sheet: Sheet, ledger: "Ledger | Rehearsal", intake: Intake, on_chunk: Callable[[], None] = lambda: None
) -> None:
    """Open a payment for every good row; with a rehearsal the rows are only checked.

    Safe to repeat after any interruption: a line names its payment, so it joins itself.
    """
    rows = sheet.rows()
    while chunk := list(islice(rows, CHUNK)):
        parsed = [_parsed(sheet, row) for row in chunk]
        requests = [each for each in parsed if not isinstance(each, str)]
        answers = iter(() if isinstance(ledger, Rehearsal) else await ledger.open(requests))
        for row, each in zip(chunk, parsed, strict=True):
            if isinstance(each, str):
                intake.add(row.line, Outcome.INVALID, each)
            elif isinstance(ledger, Rehearsal):
                ledger.note(intake, row.line, each)
            else:
                _note(sheet, intake, row.line, each, next(answers))
        on_chunk()


def _parsed(sheet: Sheet, row: Row | BadRow) -> "NewPayment | str":
    from tasks.errors import InvalidPayment
    from tasks.payment import parse_payment

    if isinstance(row, BadRow):
        return row.cause
    try:
        return parse_payment(sheet.handle(row.line), row.fields)
    except InvalidPayment as error:
        # A row may hold anything in the wrong column, a webhook too.
        return redact(str(error))


def _note(sheet: Sheet, intake: Intake, line: int, request: "NewPayment", opened: "Opened") -> None:
    from ledger.ledger import Accepted, AlreadyPaid, Conflict, Joined, UnknownPortal

    first = intake.first_line(request, line)
    match opened:
        case Accepted():
            intake.add(line, Outcome.ACCEPTED)
        case Joined(payment) if str(payment.id) == request.id:
            intake.add(line, Outcome.RESUMED)
        case Joined(payment):
            intake.add(line, Outcome.JOINED, f"the same as {_other(sheet, payment.id, first)}")
        case AlreadyPaid(payment):
            intake.add(line, Outcome.ALREADY_PAID, f"paid already by {_other(sheet, payment.id, first)}")
        case Conflict():
            intake.add(line, Outcome.CONFLICT, _conflict(sheet, opened, first))
        case UnknownPortal():
            intake.add(line, Outcome.UNKNOWN_PORTAL, _unknown(opened))
        case _:
            assert_never(opened)


def _other(sheet: Sheet, payment_id: str, line: int) -> str:
    return f"line {line}" if sheet.handle(line) == payment_id else f"payment {payment_id}"


def _conflict(sheet: Sheet, opened: "Conflict", first: int) -> str:
    from tasks.result import refusal_of

    if sheet.handle(first) == opened.payment_id:
        return _otherwise(first)
    return str(refusal_of(opened))


def _otherwise(first: int) -> str:
    return f"line {first} pays this invoice in another way"


def _unknown(opened: "UnknownPortal") -> str:
    from tasks.result import refusal_of

    return str(refusal_of(opened))


def first_rejections(intake: Intake, most: int) -> Sequence[tuple[int, str]]:
    """The first rejected lines and why."""
    return list(islice(intake.rejections, most))
