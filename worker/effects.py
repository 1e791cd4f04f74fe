"""What an error means for the lane: pause it, slow it, or hold it for a person."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import assert_never

import structlog

from bitrix24.errors import Effect, NoAnswer, PortalError
from bitrix24.facts import Reply
from limiter.limiter import Observation
from worker.deps import Deps
from worker.holding import hold
from worker.lane import Lane

log = structlog.get_logger(__name__)


async def heed(
    lane: Lane, errors: Sequence[PortalError], deps: Deps, *, reply: Reply | None = None, sent_singly: bool = False
) -> None:
    """Apply each distinct effect of a request's errors once, before its payments can be claimed again."""
    first_of = {error.meaning.effect: error for error in reversed(errors)}
    for effect, error in first_of.items():
        # A portal that refuses a single call as if it were a batch makes no sense; asking again would never end.
        nonsense = effect is Effect.SINGLY and sent_singly
        with _whatever_happens(lane):
            await _apply(Effect.HOLD if nonsense else effect, error, reply, lane, deps)


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


async def _apply(effect: Effect, error: PortalError, reply: Reply | None, lane: Lane, deps: Deps) -> None:
    match effect:
        case Effect.GO_ON:
            return
        case Effect.RATE:
            lane.wait_s = await deps.limiter.refused(lane.key, lane.limits)
            log.info("lane.rate_limited", portal=lane.key, wait_s=lane.wait_s)
        case Effect.EXECUTION:
            operating = reply.operating if reply else None
            reset_at = operating.reset_at if operating else None
            lane.wait_s = await deps.limiter.execution_spent(lane.key, lane.limits, reset_at)
            log.info("lane.execution_spent", portal=lane.key, wait_s=lane.wait_s)
        case Effect.BACKOFF:
            lane.wait_s = await deps.limiter.backoff(lane.key)
            log.info("lane.backed_off", portal=lane.key, wait_s=lane.wait_s, code=error.code)
        case Effect.SINGLY:
            lane.singly = True
        case Effect.HOLD | Effect.REFRESH | Effect.MOVED:
            # Renewing credentials and following a renamed portal need a person for now.
            await hold(lane.key, error, deps.ledger)
            lane.close()
        case _:
            assert_never(effect)
