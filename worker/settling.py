"""Write verdicts down durably, then let producers know."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, assert_never

import structlog

from config.failpoints import failpoint
from ledger.ledger import LeaseLost, Settled, Undelivered
from ledger.payment import OPEN, State
from ledger.verdict import Decision
from tasks.result import instant
from worker.deps import Deps
from worker.lane import Lane
from worker.outages import is_outage

log = structlog.get_logger(__name__)

T = TypeVar("T")
SEE_DOUBTS = "see `b24pay doubts`"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # between tries while Redis is away


async def settle(lane: Lane, decisions: Sequence[Decision], deps: Deps) -> None:
    """Write one request's verdicts in one step and let the results of what ended be delivered.

    An outage of Redis is waited out as long as the lease is believed; after that the next driver recovers what is
    still in `sending`, so nothing is lost by leaving.
    """
    try:
        settled = await durably(lane, lambda: deps.ledger.settle(lane.lease, decisions))
    except LeaseLost:
        log.warning("lease.lost", portal=lane.key, payments=len(decisions))
        lane.close()
        return
    failpoint("lane.settled", [row.payment for row in settled])
    bound_log = log.bind()  # once for all lines: a module's logger makes itself anew for each
    for row in settled:
        _tell(row, bound_log)
    _alarm(lane, [row for row in settled if _is_unread(row)])
    deps.results.show_started([row.payment for row in settled if row.payment.state in OPEN])
    deps.results.deliver_beside([Undelivered(handle, row.payment) for row in settled for handle in row.handles])


async def durably(lane: Lane, step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a step of the ledger until Redis has taken it, as long as the lease is believed."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await step()
        except Exception as error:
            if not is_outage(error) or lane.clock() + pause_s >= lane.believed_until:
                raise
            log.warning("ledger.unavailable", portal=lane.key, error=type(error).__name__, retry_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _is_unread(row: Settled) -> bool:
    return row.payment.last_read_error is not None and row.payment.state in OPEN


def _alarm(lane: Lane, unread: Sequence[Settled]) -> None:
    """Doubts that could not be read wait for a person: one line for all of a request."""
    if unread:
        codes = sorted({row.payment.last_read_error.code for row in unread if row.payment.last_read_error})
        log.error("doubts.unreadable", portal=lane.key, payments=len(unread), code=", ".join(codes), remedy=SEE_DOUBTS)


def _tell(row: Settled, log: Any) -> None:  # structlog's loggers have no common type
    payment = row.payment
    if _is_unread(row):
        return  # nothing is new about it
    facts = {
        "payment": payment.id,
        "portal": payment.portal,
        "invoice": payment.invoice_id,
        "attempts": payment.attempts,
        "code": payment.error.code if payment.error else None,
    }
    match payment.state:
        case State.QUEUED | State.SENDING:
            log.debug("payment.requeued", **facts)
        case State.IN_DOUBT:
            log.warning("payment.in_doubt", quiet_until=instant(payment.quiet_until), **facts)
        case State.PAID | State.FAILED | State.CANCELLED:
            evidence = payment.evidence.value if payment.evidence else None
            log.info("payment.settled", state=payment.state.value, evidence=evidence, **facts)
        case _:
            assert_never(payment.state)
