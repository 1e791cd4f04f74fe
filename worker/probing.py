"""Look at held lanes now and then, and resume those whose cause is mended.

Every worker looks, without a leader: the ledger hands each turn to one of them. A look is one cheap request under the
lane's permit. What it cannot see, the resumed lane's first payment shows: it goes alone (`Lease.trial`).
"""

import asyncio
import random

import structlog
from redis.exceptions import RedisError

from bitrix24.errors import Effect, PortalError
from bitrix24.mending import is_mended, may_be_probed
from bitrix24.portal import Portal
from bitrix24.registry import RegistryError
from ledger.ledger import Probe
from worker.deps import Deps
from worker.holding import hold
from worker.lane import limits_of

log = structlog.get_logger(__name__)

EVERY_S = 2.0  # with jitter, so that many workers do not ask in step
AT_ONCE = 50  # looks under way in one process; each may take as long as a request


class Prober:
    """Looks at held lanes whose turn it is."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._looking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look until cancelled; what is under way then is given up, and its lane has another turn."""
        try:
            while True:
                await asyncio.sleep(EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
                try:
                    await self.begin()
                except (RedisError, OSError) as error:
                    log.warning("ledger.unavailable", error=type(error).__name__)
                except Exception as error:
                    log.exception("prober.stumbled", error=type(error).__name__)
        finally:
            for task in self._looking:
                task.cancel()

    async def begin(self) -> None:
        """Begin a look at each lane whose turn it is, as many as there is room for."""
        room = AT_ONCE - len(self._looking)
        for probe in await self._deps.ledger.take_probes(room):
            task = asyncio.create_task(self._look(probe))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _look(self, probe: Probe) -> None:
        try:
            if await self.look(probe) and await self._deps.ledger.resume(probe.portal, probe):
                log.info("lane.resumed", portal=probe.portal, code=probe.code, held_since=probe.since.isoformat())
        except (RedisError, OSError) as error:
            log.warning("ledger.unavailable", portal=probe.portal, error=type(error).__name__)
        except Exception as error:
            log.exception("prober.stumbled", portal=probe.portal, error=type(error).__name__)

    async def look(self, probe: Probe) -> bool:
        """Whether the cause is mended, as far as a cheap request can tell."""
        try:
            portal = await self._deps.registry.newest(probe.portal)
        except RegistryError as error:
            log.debug("lane.still_held", portal=probe.portal, code=probe.code, error=str(error))
            return False
        permit = await self._deps.limiter.acquire(portal.key, limits_of(portal), commands=0)
        if not permit.granted:
            log.debug("lane.still_held", portal=probe.portal, code=probe.code, error="no permit")
            return False
        try:
            mended = await is_mended(self._deps.client, portal)
        except PortalError as error:
            await self._heed(portal, error)
            log.debug("lane.still_held", portal=probe.portal, code=probe.code, error=str(error))
            return False
        if not mended:
            log.debug("lane.still_held", portal=probe.portal, code=probe.code, error="it may not pay")
        return mended

    async def _heed(self, portal: Portal, error: PortalError) -> None:
        if error.meaning.effect is Effect.RATE:
            await self._deps.limiter.refused(portal.key, limits_of(portal))
        elif error.meaning.effect is Effect.HOLD and not may_be_probed(error):
            await hold(portal.key, error, self._deps.ledger)
