"""Write verdicts down durably, then let producers know."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, assert_never

import structlog

from config.failpoints import failpoint
from config.outages import wait_out
from ledger.ledger import LeaseLost, Settled, Undelivered
from ledger.payment import OPEN, State
from ledger.verdict import Decision
from tasks.result import instant
from worker import tracing
from worker.deps import Deps
from worker.lane import Lane

log = structlog.get_logger(__name__)

T = TypeVar("T")
SEE_DOUBTS = "see `b24pay doubts`"


async def settle(lane: Lane, decisions: Sequence[Decision], deps: Deps) -> None:
    """Write one request's verdicts in one step and let the results of what ended be delivered.

    An outage of Redis is waited out as long as the lease is believed; after that the next driver recovers what is
    still in `sending`, so nothing is lost by leaving.
    """
    began_ns = tracing.now_ns()
    try:
        settled = await durably(lane, lambda: deps.ledger.settle(lane.lease, decisions))
    except LeaseLost:
        log.warning("lease.lost", portal=lane.key, payments=len(decisions))
        lane.lost = True
        lane.close()
        return
    deps.work.settled(decisions, settled)
    failpoint("lane.settled", [row.payment for row in settled])
    tracing.settled(decisions, settled, began_ns)
    bound_log = log.bind()  # once for all lines: a module's logger makes itself anew for each
    for row in settled:
        _tell(row, bound_log)
    _alarm(lane, [row for row in settled if _is_unread(row)])
    deps.results.events.requeued([row.payment for row in settled if row.payment.state is State.QUEUED])
    deps.results.show_started([row.payment for row in settled if row.payment.state in OPEN])
    deps.results.deliver_beside([Undelivered(handle, row.payment) for row in settled for handle in row.handles])


async def durably(lane: Lane, step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a step of the ledger until Redis has taken it, as long as the lease is believed."""

    def tell(error: Exception, pause_s: float) -> None:
        log.warning("ledger.unavailable", portal=lane.key, error=type(error).__name__, retry_s=pause_s)

    return await wait_out(step, until=lambda: lane.believed_until, clock=lane.clock, tell=tell)


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
