"""The ledger on a Redis server, for asynchronous processes."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast
from uuid import uuid4

from ledger.ledger import Backlog, Claimed, LaneNotEmpty, LaneView, Lease, Opened, Probe, Settled, Undelivered
from ledger.payment import NewPayment, Payment, PortalKey, State
from ledger.redis import steps
from ledger.redis.callbacks import RedisOutbox
from ledger.redis.figures import RedisFigures
from ledger.redis.records import ms
from ledger.redis.replies import as_reply
from ledger.redis.schema import require_schema
from ledger.redis.scripts import PREFIX, Script, load_scripts
from ledger.redis.steps import OPEN_CHUNK, Guard, Step, Wish
from ledger.redis.wake import WakeUp
from ledger.verdict import Decision
from ledger.walks import Place, Sought, Walked

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")


def _request_name() -> str:
    return uuid4().hex


class RedisLedger:
    """The durable record of payments and lanes; every method is one atomic step on the server, timed by its clock."""

    def __init__(
        self,
        client: "Redis",
        *,
        lease_s: float,
        retention_s: float,
        max_attempts: int,
        quiet_s: float,
        scripts: Mapping[str, Script] | None = None,
        request_name: Callable[[], str] = _request_name,
    ) -> None:
        self._client = client
        self._lease_ms = ms(lease_s)
        self._retention_ms = ms(retention_s)
        self._max_attempts = max_attempts
        self._quiet_ms = ms(quiet_s)
        self._scripts = scripts or load_scripts()
        self._request_name = request_name
        self.epoch = 0
        self._remembered = ""  # the ledger's id: another one means that the ledger was emptied under us
        self._wake_up = WakeUp(client)
        self._callbacks = RedisOutbox(self._run, self._retention_ms)
        self._figures = RedisFigures(self._run)

    @property
    def callbacks(self) -> RedisOutbox:
        """Those who are to be told of a payment's end."""
        return self._callbacks

    @property
    def figures(self) -> RedisFigures:
        """What is counted for people."""
        return self._figures

    async def _run(self, step: Step[T]) -> T:
        from redis.exceptions import NoScriptError

        script = self._scripts[step.script]
        try:
            reply = await cast("Awaitable[object]", self._client.evalsha(script.sha, 1, PREFIX, *step.arguments))
        except NoScriptError:  # a new server, or somebody emptied its script cache
            reply = await cast("Awaitable[object]", self._client.eval(script.text, 1, PREFIX, *step.arguments))
        return step.decode(as_reply(reply))

    async def check_schema(self) -> None:
        """Raise UnknownSchema when the ledger was written by another version of this program."""
        require_schema(await self._run(steps.check_schema()))

    async def open(self, requests: Sequence[NewPayment]) -> list[Opened]:
        """Write requests down in order and make their lanes due; one answer per request, each decided atomically."""
        answers: list[Opened] = []
        for first in range(0, len(requests), OPEN_CHUNK):
            opened = await self._run(steps.open_payments(requests[first : first + OPEN_CHUNK]))
            answers += opened
        return answers

    async def find(self, handles: Sequence[str]) -> list[Payment | None]:
        """Read payments by id or by any handle that joined them."""
        return await self._run(steps.find(handles)) if handles else []

    async def find_invoice(self, portal: str, invoice_id: int) -> Payment | None:
        """Read the latest payment of an invoice."""
        return await self._run(steps.find_invoice(portal, invoice_id))

    async def payments(self, portal: str, state: State, offset: int, limit: int) -> list[Payment]:
        """List a lane's payments in one state: open ones oldest first, finished ones newest first."""
        return await self._run(steps.page(portal, state, offset, limit))

    async def walk(self, portal: str, state: State, sought: Sought, place: Place, limit: int) -> Walked:
        """The next payments of a lane in one state, of those that are sought, and where to go on."""
        return await self._run(steps.walk(portal, state, sought, place, limit))

    async def portals(
        self, after: str, limit: int, states: Collection[State] = ()
    ) -> tuple[list[PortalKey], str | None]:
        """Name the next lanes behind a key, and the key to go on behind, None at the end."""
        return await self._run(steps.portals(after, limit, states))

    async def cancel(self, payment_id: str) -> Payment | None:
        """Withdraw a queued payment; the row afterwards, None when unknown."""
        return await self._run(steps.cancel(payment_id, self._retention_ms, self._guard()))

    async def retry(self, payment_id: str) -> Payment | None:
        """Queue a failed payment again with all its attempts, to be read first when it was sent."""
        return await self._run(steps.retry(payment_id))

    async def decide(self, payment_id: str, *, paid: bool, because: str) -> Payment | None:
        """End a payment in doubt by a person's word. Raises StillQuiet."""
        kept_ms, guard = self._retention_ms, self._guard()
        return await self._run(steps.decide(payment_id, paid=paid, because=because, retention_ms=kept_ms, guard=guard))

    async def read_again(self, payment_ids: Sequence[str]) -> list[Payment | None]:
        """Have doubts read now instead of later; the rows, None where unknown."""
        return await self._run(steps.read_again(payment_ids)) if payment_ids else []

    async def sweep(self, limit: int = 1000) -> list[PortalKey]:
        """Look at about `limit` lanes, going on where the latest sweep stopped; those that were forgotten."""
        return await self._run(steps.sweep(limit, self._lease_ms))

    async def add_lane(self, portal: str) -> None:
        """Make a portal known; repeating it changes nothing."""
        await self._run(steps.add_lane(portal))

    async def remove_lane(self, portal: str) -> None:
        """Forget an empty lane; finished payments stay readable. Raises LaneNotEmpty."""
        if not await self._run(steps.remove_lane(portal, self._retention_ms)):
            raise LaneNotEmpty(f"The lane {portal} has open payments. Next step: let them end, or cancel them.")

    async def lanes(self, portals: Sequence[str] | None = None) -> list[LaneView]:
        """Look at the named lanes, or all of them, in order of their keys."""
        if portals is not None and not portals:
            return []
        return await self._run(steps.look(portals or ()))

    async def hold(self, portal: str, code: str, text: str, *, remedy: str = "", probe: bool = False) -> bool:
        """Stop a lane until a person, or with `probe` a probe, resumes it; False when there is no such lane."""
        return await self._run(steps.hold(portal, code, text, remedy=remedy, probe=probe))

    async def take_probes(self, limit: int) -> list[Probe]:
        """Held lanes to look at now, longest due first; each is handed out once."""
        return await self._run(steps.take_probes(limit)) if limit else []

    async def resume(self, portal: str, probe: Probe | None = None) -> bool:
        """Let a held lane go on, on trial; False when it was not held, or not as the probe says."""
        return await self._run(steps.resume(portal, probe))

    async def take(self, owner: str, limit: int) -> tuple[list[Lease], float | None]:
        """Lease up to `limit` due lanes, and say in how many seconds the next lane is due (None: none is)."""
        step = steps.take(owner, limit, self._lease_ms, self._guard())
        leases, wait_s, self._remembered, self.epoch = await self._run(step)
        return leases, wait_s

    def _guard(self) -> Guard:
        return Guard(self._remembered, self._request_name(), self._quiet_ms)

    async def renew(self, leases: Sequence[Lease]) -> list[bool]:
        """Prolong leases by the lease time from now; False where the lease was lost."""
        return await self._run(steps.renew(leases, self._lease_ms, self._guard())) if leases else []

    async def backlog(self, lease: Lease) -> Backlog:
        """What the lane has to do now. Raises LeaseLost."""
        return await self._run(steps.backlog(lease))

    async def recover(self, lease: Lease) -> int:
        """Put what an earlier driver left in `sending` in doubt; how many there were. Raises LeaseLost."""
        return await self._run(steps.recover(lease, self._quiet_ms))

    async def claim(self, lease: Lease, limit: int, *, suspect: bool = False) -> Claimed:
        """Move the oldest payments from queued to sending. Raises LeaseLost."""
        lease.claims += 1
        number = lease.claims
        try:
            wish = Wish(number, limit, suspect)
            return await self._run(steps.claim(lease, wish, self._guard()))
        except BaseException:
            # Nobody knows whether the step was done. Asking again under the same number finds out, unless a later
            # claim has been made; then the next driver's `recover` does.
            if lease.claims == number:
                lease.claims -= 1
            raise

    async def doubts(self, lease: Lease, limit: int) -> list[Payment]:
        """Payments of this lane whose read-back is due now. Raises LeaseLost."""
        return await self._run(steps.doubts(lease, limit, self._guard()))

    async def settle(self, lease: Lease, decisions: Sequence[Decision]) -> list[Settled]:
        """Write verdicts down in one step. Raises LeaseLost."""
        return await self._run(steps.settle(lease, decisions, self._retention_ms, self._max_attempts))

    async def release(self, lease: Lease, wait_s: float) -> None:
        """Hand the lane back; nothing happens when the lease is lost."""
        await self._run(steps.release(lease, ms(wait_s)))

    async def undelivered(self, limit: int, older_than_s: float) -> list[Undelivered]:
        """Final results that were not confirmed as delivered, oldest first."""
        return await self._run(steps.undelivered(limit, ms(older_than_s)))

    async def delivered(self, confirmed: Sequence[Undelivered]) -> None:
        """Confirm that results reached the result backend; one that is out of date confirms nothing."""
        if confirmed:
            await self._run(steps.delivered(confirmed))

    async def wait_for_work(self, timeout_s: float) -> None:
        """Return when a lane became due (a hint, may be early or missed) or after the timeout."""
        await self._wake_up.wait(timeout_s)

    async def close(self) -> None:
        """Give back the connection that waits for hints; the client stays open."""
        await asyncio.shield(self._wake_up.close())
