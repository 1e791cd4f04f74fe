"""Who has handed in how many payments, as rows of the audit: gathered, because a row per request would outgrow them.

A token's first payment is in the audit a second later, a stream of them is a row a minute. What a process had not
written when it was killed is missing there; the payments themselves are in the ledger, and each request is in the log.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog
from redis.exceptions import RedisError

from access.audit import Audit, Ending, Intent, Origin, Outcome
from access.roles import Principal

log = structlog.get_logger(__name__)

ACCEPT: Final = "payment.accept"
FIRST_S: Final = 1.0
EVERY_S: Final = 60.0
# Portals that are named in a row, those with the most payments.
_MOST_PORTALS: Final = 20


@dataclass(slots=True)
class _Tally:
    """What one token has handed in since its latest row."""

    who: Principal
    due_at: float
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    requests: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    request_id: str = ""


class Intake:
    """Counts in one process, and writes rows from a task of its own."""

    def __init__(self, *, first_s: float = FIRST_S, every_s: float = EVERY_S) -> None:
        self._first_s, self._every_s = first_s, every_s
        self._clock: Callable[[], float] = time.monotonic
        self._tallies: dict[str, _Tally] = {}
        self._written_at: dict[str, float] = {}
        self._writing: asyncio.Task[None] | None = None

    def count(self, audit: Audit, who: Principal, request_id: str, accepted: Mapping[str, int]) -> None:
        """A request has become so many new payments by portal; costs no trip."""
        key = who.token_id or who.name
        tally = self._tallies.get(key)
        if tally is None:
            now = self._clock()
            due_at = max(now + self._first_s, self._written_at.get(key, now - self._every_s) + self._every_s)
            self._tallies[key] = tally = _Tally(who, due_at)
        tally.requests += 1
        tally.accepted.update(accepted)
        tally.request_id = request_id
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(audit))

    async def close(self, audit: Audit) -> None:
        """Write down what is not written yet."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        await self._write_due(audit, float("inf"))

    async def _write(self, audit: Audit) -> None:
        try:
            while self._tallies:
                next_at = min(tally.due_at for tally in self._tallies.values())
                await asyncio.sleep(max(0.0, next_at - self._clock()))
                await self._write_due(audit, self._clock())
        finally:
            self._writing = None

    async def _write_due(self, audit: Audit, now: float) -> None:
        for key, tally in list(self._tallies.items()):
            if tally.due_at > now:
                continue
            del self._tallies[key]  # first: what comes meanwhile is the next row's
            try:
                await audit.note(_intent(tally), _ending(tally))
            except (RedisError, OSError) as error:
                log.warning("web.intake_unwritten", who=tally.who.name, error=type(error).__name__)
                self._put_back(key, tally)
            else:
                self._written_at[key] = self._clock()

    def _put_back(self, key: str, tally: _Tally) -> None:
        newer = self._tallies.get(key)
        if newer is not None:
            tally.requests += newer.requests
            tally.accepted += newer.accepted
            tally.request_id = newer.request_id
        tally.due_at = self._clock() + self._first_s
        self._tallies[key] = tally


def _intent(tally: _Tally) -> Intent:
    return Intent(
        who=tally.who.name,
        role=tally.who.role.value,
        origin=Origin.HTTP,
        what=ACCEPT,
        subjects=[portal for portal, _ in tally.accepted.most_common(_MOST_PORTALS)],
        request_id=tally.request_id,
        token=tally.who.token_id,
    )


def _ending(tally: _Tally) -> Ending:
    after = {
        "requests": tally.requests,
        "accepted": tally.accepted.total(),
        "by_portal": dict(tally.accepted.most_common(_MOST_PORTALS)),
        "since": f"{tally.since:%Y-%m-%dT%H:%M:%SZ}",
    }
    return Ending(outcome=Outcome.DONE, after=after)
