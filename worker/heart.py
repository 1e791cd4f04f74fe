"""What makes a worker's signs of life: it says on the ledger's server, every two seconds, how it is."""

import asyncio
import os
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from metrics.life import EVERY_S, Doing, SignsOfLife
from metrics.pulse import Beat, Pulse

log = structlog.get_logger(__name__)

END_WITHIN_S = 1.0  # of a stop that has 28 s for more important things


class Heart:
    """Beats on the payments' loop; when that stands still, the silence says so."""

    def __init__(
        self,
        node: str,
        pulse: Pulse,
        signs: SignsOfLife,
        metrics: Callable[[], str | None],
        doing: Callable[[], Doing] | None = None,
    ) -> None:
        self._node = node
        self._pulse = pulse
        self._signs = signs
        self._metrics = metrics
        self._doing = doing

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            try:
                await self.beat()
            except (RedisError, OSError) as error:
                log.debug("life.unheard", error=type(error).__name__)
            except Exception as error:
                log.exception("life.stumbled", error=type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def beat(self) -> None:
        """Say how this worker is; raises what the client raises."""
        hindrance = self._pulse.hindrance(but=Beat.REDIS)  # who reads it has Redis
        doing = self._doing() if self._doing else None
        await self._signs.say(self._node, hindrance=hindrance, pid=os.getpid(), metrics=self._metrics(), doing=doing)
        self._pulse.feed(Beat.REDIS)

    async def end(self) -> None:
        """The worker stops in order; one that cannot say so is missed for some minutes."""
        try:
            async with asyncio.timeout(END_WITHIN_S):
                await self._signs.leave(self._node)
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("life.unheard", error=type(error).__name__)
