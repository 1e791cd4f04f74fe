"""The storm's own time: it stands still while a strike waits for its prey, so a slow machine has the same storm."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_POLL_S: Final = 0.05
# While the storm waits, producers go on at this pace: there must be something to strike.
_MEANWHILE_S: Final = 0.5


class Tempo:
    """Seconds of the plan. In all it may stand still for `patience_s`; after that nothing is waited for any more."""

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._patience_s = patience_s
        self._stood_s = 0.0
        self._standing_since: float | None = None

    def begin(self) -> None:
        """The storm begins now."""
        self._began = self._clock()

    @property
    def now_s(self) -> float:
        """Seconds of the plan that have passed."""
        return self._clock() - self._began - self.stood_s

    @property
    def stood_s(self) -> float:
        """How long it has stood still."""
        since = self._standing_since
        return self._stood_s + (self._clock() - since if since is not None else 0.0)

    @property
    def patient(self) -> bool:
        """Whether it may still stand."""
        return self.stood_s < self._patience_s

    @contextmanager
    def standing(self) -> Iterator[None]:
        """It stands still while something is waited for."""
        self._standing_since = self._clock()
        try:
            yield
        finally:
            self._stood_s, self._standing_since = self.stood_s, None

    async def reach(self, moment_s: float) -> None:
        """Wait for a moment of the plan."""
        while (left_s := moment_s - self.now_s) > 0:  # noqa: ASYNC110 - time itself is waited for, and it may stand still
            await asyncio.sleep(min(left_s, _POLL_S))

    async def reach_or_stand(self, moment_s: float) -> None:
        """Wait for a moment of the plan, but only for a short while when the time stands."""
        stood_from: float | None = None
        while (left_s := moment_s - self.now_s) > 0:
            stood_from = (stood_from or self._clock()) if self._standing_since is not None else None
            if stood_from is not None and self._clock() - stood_from > _MEANWHILE_S:
                return
            await asyncio.sleep(min(left_s, _POLL_S))
