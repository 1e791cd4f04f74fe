"""Invoices and payments of a portal: they exist without taking memory until something happens to them."""

from dataclasses import dataclass, field
from enum import StrEnum

from emulator.php import Value
from emulator.settings import RecordSettings


class Change(StrEnum):
    """What an administrator (or a test) does to a record."""

    UNPAY = "unpay"
    PAY = "pay"
    CANCEL = "cancel"
    RESTORE = "restore"
    DELETE = "delete"
    HIDE = "hide"
    SHOW = "show"


@dataclass(slots=True)
class Record:
    """One invoice, or one payment of an order."""

    paid: bool = False
    canceled: bool = False
    missing: bool = False
    unreadable: bool = False
    marked: str = ""
    paid_at: float | None = None
    paid_by: int | None = None
    voucher_at: float | None = None
    response_at: float | None = None
    updated_at: float | None = None
    stamps: dict[str, Value] | None = None
    effects: int = 0  # full "paid" side effects: events, mails, receipts
    unpaid_times: int = 0


@dataclass(slots=True)
class Tally:
    """Exact totals over a store's whole life since the last reset."""

    pays: int = 0  # calls that reached the save
    effects: int = 0  # full "paid" side effects
    repeats: int = 0  # saves of a record that was paid already
    no_ops: int = 0  # `true` of a pay system that pays nothing
    swallowed: int = 0  # `true` after a save that failed
    doubles: int = 0  # side effects beyond the one a record may have (an admin's unpay allows one more)
    overlaps: int = 0  # calls that began while another call for the same record was running
    late: int = 0  # side effects that came when the caller had gone
    paid: int = 0  # records paid by calls and still paid


@dataclass(slots=True)
class RecordStore:
    """The records of one portal that have been touched, over the settings that describe the rest."""

    settings: RecordSettings
    rows: dict[int, Record] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    _running: dict[int, int] = field(default_factory=dict)

    def find(self, number: int) -> Record | None:
        """The record as it is now, or None; reading leaves no trace."""
        row = self.rows.get(number) or self._fresh(number)
        return None if row is None or row.missing else row

    def row(self, number: int) -> Record:
        """The record to be changed; it takes memory from now on."""
        row = self.rows.get(number)
        if row is None:
            row = self._fresh(number) or Record(missing=True)
            self.rows[number] = row
        return row

    def _fresh(self, number: int) -> Record | None:
        known = self.settings
        if number not in known.exist or number in known.missing:
            return None
        return Record(
            paid=number in known.paid, canceled=number in known.canceled, unreadable=number in known.unreadable
        )

    def begin(self, number: int) -> None:
        """A call for this record starts; count it when another one is running."""
        running = self._running.get(number, 0)
        self.tally.overlaps += running > 0
        self._running[number] = running + 1

    def end(self, number: int) -> None:
        """The call has ended."""
        running = self._running.pop(number, 1) - 1
        if running:
            self._running[number] = running

    def save_paid(self, number: int, *, first: bool, at: float, today: float, user: int, late: bool) -> Record:
        """Write what a successful pay writes; `first` says what the call had loaded before."""
        row, tally = self.row(number), self.tally
        tally.pays += 1
        row.response_at = row.updated_at = at
        row.voucher_at = today
        if not first:
            tally.repeats += 1
            return row
        tally.paid += not row.paid
        row.paid, row.paid_at, row.paid_by = True, at, user
        row.effects += 1
        tally.effects += 1
        tally.late += late
        tally.doubles += row.effects - row.unpaid_times > 1
        return row

    def change(self, number: int, change: Change, at: float) -> Record:
        """Do by hand what a person on the portal may do; no payment side effects are counted."""
        row = self.row(number)
        row.updated_at = at
        if change in (Change.UNPAY, Change.PAY):
            self._set_paid(row, paid=change is Change.PAY, at=at)
        elif change in (Change.CANCEL, Change.RESTORE):
            row.canceled = change is Change.CANCEL
            row.missing = False
        elif change is Change.DELETE:
            row.missing = True
        else:
            row.unreadable = change is Change.HIDE
        return row

    def _set_paid(self, row: Record, *, paid: bool, at: float) -> None:
        if row.paid and not paid and row.effects:
            self.tally.paid -= 1
            row.unpaid_times += 1
        elif paid and not row.paid and row.effects:
            self.tally.paid += 1
        row.paid = paid
        row.paid_at = at if paid else None
        row.paid_by = None
        row.voucher_at = at if paid else None
