"""Results that are owed to their handles, of a book in memory."""

from collections.abc import Sequence
from datetime import timedelta

from ledger.ledger import Undelivered
from ledger.memory.book import Book, shown


def owed(book: Book, limit: int, older_than_s: float) -> list[Undelivered]:
    """Final results that were not confirmed as delivered, oldest first."""
    latest = book.now() - timedelta(seconds=older_than_s)
    due = sorted((at, handle) for handle, at in book.outbox.items() if at <= latest)[:limit]
    book.forget_expired()
    rows = [shown(*book.resolve(handle)) for _, handle in due]
    return [Undelivered(handle, row) for (_, handle), row in zip(due, rows, strict=True) if row is not None]


def confirm(book: Book, confirmed: Sequence[Undelivered]) -> None:
    """Results that arrived are owed no more; one that is out of date confirms nothing."""
    book.forget_expired()
    for entry in confirmed:
        row, _ = book.resolve(entry.handle)
        told = entry.payment
        if row is None or (row.state, row.finished_at) == (told.state, told.finished_at):
            book.outbox.pop(entry.handle, None)
