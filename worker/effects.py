"""What an error means for the lane: pause it, slow it, or hold it for a person."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import assert_never

import structlog

from bitrix24.errors import Effect, NoAnswer, PortalError
from bitrix24.facts import Reply
from bitrix24.portal import Portal
from limiter.limiter import Observation
from worker.credentials import back_off, follow, hold_lane, renew
from worker.deps import Deps
from worker.lane import Lane

log = structlog.get_logger(__name__)


async def heed(
    lane: Lane,
    errors: Sequence[PortalError],
    deps: Deps,
    *,
    asked: Portal,
    reply: Reply | None = None,
    sent_singly: bool = False,
) -> None:
    """Apply each distinct effect of a request's errors once, before its payments can be claimed again.

    `asked` is the portal as it was when the request left.
    """
    first_of = {error.meaning.effect: error for error in reversed(errors)}
    for effect, error in first_of.items():
        # A portal that refuses a single call as if it were a batch makes no sense; asking again would never end.
        nonsense = effect is Effect.SINGLY and sent_singly
        deps.work.affected(effect)
        with _whatever_happens(lane):
            await _apply(Effect.HOLD if nonsense else effect, error, _Sent(asked, reply), lane, deps)


async def learn(lane: Lane, observation: Observation, deps: Deps) -> None:
    """Let the limiter learn from an answered request."""
    with _whatever_happens(lane):
        await deps.limiter.observed(lane.key, lane.limits, observation)


async def learn_of_failure(lane: Lane, error: PortalError, failed: Observation, deps: Deps) -> None:
    """Let the limiter learn from a request without a result: unanswered, its commands are slow and may still run;
    refused or never sent, they cost no execution time."""
    with _whatever_happens(lane):
        if isinstance(error, NoAnswer):
            await deps.limiter.unanswered(lane.key, failed.commands, failed.took_s)
        elif failed.reserved_s:
            await deps.limiter.give_back(lane.key, lane.limits, reserved_s=failed.reserved_s, made=True)


@contextmanager
def _whatever_happens(lane: Lane) -> Iterator[None]:
    """What fails here must not keep the verdicts from the ledger; the lane is handed back and begun anew."""
    try:
        yield
    except Exception as error:
        log.exception("lane.unheeded", portal=lane.key, error=type(error).__name__)
        lane.close()


@dataclass(frozen=True, slots=True)
class _Sent:
    """The request that had the errors: the portal as it was then, and its reply where it has one."""

    portal: Portal
    reply: Reply | None


async def _apply(effect: Effect, error: PortalError, sent: _Sent, lane: Lane, deps: Deps) -> None:
    match effect:
        case Effect.GO_ON:
            return
        case Effect.RATE:
            lane.wait_s = await deps.limiter.refused(lane.key, lane.limits)
            log.info("lane.rate_limited", portal=lane.key, wait_s=lane.wait_s)
        case Effect.EXECUTION:
            operating = sent.reply.operating if sent.reply else None
            reset_at = operating.reset_at if operating else None
            lane.wait_s = await deps.limiter.execution_spent(lane.key, lane.limits, reset_at)
            log.info("lane.execution_spent", portal=lane.key, wait_s=lane.wait_s)
        case Effect.BACKOFF:
            await back_off(lane, error, deps)
        case Effect.SINGLY:
            lane.singly = True
        case Effect.REFRESH:
            await renew(lane, sent.portal, error, deps)
        case Effect.MOVED:
            await follow(lane, sent.portal, error, deps)
        case Effect.HOLD:
            await hold_lane(lane, error, deps)
        case _:
            assert_never(effect)
