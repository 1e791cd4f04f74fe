"""A ledger on a real server, payments that end there without a portal, and couriers that tell of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis

from bitrix24.secret import Secret
from callbacks.courier import Courier
from callbacks.sending import Sender
from callbacks.signing import SigningSecrets
from config.callbacks import CallbackRules
from config.connections import async_redis_client
from ledger.callbacks import Callback, CallbackState
from ledger.payment import Destination, Payment, PortalKey
from ledger.redis import RedisLedger
from ledger.verdict import Decision, Verdict
from tests.canaries import SECRET_KEY, SIGNING_SECRET
from tests.conformance.ledger.world import PAID, PORTAL, an_ask
from tests.integration.callbacks.receiver import Receiver

HOSTS = tuple(f"127.0.0.{n}" for n in range(1, 10))
RULES = CallbackRules(HOSTS, allow_insecure=True)
WAITS_S = (0.05, 0.1, 0.1, 0.1)


@dataclass
class PostOffice:
    """One process' parts."""

    client: Redis
    ledger: RedisLedger
    secrets: SigningSecrets
    couriers: list[asyncio.Task[None]] = field(default_factory=list)
    invoices: int = 0

    async def end(self, receiver: Receiver, count: int = 1, verdict: Verdict = PAID, query: str = "") -> list[Payment]:
        """Payments that have ended, and whose ends the receiver is to be told."""
        to = Destination(receiver.host, receiver.url + query)
        numbers = range(self.invoices + 1, self.invoices + count + 1)
        self.invoices += count
        await self.ledger.add_lane(PORTAL)
        await self.ledger.open([an_ask(f"p{n}", portal=PortalKey(PORTAL), invoice_id=n, callback=to) for n in numbers])
        [lease], _ = await self.ledger.take("test", 1)
        payments = (await self.ledger.claim(lease, count)).payments
        settled = await self.ledger.settle(lease, [Decision(each, verdict) for each in payments])
        await self.ledger.release(lease, 0)
        return [each.payment for each in settled]

    async def listed(self, state: CallbackState = CallbackState.PENDING) -> tuple[Callback, ...]:
        """The callbacks in a state."""
        return (await self.ledger.callbacks.page(state)).callbacks

    async def all_told(self) -> bool:
        """Whether nothing is pending."""
        return (await self.ledger.callbacks.counts()).pending == 0

    @asynccontextmanager
    async def courier(
        self, *, total_s: float = 2.0, lease_s: float = 5.0, waits_s: Sequence[float] = WAITS_S
    ) -> AsyncIterator[Courier]:
        """A courier at work."""
        async with Sender(RULES, total_s=total_s) as sender:
            courier = Courier(self.ledger.callbacks, self.secrets, sender, lease_s=lease_s, waits_s=waits_s)
            working = asyncio.create_task(courier.run())
            try:
                yield courier
            finally:
                working.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await working
                await courier.finish(0.2)


@asynccontextmanager
async def a_post_office(url: str, hosts: Sequence[str] = HOSTS) -> AsyncIterator[PostOffice]:
    """The parts, with a signing secret for each host."""
    async with async_redis_client(url, max_connections=32, decode_responses=False) as client:
        ledger = RedisLedger(client, lease_s=75, retention_s=3600, max_attempts=5, quiet_s=135)
        secrets = SigningSecrets(client, [SECRET_KEY])
        for host in hosts:
            with contextlib.suppress(Exception):
                await secrets.put(host, Secret(SIGNING_SECRET))
        yield PostOffice(client, ledger, secrets)
