"""Waiting for many payments to end: the ledger is asked in chunks until all are final."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ledger.ledger import Ledger
    from ledger.payment import Payment

CHUNK: Final = 500
# Chunks without news after which a look ends: the lanes are queues, the rest has probably not moved either.
_IDLE_CHUNKS: Final = 8
_FIRST_LOOK_S: Final = 0.1
_LONGEST_LOOK_S: Final = 1.0


@dataclass(slots=True)
class Standing:
    """How a set of payments stands; every payment counts once."""

    states: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)  # error code of the failed ones
    held: dict[str, str] = field(default_factory=dict)  # portal -> why nothing moves there
    gone: int = 0  # not in the ledger any more

    @property
    def final(self) -> int:
        """How many have ended."""
        return self.states["paid"] + self.states["failed"] + self.states["cancelled"] + self.gone


class Waiting:
    """A crowd of payments named by line number; only numbers are held, a handle is made when it is needed."""

    def __init__(self, ledger: "Ledger", lines: Sequence[int], handle: Callable[[int], str]) -> None:
        self.standing = Standing()
        self._ledger = ledger
        self._handle = handle
        self._pending = deque(lines)
        self._open: dict[int, tuple[str, str]] = {}  # line -> state and portal at the latest look

    @property
    def pending(self) -> int:
        """How many have not ended."""
        return len(self._pending)

    async def look(self) -> bool:
        """Ask for pending payments while that shows progress; True when any payment ended."""
        ended, idle = 0, 0
        for _ in range(0, len(self._pending), CHUNK):
            lines = [self._pending.popleft() for _ in range(min(CHUNK, len(self._pending)))]
            rows = await self._ledger.find([self._handle(line) for line in lines])
            now_ended = sum(self._note(line, row) for line, row in zip(lines, rows, strict=True))
            ended += now_ended
            # Payments that did not end go to the back, so a slow portal's rows cannot hide a quick one's.
            idle += not now_ended
            if idle == _IDLE_CHUNKS:
                break
        self._count_open()
        return ended > 0

    async def until_final(self, on_look: Callable[[Standing], None], *, timeout_s: float | None = None) -> None:
        """Look until all have ended, time is up, or everything that is left waits in held lanes."""
        from asyncio import sleep

        end = None if timeout_s is None else time.monotonic() + timeout_s
        look_s = _FIRST_LOOK_S
        while True:
            moved = await self.look()
            await self._look_for_held_lanes()
            on_look(self.standing)
            if not self._pending or self._all_held() or (end is not None and time.monotonic() >= end):
                break
            look_s = _FIRST_LOOK_S if moved else min(look_s * 1.5, _LONGEST_LOOK_S)
            await sleep(look_s if end is None else max(0.0, min(look_s, end - time.monotonic())))

    def _note(self, line: int, payment: "Payment | None") -> bool:
        """Count a payment that ended; True when it did."""
        from ledger.payment import OPEN, State

        if payment is not None and payment.state in OPEN:
            self._pending.append(line)
            self._open[line] = (payment.state.value, payment.portal)
            return False
        self._open.pop(line, None)
        if payment is None:
            self.standing.gone += 1
            return True
        self.standing.states[payment.state.value] += 1
        if payment.state is State.FAILED:
            self.standing.failures[payment.error.code if payment.error else "UNKNOWN"] += 1
        return True

    def _count_open(self) -> None:
        states = Counter(state for state, _ in self._open.values())
        states["queued"] += len(self._pending) - len(self._open)
        for name in ("queued", "sending", "in_doubt"):
            self.standing.states[name] = states[name]

    async def _look_for_held_lanes(self) -> None:
        portals = sorted({portal for _, portal in self._open.values()})
        lanes = await self._ledger.lanes(portals) if portals else []
        self.standing.held = {lane.portal: f"{lane.held.code}: {lane.held.text}" for lane in lanes if lane.held}

    def _all_held(self) -> bool:
        if len(self._open) < len(self._pending):
            return False
        return all(portal in self.standing.held and state != "sending" for state, portal in self._open.values())
