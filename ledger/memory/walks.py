"""Walking through a lane in memory (the twin of lua/walk.lua and lua/portals.lua)."""

from collections.abc import Collection, Iterator, Mapping

from ledger.memory.book import Book, Lane, is_open
from ledger.payment import Payment, PaymentId, PortalKey, State
from ledger.walks import MOST_NAMES, START, Place, Sought, Walked

# Queued payments stand in three places: to be read first, to send, and suspects.
_STAGES: Mapping[State, tuple[str, ...]] = {
    State.QUEUED: ("r", "q", "x"),
    State.SENDING: ("s",),
    State.IN_DOUBT: ("d",),
    State.PAID: ("p",),
    State.FAILED: ("f",),
    State.CANCELLED: ("c",),
}


class Walk:
    """One page of a lane in one state."""

    def __init__(self, book: Book, portal: str, state: State) -> None:
        book.forget_expired()
        self._rows, self._lane, self._state = book.rows, book.lanes.get(portal, Lane(portal)), state

    def page(self, sought: Sought, place: Place, limit: int) -> Walked:
        """The next payments of those that are sought, and where to go on."""
        found = list[Payment]()
        for stage, payment_id in _behind(self._lane, self._state, place):
            row = self._rows.get(payment_id)
            if row is not None and row.state is self._state and _fits(row, sought):
                found.append(row)
            if len(found) == limit:
                return Walked(tuple(found), _reached(self._lane, stage, payment_id, place))
        return Walked(tuple(found), None)


def portals(book: Book, after: str, limit: int, states: Collection[State]) -> tuple[list[PortalKey], str | None]:
    """Name the next lanes behind a key that have a payment in one of these states."""
    known = sorted(name for name in book.lanes if book.is_lane(name) and name > after)
    some = [name for name in known if not states or any(row.state in states for row in _rows(book, book.lanes[name]))]
    found = [PortalKey(name) for name in some[:limit]]
    return found, found[-1] if found and found[-1] != known[-1] else None


def _rows(book: Book, lane: Lane) -> list[Payment]:
    return book.known([*lane.queue, *lane.suspects, *lane.sending, *lane.doubts, *lane.finished])


def _behind(lane: Lane, state: State, place: Place) -> Iterator[tuple[str, PaymentId]]:
    """What stands behind the place, with its stage."""
    stages = _STAGES[state]
    for stage in stages[stages.index(place.stage) if place.stage else 0 :]:
        here = place if stage == place.stage else START
        yield from ((stage, payment_id) for payment_id in _of(lane, stage, here))


def _of(lane: Lane, stage: str, place: Place) -> list[PaymentId]:
    if stage in ("r", "d"):
        return sorted(payment_id for payment_id in lane.doubts if not place.names or payment_id > place.names[0])
    if stage in ("q", "x"):
        queue = lane.queue if stage == "q" else lane.suspects
        seen = [queue.index(PaymentId(name)) + 1 for name in place.names if name in queue]
        return queue[seen[0] if seen else 0 :]
    if stage == "s":
        return [payment_id for payment_id in lane.sending if not place.at or lane.order[payment_id] > int(place.at)]
    ended = reversed(lane.finished)
    return [payment_id for payment_id in ended if not place.at or lane.order[payment_id] < int(place.at)]


def _reached(lane: Lane, stage: str, payment_id: PaymentId, before: Place) -> Place:
    if stage in ("r", "d"):
        return Place(stage, names=(payment_id,))
    if stage in ("q", "x"):
        earlier = before.names if before.stage == stage else ()
        return Place(stage, names=(payment_id, *earlier)[:MOST_NAMES])
    return Place(stage, at=str(lane.order[payment_id]))


def _fits(row: Payment, sought: Sought) -> bool:
    moment = row.enqueued_at if is_open(row) or row.finished_at is None else row.finished_at
    if (sought.since and moment < sought.since) or (sought.until and moment >= sought.until):
        return False
    read = None if row.state is State.FAILED else row.last_read_error
    codes = {error.code for error in (row.error, read) if error is not None}
    return sought.code in codes if sought.code else bool(codes) or not sought.troubled
