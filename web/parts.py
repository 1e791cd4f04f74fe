"""What the routes work with, built once per process and closed with it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from redis.asyncio import Redis

from access.audit import Audit
from access.gate import Gate
from access.sessions import Sessions
from access.tokens import Tokens
from bitrix24.client import Client
from bitrix24.doors import Doors
from bitrix24.registry import PortalRegistry
from bitrix24.renewal import Renewal
from config.addresses import Transport
from config.connections import async_redis_client
from config.settings import Settings
from ledger.redis import RedisLedger
from ledger.redis.lookups import Lookups
from limiter.redis import RedisLimiter
from metrics.glances import Glances
from metrics.standing import Looks
from reconciling.reconciler import Reconciler

# A handful of steps each; what is more waits for a free connection.
_REDIS_CONNECTIONS: Final = 32
# Bitrix24 waits for the answer to its event, and whoever has a door makes us call a portal.
_CALL_S: Final = 8.0
_CALLS_AT_ONCE: Final = 8
RENEWAL_WAIT_S: Final = 5.0
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One process' connections."""

    settings: Settings
    redis: Redis
    ledger: RedisLedger
    registry: PortalRegistry
    doors: Doors
    client: Client
    tokens: Tokens
    gate: Gate
    sessions: Sessions
    audit: Audit
    looks: Looks
    lookups: Lookups
    limiter: RedisLimiter
    glances: Glances
    reconciler: Reconciler


PARTS: Final = web.AppKey("parts", Parts)


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Make everything; nothing is asked yet, so the process starts while Redis is away."""
    redis = async_redis_client(
        settings.redis_url, max_connections=_REDIS_CONNECTIONS, decode_responses=False, client_name="b24pay-web"
    )
    client = Client(
        http_total_s=min(settings.http_total_s, _CALL_S),
        allow_insecure=settings.allow_insecure_portals,
        connections=_CALLS_AT_ONCE,
        proxy=settings.portal_proxy_url,
    )
    # Attempts and quiet time matter to drivers only; nothing here claims, recovers or settles.
    retention_s = settings.retention_days * _DAY_S
    ledger = RedisLedger(redis, lease_s=settings.lease_s, retention_s=retention_s, max_attempts=1, quiet_s=0)
    tokens = Tokens(redis)
    async with redis, client, AsyncExitStack() as stack:
        broker = await _broker(settings, redis, stack)
        registry = PortalRegistry(redis, settings.secret_keys)
        renewal = Renewal(redis, registry, client, allow_insecure=settings.allow_insecure_portals)
        # A renewal that has begun is finished: its tokens may exist nowhere else yet.
        stack.push_async_callback(renewal.finish, RENEWAL_WAIT_S)
        yield Parts(
            settings=settings,
            redis=redis,
            ledger=ledger,
            registry=registry,
            doors=Doors(redis, settings.secret_keys),
            client=client,
            tokens=tokens,
            gate=Gate(tokens),
            sessions=Sessions(redis),
            audit=Audit(redis, retention_s=retention_s),
            looks=Looks(redis, broker, registry),
            lookups=Lookups(redis),
            limiter=RedisLimiter(redis),
            glances=Glances(redis),
            reconciler=Reconciler(redis, ledger=ledger, registry=registry, client=client, renewal=renewal),
        )


async def _broker(settings: Settings, redis: Redis, stack: AsyncExitStack) -> Redis | None:
    """The broker for counting its messages, where it is a Redis; nothing else here speaks to it."""
    url = settings.broker_url
    if url == settings.redis_url:
        return redis
    if url.partition("://")[0] not in set(Transport):
        return None
    return await stack.enter_async_context(async_redis_client(url, max_connections=1, decode_responses=False))
