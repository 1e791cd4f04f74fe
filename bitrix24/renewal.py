"""Renew an application's tokens: once per expiry over all processes, and stored before anybody uses them.

A refresh token works once. Two who send the same one may both lose the chain, and a pair that is lost before it is
stored is lost for good; only a new installation of the application would help. So

* one process asks while the others wait for what it stores: a key in Redis that runs out by itself;
* the new pair goes into the registry first, over exactly the version it came from; an outage of Redis is waited out;
* a lost answer is asked for once more with the same token, which some servers accept for a while;
* where the token is refused, somebody else may have renewed: the registry is read again before that is believed.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bitrix24 import remedies
from bitrix24.client import RENEWAL_S, Client
from bitrix24.errors import Effect, Fate, Meaning, NoAnswer, Refused
from bitrix24.hosts import new_endpoint
from bitrix24.portal import MEMBER_ID, Portal
from bitrix24.registry import Outdated, PortalExists, PortalRegistry
from bitrix24.tokens import TOKEN_METHOD, Renewed
from config.failpoints import failpoint
from config.outages import wait_out

log = structlog.get_logger(__name__)

# Two calls and some room: who holds it longer has died, or stands still and is no danger: what it stores is refused
# where another one has stored meanwhile.
LOCK_MS: Final = round((2 * RENEWAL_S + 10) * 1000)
_LOOK_S: Final = 0.1  # how often one who waits looks
_STORE_WITHIN_S: Final = 120.0
_UNLOCK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Renewal:
    """Gives portals whose tokens have run out new ones."""

    def __init__(
        self,
        redis: Redis,
        registry: PortalRegistry,
        client: Client,
        *,
        allow_insecure: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._registry = registry
        self._client = client
        self._allow_insecure = allow_insecure
        self._clock = clock
        self._running: dict[str, asyncio.Task[Portal]] = {}
        self._unlock = redis.register_script(_UNLOCK)

    async def renew(self, used: Portal) -> Portal:
        """The portal with another credential than `used` has: stored by somebody meanwhile, or renewed by us.

        Raises PortalError where there is none (its meaning says whether that passes), and what the registry raises.
        Cancelling the caller does not stop a renewal: its tokens may exist nowhere else yet.
        """
        while True:
            running = self._running.get(used.key)
            if running is None:
                running = self._running[used.key] = asyncio.create_task(self._under_lock(used))
                running.add_done_callback(lambda _: self._running.pop(used.key, None))
            portal = await asyncio.shield(running)
            if portal.credential != used.credential:
                return portal

    async def finish(self, patience_s: float) -> None:
        """Wait for renewals under way, at most so long."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=patience_s)

    async def _under_lock(self, used: Portal) -> Portal:
        lock, owner = f"b24pay:{{0}}:renewing:{used.key}", uuid.uuid4().hex
        while True:
            stored = await self._registry.newest(used.key)
            if stored.credential != used.credential:
                return stored
            if await self._redis.set(lock, owner, nx=True, px=LOCK_MS):
                break
            await asyncio.sleep(_LOOK_S)
        try:
            stored = await self._registry.newest(used.key)  # it may have changed before the lock was ours
            return stored if stored.credential != used.credential else await self._renew(stored)
        finally:
            try:
                await self._unlock(keys=[lock], args=[owner])
            except (RedisError, OSError) as error:
                log.warning("renewal.not_unlocked", portal=used.key, error=type(error).__name__)

    async def _renew(self, stored: Portal) -> Portal:
        try:
            renewed = await self._ask(stored)
        except Refused as error:
            if error.code != "INVALID_GRANT":
                raise
            newest = await self._registry.newest(stored.key)
            if newest.credential == stored.credential:
                raise
            return newest
        failpoint("renewal.answered", [stored.key])
        portal = await self._store(stored, renewed)
        log.info("credential.renewed", portal=stored.key, version=portal.version)
        return portal

    async def _ask(self, stored: Portal) -> Renewed:
        try:
            return await self._client.renew(stored)
        except NoAnswer as error:
            log.warning("renewal.unanswered", portal=stored.key, error=str(error))
        return await self._client.renew(stored)

    async def _store(self, stored: Portal, renewed: Renewed) -> Portal:
        """Write the new pair down; what else has changed in the record meanwhile stays as it is."""
        conflict = _foreign(stored, renewed)
        wanted = stored if conflict else self._heal(stored, renewed)
        while True:
            portal = replace(wanted, credential=renewed.credential)
            try:
                await self._durably(portal)
            except PortalExists as error:
                # Another key has this address or member: the tokens are kept, and a person must decide.
                if (wanted.endpoint, wanted.member_id) == (stored.endpoint, stored.member_id):
                    raise
                conflict, wanted = str(error), stored
            except Outdated:
                newest = await self._registry.newest(stored.key)
                if newest.credential != stored.credential:
                    return newest  # somebody gave the portal another credential: that one is wanted
                stored = wanted = newest
            else:
                break
        if conflict:
            meaning = Meaning(Fate.NOT_RUN, Effect.HOLD, remedies.ANOTHER_PORTAL)
            raise Refused("ANOTHER_PORTAL", conflict, meaning=meaning, method=TOKEN_METHOD)
        return await self._registry.newest(stored.key)

    def _heal(self, stored: Portal, renewed: Renewed) -> Portal:
        """The portal as the token server knows it: it may have been renamed."""
        moved = new_endpoint(stored.endpoint, renewed.client_endpoint, allow_insecure=self._allow_insecure)
        told = renewed.member_id if renewed.member_id and MEMBER_ID.fullmatch(renewed.member_id) else None
        return replace(stored, endpoint=moved or stored.endpoint, member_id=stored.member_id or told)

    async def _durably(self, portal: Portal) -> None:
        """Store over the version it came from; the pair exists nowhere else, so an outage is waited out."""
        ends = self._clock() + _STORE_WITHIN_S

        def tell(error: Exception, pause_s: float) -> None:
            log.warning("renewal.not_stored", portal=portal.key, error=type(error).__name__, retry_s=pause_s)

        await wait_out(
            lambda: self._registry.put(portal, moved=True, over=portal.version),
            until=lambda: ends,
            clock=self._clock,
            tell=tell,
        )


def _foreign(stored: Portal, renewed: Renewed) -> str:
    """What is wrong where the tokens are those of another portal."""
    if stored.member_id and renewed.member_id and stored.member_id.lower() != renewed.member_id.lower():
        return "the token server answered with the tokens of another portal"
    return ""
