"""Tells others of ended payments, beside the lanes of a worker and never in their way.

Every worker has one, without a leader: a callback is leased, sent, and what came of it is written down. Whoever dies in
between leaves it to the end of the lease, and the receiver gets the same once more.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from redis.exceptions import RedisError

from bitrix24.registry import RegistryError
from callbacks.letter import body_of, type_of
from callbacks.schedule import WAITS_S, Answer, Patience, Silence, judge
from callbacks.sending import TOTAL_S, Sender
from callbacks.signing import NoSigningSecret, SigningSecrets
from config.failpoints import failpoint
from config.outages import wait_out
from ledger.callbacks import Callback, CallbackOutbox, Delivered, GivenUp, Outcome, TryAgain

log = structlog.get_logger(__name__)

AT_ONCE: Final = 64
PER_HOST: Final = 8
# A host that did not answer gets one attempt at a time, until it answers: 64 of them would be needed to stop others.
PER_SILENT_HOST: Final = 1
# Longer than an attempt and the writing of what came of it, with room for a loop that is late.
LEASE_S: Final = TOTAL_S + 20.0
WRITE_WITHIN_S: Final = 10.0
LOOK_S: Final = 0.5  # how long a callback of an idle process waits at most; a look costs some 30 µs of the server
SWEEP_EVERY_S: Final = 5.0
SWEEP_AT_ONCE: Final = 500
AFTER_OUTAGE_S: Final = 1.0


class Courier:
    """One process' sender of callbacks."""

    def __init__(
        self,
        outbox: CallbackOutbox,
        secrets: SigningSecrets,
        sender: Sender,
        *,
        lease_s: float = LEASE_S,
        waits_s: Sequence[float] = WAITS_S,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._secrets = secrets
        self._sender = sender
        self._lease_s = lease_s
        self._patience = Patience(luck, waits_s)
        self._under_way: dict[asyncio.Task[None], str] = {}
        self._silent: set[str] = set()

    async def run(self) -> None:
        """Send what is due until cancelled."""
        while True:
            try:
                wait_s = await self.take_some()
            except (RedisError, OSError) as error:
                log.warning("callbacks.unavailable", error=type(error).__name__, retry_s=AFTER_OUTAGE_S)
                wait_s = AFTER_OUTAGE_S
            except Exception as error:
                log.exception("courier.stumbled", error=type(error).__name__)
                wait_s = AFTER_OUTAGE_S
            await self._rest(wait_s)

    async def run_sweeps(self) -> None:
        """Find what an older version has ended untold, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
            try:
                while await self.sweep() == SWEEP_AT_ONCE:
                    pass
            except (RedisError, OSError) as error:
                log.warning("callbacks.unavailable", error=type(error).__name__, retry_s=SWEEP_EVERY_S)
            except Exception as error:
                log.exception("courier.stumbled", error=type(error).__name__)

    async def sweep(self) -> int:
        """One round of it; how many payments were looked at."""
        looked, found = await self._outbox.sweep(SWEEP_AT_ONCE)
        if found:
            log.warning("callbacks.found", payments=found)
        return looked

    async def finish(self, patience_s: float) -> None:
        """Let what is under way arrive; the rest is left to the end of its lease."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience_s)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def take_some(self) -> float:
        """Begin to send what is due and has room; the seconds until it is worth looking again."""
        free = AT_ONCE - len(self._under_way)
        if not free:
            return LOOK_S
        taken, next_s = await self._outbox.take(free, per_host=PER_HOST, lease_s=self._lease_s, rooms=self._rooms())
        for callback in taken:
            task = asyncio.create_task(self._deliver(callback))
            self._under_way[task] = callback.to.host
            task.add_done_callback(self._under_way.pop)
        return min(LOOK_S, next_s) if next_s is not None else LOOK_S

    def _rooms(self) -> dict[str, int]:
        """How many more the hosts get that have some already, or do not answer."""
        busy = Counter(self._under_way.values())
        allowed = {host: PER_SILENT_HOST if host in self._silent else PER_HOST for host in {*busy, *self._silent}}
        return {host: max(0, most - busy[host]) for host, most in allowed.items()}

    async def _rest(self, wait_s: float) -> None:
        """Until something has landed, or so long; never without letting others have their turn."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(wait_s)
        await asyncio.sleep(0)

    async def _deliver(self, callback: Callback) -> None:
        try:
            came = await self._attempt(callback)
            failpoint("callback.sent", [callback.payment])
            self._remember(callback.to.host, came)
            outcome = judge(came, callback.tries, datetime.now(UTC), self._patience)
            await self._write(callback, outcome)
            _tell(callback, outcome)
        except (RedisError, OSError) as error:
            log.warning("callbacks.unavailable", error=type(error).__name__, retry_s=self._lease_s)
        except Exception as error:
            log.exception("courier.stumbled", error=type(error).__name__)

    async def _attempt(self, callback: Callback) -> Answer | Silence:
        """One attempt. What we stumble over is no answer either, so that it ends one day."""
        try:
            return await self._send(callback)
        except (RedisError, OSError):
            raise
        except Exception as error:
            log.exception("courier.stumbled", error=type(error).__name__)
            return Silence(f"a fault of ours ({type(error).__name__})")

    async def _send(self, callback: Callback) -> Answer | Silence:
        try:
            signer = await self._secrets.signer(callback.to.host)
        except (NoSigningSecret, RegistryError) as error:
            return Silence(str(error))
        body = body_of(callback)
        return await self._sender.post(callback.to, body, signer.headers(callback.id, datetime.now(UTC), body))

    def _remember(self, host: str, came: Answer | Silence) -> None:
        if isinstance(came, Silence):
            self._silent.add(host)
        else:
            self._silent.discard(host)

    async def _write(self, callback: Callback, outcome: Outcome) -> None:
        """Written down as soon as Redis takes it; later than that the lease ends, and the same is sent again."""
        clock = asyncio.get_running_loop().time
        until = clock() + WRITE_WITHIN_S

        def tell(error: Exception, pause_s: float) -> None:
            log.warning("callbacks.unavailable", error=type(error).__name__, retry_s=pause_s)

        await wait_out(lambda: self._outbox.told(callback, outcome), until=lambda: until, clock=clock, tell=tell)


def _tell(callback: Callback, outcome: Outcome) -> None:
    """One line each; hosts and never addresses, whose query may be a secret."""
    facts = {
        "callback": callback.id,
        "payment": callback.payment.id,
        "portal": callback.payment.portal,
        "host": callback.to.host,
        "type": type_of(callback),
        "tries": callback.tries,
        "remark": outcome.remark,
    }
    match outcome:
        case Delivered():
            log.info("callback.delivered", **facts)
        case TryAgain(_, wait_s):
            log.warning("callback.undelivered", retry_s=round(wait_s), **facts)
        case GivenUp():
            log.error("callback.given_up", **facts)
