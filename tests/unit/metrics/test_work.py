"""What a worker counts, for each way a request can end."""

from prometheus_client import CollectorRegistry

from ledger.ledger import Settled
from ledger.payment import State
from ledger.verdict import Decision, Requeue, Unpaid, Verdict
from metrics.work import NOT_SENT, PAY, READ_BACK, UNANSWERED, Work
from tests.conformance.ledger.memory import MemoryWorld
from tests.conformance.ledger.world import (
    LOST,
    PAID,
    QUIET_S,
    REFUSED,
    UNREADABLE,
    claimed,
    settle,
)


def value(work: Work, name: str, **labels: str) -> float:
    """One figure as a scrape would show it; every series that is asked for must be there."""
    found = work.registry.get_sample_value(name, labels)
    assert found is not None, name
    return found


async def decided(verdict: Verdict, *handles: str) -> tuple[list[Decision], list[Settled]]:
    """What a driver decided on claimed payments, and what the ledger made of it."""
    world = MemoryWorld()
    lease, payments = await claimed(world, *handles)
    return [Decision(payment, verdict) for payment in payments], await settle(world, lease, payments, verdict)


async def test_ends_are_counted_by_state_and_code():
    """A request of several is counted once, with all of its payments."""
    work = Work()
    work.settled(*await decided(PAID, "h1", "h2", "h3"))
    work.settled(*await decided(REFUSED, "h1"))
    assert value(work, "b24pay_payments_ended_total", state="paid", code="none") == 3
    assert value(work, "b24pay_payments_ended_total", state="failed", code="ERROR_CHECK_FAILURE") == 1
    assert value(work, "b24pay_payments_ended_total", state="failed", code="other") == 0


async def test_what_goes_back_and_what_becomes_in_doubt_are_told_apart():
    """Neither has ended."""
    work = Work()
    work.settled(*await decided(Requeue(), "h1", "h2"))
    work.settled(*await decided(LOST, "h1"))
    assert value(work, "b24pay_claims_requeued_total") == 2
    assert value(work, "b24pay_doubts_opened_total", cause="unanswered") == 1
    assert value(work, "b24pay_payments_ended_total", state="paid", code="none") == 0


async def read(verdict: Verdict, *, after_s: float = 0) -> Work:
    """What is counted when a doubt was read with this verdict."""
    world = MemoryWorld()
    lease, payments = await claimed(world, "h1")
    await settle(world, lease, payments, LOST)
    await world.pass_time(5 + after_s)
    if after_s:
        [lease], _ = await world.ledger.take("driver", 1)
    doubts = await world.ledger.doubts(lease, 10)
    work = Work()
    work.settled([Decision(doubt, verdict) for doubt in doubts], await settle(world, lease, doubts, verdict))
    return work


async def test_a_read_back_counts_by_what_it_found():
    """An "unpaid" within the quiet time is none yet, and opens no doubt again."""
    assert value(await read(PAID), "b24pay_read_backs_total", outcome="paid") == 1
    assert value(await read(UNREADABLE), "b24pay_read_backs_total", outcome="unreadable") == 1
    quiet = await read(Unpaid())
    assert value(quiet, "b24pay_read_backs_total", outcome="quiet") == 1
    assert value(quiet, "b24pay_doubts_opened_total", cause="unanswered") == 0
    late = await read(Unpaid(), after_s=QUIET_S)
    assert value(late, "b24pay_read_backs_total", outcome="unpaid") == 1
    assert value(late, "b24pay_claims_requeued_total") == 0


def test_what_did_not_leave_was_no_attempt():
    """Its request is counted, and so is its size."""
    work = Work()
    work.request_ended(PAY, NOT_SENT, 0.1, 7)
    work.request_ended(PAY, UNANSWERED, 3.0, 5)
    work.request_ended(READ_BACK, UNANSWERED, 3.0, 50)
    assert value(work, "b24pay_attempts_total") == 5
    assert value(work, "b24pay_requests_total", kind="pay", outcome="not_sent") == 1
    assert value(work, "b24pay_batch_payments_count") == 2
    assert value(work, "b24pay_batch_payments_sum") == 12
    assert value(work, "b24pay_request_duration_seconds_count", kind="read_back") == 1


def test_each_process_has_a_registry_of_its_own():
    """Two in one process (a test, say) do not count for each other."""
    one, other = Work(), Work(CollectorRegistry())
    one.lease_lost()
    assert (value(one, "b24pay_lease_losses_total"), value(other, "b24pay_lease_losses_total")) == (1, 0)


def test_states_are_the_ledgers():
    """A label is a state's own text."""
    assert value(Work(), "b24pay_payments_ended_total", state=State.PAID.value, code="none") == 0
