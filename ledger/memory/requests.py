"""Writing requests into the book (the twin of lua/open.lua)."""

from dataclasses import replace

from ledger.history import entry, noted
from ledger.ledger import Accepted, AlreadyPaid, Conflict, Joined, Opened, UnknownPortal
from ledger.memory.book import OVER, Book, is_open, new_row, same_content
from ledger.payment import Handle, NewPayment, Payment, State


def open_one(book: Book, ask: NewPayment) -> Opened:
    """Write one request down, or say why not."""
    if answer := _known(book, ask):
        return answer
    if not book.is_lane(ask.portal):
        return UnknownPortal(ask.portal)
    latest = book.latest_of(ask.portal, ask.invoice_id)
    if latest is None:
        return _write(book, ask)
    if latest.state in OVER:
        return _write(book, ask, read_first=_may_have_paid(book, latest))
    return _open_again(book, ask, latest) if latest.state is State.PAID else _open_beside(book, ask, latest)


def _open_again(book: Book, ask: NewPayment, paid: Payment) -> Opened:
    if ask.idempotency_key:
        return _write(book, ask, paid, read_first=True)
    _name(book, paid, ask.id, late=True)
    book.wishes.want(paid, ask, late=True)
    return AlreadyPaid(replace(paid, duplicate=True))


def _open_beside(book: Book, ask: NewPayment, latest: Payment) -> Opened:
    if not same_content(latest, ask):
        return Conflict(latest.id, "invoice")
    if ask.idempotency_key:
        book.keys[ask.idempotency_key] = latest.id
    return _join(book, latest, ask)


def _known(book: Book, ask: NewPayment) -> Opened | None:
    """A handle or key that is known already decides alone."""
    row, late = book.resolve(ask.id)
    if row is not None and late and (row.portal, row.invoice_id) == (ask.portal, ask.invoice_id):
        book.wishes.want(row, ask, late=True)
        return AlreadyPaid(replace(row, duplicate=True))
    if row is not None and not same_content(row, ask):
        return Conflict(row.id, "handle")
    if row is not None:
        book.wishes.want(row, ask)
        return Joined(row)
    return _known_key(book, ask)


def _known_key(book: Book, ask: NewPayment) -> Opened | None:
    row = (
        book.rows.get(book.keys[ask.idempotency_key])
        if ask.idempotency_key and ask.idempotency_key in book.keys
        else None
    )
    if row is None:
        return None
    if not same_content(row, ask):
        return Conflict(row.id, "key")
    # The same request once more, under another handle: whoever sent it waits for one callback.
    known = ask.callback is not None and book.wishes.has(row, ask.callback)
    return _join(book, row, replace(ask, callback=None) if known else ask)


def _join(book: Book, row: Payment, ask: NewPayment) -> Joined:
    _name(book, row, ask.id, late=False)
    if is_open(row):
        row = replace(row, history=noted(row, entry(row, "j", book.now(), "H")))
        book.rows[row.id] = row
    book.wishes.want(row, ask)
    return Joined(row)


def _name(book: Book, row: Payment, handle: Handle, *, late: bool) -> None:
    book.aliases[handle] = (row.id, late)
    if not is_open(row):
        book.outbox[handle] = book.now()


def _may_have_paid(book: Book, ended: Payment) -> bool:
    """Whether an earlier payment that has ended unpaid may have paid the invoice all the same.

    What the portal itself refused, in the answer to the latest call, it has not paid; any other end says less.
    """
    doubted = ended.quiet_until is not None or ended.because is not None or ended.id in book.read_first
    perhaps = ended.sent_at is not None or ended.id in book.screened
    return doubted or book.perhaps_sent(ended) or (ended.state is State.CANCELLED and perhaps)


def _write(book: Book, ask: NewPayment, paid_before: Payment | None = None, *, read_first: bool = False) -> Accepted:
    row = replace(new_row(ask, book.now()), after=paid_before.id if paid_before else None)
    book.rows[row.id] = row
    book.latest[ask.portal, ask.invoice_id] = row.id
    if row.idempotency_key:
        book.keys[row.idempotency_key] = row.id
    if read_first:
        book.read_first[row.id] = paid_before.id if paid_before else None
    book.tallies.accepted()
    book.wishes.want(row, ask)
    book.queue_up(row)
    return Accepted(row)
