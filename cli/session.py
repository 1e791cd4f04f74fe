"""The parts a command works with, built once per command and closed with it."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from access.audit import Audit
    from access.tokens import Tokens
    from bitrix24.client import Client
    from bitrix24.doors import Doors
    from bitrix24.registry import PortalRegistry
    from bitrix24.renewal import Renewal
    from callbacks.signing import SigningSecrets
    from config.plain import PlainSettings
    from config.settings import Settings
    from ledger.ledger import LaneView
    from ledger.redis import RedisLedger

T = TypeVar("T")

# A command does a handful of things at once; bulk work goes through one connection at a time.
_CONNECTIONS: Final = 8
# Live checks are made by a person who waits.
CHECK_WITHIN_S: Final = 15.0
_DAY_S: Final = 86_400


@dataclass(frozen=True)
class Session:
    """What is connected while a command runs."""

    settings: "PlainSettings"
    redis: "Redis"
    ledger: "RedisLedger"

    @cached_property
    def registry(self) -> "PortalRegistry":
        """The portals; most commands know them by their lanes alone and do not pay for what a portal needs."""
        from bitrix24.registry import PortalRegistry

        return PortalRegistry(self.redis, self.settings.secret_keys)

    @cached_property
    def doors(self) -> "Doors":
        """The doors that portals connect themselves by."""
        from bitrix24.doors import Doors

        return Doors(self.redis, self.settings.secret_keys)

    @cached_property
    def tokens(self) -> "Tokens":
        """The bearer tokens of the HTTP doors."""
        from access.tokens import Tokens

        return Tokens(self.redis)

    @cached_property
    def audit(self) -> "Audit":
        """The record of what was changed."""
        from access.audit import Audit

        return Audit(self.redis, retention_s=self.settings.retention_days * _DAY_S)

    @cached_property
    def signing_secrets(self) -> "SigningSecrets":
        """What callbacks are signed with."""
        from callbacks.signing import SigningSecrets

        return SigningSecrets(self.redis, self.settings.secret_keys)

    def portal_client(self) -> "Client":
        """A client for live checks of portals; open it with `async with`."""
        from bitrix24.client import Client

        total_s = min(self.settings.http_total_s, CHECK_WITHIN_S)
        return Client(
            http_total_s=total_s,
            allow_insecure=self.settings.allow_insecure_portals,
            connections=8,
            proxy=self.settings.portal_proxy_url,
        )

    def renewal(self, client: "Client") -> "Renewal":
        """Renews applications' tokens as workers do, and never beside one of them."""
        from bitrix24.renewal import Renewal

        return Renewal(self.redis, self.registry, client, allow_insecure=self.settings.allow_insecure_portals)


@asynccontextmanager
async def open_session() -> AsyncIterator[Session]:
    """Read the settings and connect; raises ConfigurationError, or what an unreachable server raises."""
    from cli.lines import speak_when_needed
    from config.plain import plain_settings

    settings = plain_settings()
    speak_when_needed(settings.log_level)
    async with _connected(settings) as session:
        yield session


@asynccontextmanager
async def connected(settings: "Settings") -> AsyncIterator[Session]:
    """A session on settings that are already read."""
    from cli.lines import speak_on_stderr
    from config.plain import PlainSettings

    speak_on_stderr(settings)
    async with _connected(PlainSettings.of(settings)) as session:
        yield session


@asynccontextmanager
async def _connected(settings: "PlainSettings") -> AsyncIterator[Session]:
    from config.connections import async_redis_client
    from ledger.redis import RedisLedger

    async with async_redis_client(
        settings.redis_url, max_connections=_CONNECTIONS, decode_responses=False, client_name="b24pay-cli"
    ) as redis:
        retention_s = settings.retention_days * _DAY_S
        # Attempts and quiet time matter to drivers only; a command never claims, recovers or settles.
        ledger = RedisLedger(redis, lease_s=settings.lease_s, retention_s=retention_s, max_attempts=1, quiet_s=0)
        try:
            await ledger.check_schema()
            yield Session(settings, redis, ledger)
        finally:
            await ledger.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on a loop of its own."""
    import asyncio

    return asyncio.run(work)


async def lane_of(session: Session, portal: str) -> "LaneView | None":
    """One lane as it stands, None where there is none."""
    lanes = await session.ledger.lanes([portal])
    return lanes[0] if lanes else None


async def require_portal(session: Session, portal: str) -> "LaneView":
    """The lane of a portal; raises CommandError where the ledger has none of this name."""
    lane = await lane_of(session, portal)
    if lane is None:
        raise CommandError(
            f"There is no portal {portal!r}.",
            "See `b24pay portal list`, or add it with `b24pay portal add`.",
            Exit.REFUSED,
        )
    return lane
