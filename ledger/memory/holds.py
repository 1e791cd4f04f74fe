"""Lanes that wait for a person, and whose turn it is to be looked at (twin of lua/{hold,resume,take_probes}.lua)."""

from dataclasses import replace
from datetime import timedelta

from ledger.ledger import Held, Probe
from ledger.memory.book import Book, Lane
from ledger.payment import PortalKey

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(minutes=5)
# A lane that a probe resumed so short a time ago was not mended: its probes go on waiting longer.
EASED = timedelta(minutes=10)


def hold(book: Book, portal: str, reason: Held, *, probe: bool) -> bool:
    """Stop a lane; False when there is no such lane."""
    if not book.is_lane(portal):
        return False
    lane = book.lanes[portal]
    if lane.held is None:
        lane.held = reason
        if probe:
            lane.probe_wait = _first_wait(book, lane)
            lane.held = replace(reason, probe_at=book.now() + lane.probe_wait)
        # A leased lane stays due: should its driver die, the next one still recovers what it had sent.
        if lane.owner is None:
            lane.due = None
    elif not probe and lane.held.probe_at is not None:
        lane.held = replace(reason, since=lane.held.since)
    return True


def _first_wait(book: Book, lane: Lane) -> timedelta:
    eased = lane.eased is not None and lane.eased > book.now() - EASED
    return lane.probe_wait if eased and lane.probe_wait is not None else FIRST_WAIT


def take_probes(book: Book, limit: int) -> list[Probe]:
    """Hand out held lanes to be looked at, each once: its next turn comes after twice the wait."""
    turns = [(lane.held.probe_at, lane.portal) for lane in book.lanes.values() if lane.held and lane.held.probe_at]
    due = sorted(turn for turn in turns if turn[0] <= book.now())
    return [_taken(book, book.lanes[portal]) for _, portal in due[:limit]]


def _taken(book: Book, lane: Lane) -> Probe:
    if lane.held is None or lane.probe_wait is None:
        raise RuntimeError("only a held lane has a turn")
    lane.probe_wait = min(LONGEST_WAIT, 2 * lane.probe_wait)
    lane.held = replace(lane.held, probe_at=book.now() + lane.probe_wait)
    return Probe(PortalKey(lane.portal), lane.held.code, lane.held.since)


def resume(book: Book, portal: str, probe: Probe | None) -> bool:
    """Let a held lane go on, on trial; False when it was not held, or not as the probe says."""
    lane = book.lanes.get(portal)
    if lane is None or lane.held is None:
        return False
    if probe is not None and (lane.held.probe_at is None or lane.held.since != probe.since):
        return False
    lane.held = lane.pause = None
    lane.trial = True
    if probe is None:
        lane.eased = lane.probe_wait = None
    else:
        lane.eased = book.now()
    if lane.owner is None:
        book.schedule(lane, timedelta(0))
    return True


def pull_in(book: Book, lane: Lane) -> None:
    """Where the clock was set back, a held lane is looked at again no later than after its wait."""
    if lane.held is None or lane.held.probe_at is None or lane.probe_wait is None:
        return
    latest = book.now() + lane.probe_wait
    if lane.held.probe_at > latest:
        lane.held = replace(lane.held, probe_at=latest)
