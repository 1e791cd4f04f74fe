"""Reading invoices for a comparison: each request under a permit that payments can spare, and what a refusal means."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from bitrix24.client import Client
from bitrix24.errors import Effect, Moved, PortalError
from bitrix24.facts import Invoice
from bitrix24.portal import Portal
from bitrix24.renewal import Renewal
from ledger.ledger import LaneView
from limiter.limiter import Limiter, Observation
from reconciling.findings import Stop
from reconciling.judging import Told, reason_of
from reconciling.permits import LEAST_WAIT_S, limits_of, payments_wait, spare_permit

T = TypeVar("T")

# The portal says nothing about how long; its own steps are minutes (`protocol.md` §5).
NEXT_TRY_S: Final = 60.0
PATIENCE_S: Final = 8.0  # for the second request of a step
_NOT_NOW: Final = frozenset({Effect.RATE, Effect.BACKOFF, Effect.EXECUTION})
# A token that has run out, and an address that has changed: one new try each.
_MENDED_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing was read; ask again after so long."""

    wait_s: float
    reason: str


Unread = Later | Stop


class Reader:
    """Reads one portal's invoices for one step of a comparison."""

    def __init__(
        self, portal: Portal, lane: LaneView | None, *, limiter: Limiter, client: Client, renewal: Renewal
    ) -> None:
        self._portal, self._lane = portal, lane
        self._limiter, self._client, self._renewal = limiter, client, renewal

    async def read(self, invoice_ids: Sequence[int]) -> Mapping[int, Invoice] | Unread:
        """The invoices that the portal shows of at most 50; raises what the registry raises."""
        return await self._ask(lambda: self._client.read_back(self._portal, invoice_ids), patience_s=0.0)

    async def look_again(self, listed: Sequence[int], one_by_one: Sequence[int]) -> Mapping[int, Told] | Unread:
        """The same of those that the first reading leaves open; an invoice that is not there is None."""
        # What was read would have to be read again, so this request is waited for.
        seen = await self._ask(lambda: self._client.look_again(self._portal, listed, one_by_one), patience_s=PATIENCE_S)
        if isinstance(seen, Later | Stop):
            return seen
        not_now = [each for each in seen.values() if isinstance(each, PortalError) and each.meaning.effect in _NOT_NOW]
        return await self._later(not_now[0]) if not_now else seen

    async def _ask(self, request: Callable[[], Awaitable[T]], *, patience_s: float) -> T | Unread:
        for _ in range(1 + _MENDED_ONCE):
            wait_s = await self._permit(patience_s)
            if wait_s:
                return Later(wait_s, "payments go first: the portal has no request to spare")
            began = time.monotonic()
            try:
                answer = await request()
            except PortalError as error:
                refused = error
            else:
                await self._answered(time.monotonic() - began)
                return answer
            if refused.meaning.effect in _NOT_NOW:
                return await self._later(refused)
            try:
                mended = await self._mended(refused)
            except PortalError as error:  # the token server's
                return _after(error) if error.meaning.effect in _NOT_NOW else _stop(error)
            if not mended:
                break
            patience_s = PATIENCE_S
        return _stop(refused)

    async def _permit(self, patience_s: float) -> float:
        """Take a permit within so long: 0.0, or in how many seconds to ask again."""
        while wait_s := await spare_permit(self._limiter, self._portal, self._lane):
            patience_s -= wait_s
            if patience_s < 0:
                return wait_s
            await asyncio.sleep(wait_s)
        return 0.0

    async def _answered(self, took_s: float) -> None:
        """End the row of refusals that makes pauses grow, or the next payment would wait long for what reading met.
        Where payments are under way, their own answers say how the portal is."""
        if not payments_wait(self._lane):
            learnt = Observation(0, took_s, operating_s=None, operating_reset_at=None)
            await self._limiter.observed(self._portal.key, limits_of(self._portal), learnt)

    async def _mended(self, error: PortalError) -> bool:
        """Whether the portal can be asked anew: with a token that is stored for all, or under the address it named,
        which whoever pays next stores."""
        if error.meaning.effect is Effect.REFRESH:
            self._portal = await self._renewal.renew(self._portal)
            return True
        if isinstance(error, Moved):
            self._portal = replace(self._portal, endpoint=error.endpoint)
            return True
        return False

    async def _later(self, error: PortalError) -> Later:
        """How long to leave the portal alone, and for its rate and its outages payments too: they share them."""
        effect, wait_s = error.meaning.effect, NEXT_TRY_S
        if effect is Effect.RATE:
            wait_s = await self._limiter.refused(self._portal.key, limits_of(self._portal))
        elif effect is Effect.BACKOFF:
            wait_s = await self._limiter.backoff(self._portal.key)
        # The execution time of reading is an account of its own, and none of the payments' business.
        return Later(max(wait_s, LEAST_WAIT_S), reason_of(error))


def _after(error: PortalError) -> Later:
    return Later(NEXT_TRY_S, reason_of(error))


def _stop(error: PortalError) -> Stop:
    code = error.code or (f"HTTP_{error.status}" if error.status else "NO_CODE")
    return Stop(code, error.text, error.meaning.remedy or "See what `b24pay portal check` says about the portal.")
