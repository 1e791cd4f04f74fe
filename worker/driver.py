"""The main path: work one portal's lane for a time slice.

    recover -> (permit -> claim -> send -> judge -> settle, or permit -> read -> settle)* -> hand over

After `claim` returns, money may move: the ledger has said SENDING, and a crash from there on leaves the payment to the
next driver, which reads it back before anything is sent again.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from math import ceil

import structlog

from bitrix24.errors import Effect, Fate, Meaning, NoAnswer, NotSent, PortalError
from bitrix24.facts import Claims, Pay, Reply
from bitrix24.registry import RegistryError
from config.failpoints import failpoint
from ledger.ledger import LeaseLost
from ledger.payment import Payment
from ledger.verdict import Decision, Requeue
from limiter.limiter import MOST_COMMANDS, Observation, Permit
from metrics.work import ANSWERED, NOT_SENT, PAY, READ_BACK, REFUSED, UNANSWERED
from worker import tracing
from worker.batches import evenly, worthwhile
from worker.credentials import renew_in_time
from worker.deps import Deps
from worker.effects import heed, learn, learn_of_failure
from worker.lane import LONGEST_WAIT_S, Lane
from worker.policy import judge, judge_reading, judge_unanswered
from worker.settling import durably, settle

log = structlog.get_logger(__name__)

MOST_READS = 50  # one page of `crm.invoice.list`
LEASE_MARGIN_S = 1.0  # between claim and the first byte
QUARANTINE_WAIT_S = 0.5  # another lane's suspect is under way


async def drive(lane: Lane, deps: Deps) -> None:
    """Work one portal's lane; return when it has been handed back."""
    await recover(lane, deps)
    while lane.goes_on() and await refresh_portal(lane, deps):
        todo = lane.lease.backlog
        if todo.doubts and not lane.reading:
            permit = await read_some(lane, deps)
        elif lane.room() and todo.suspects and not deps.quarantine.locked():
            permit = await send_a_suspect(lane, deps)
        elif lane.room() and lane.is_worth_a_request(todo.waiting):
            permit = await send_some(lane, deps)
        elif lane.busy:
            await look_again(lane, deps)
            continue
        else:
            lane.wait_s = QUARANTINE_WAIT_S if todo.suspects else lane.wait_s
            break
        if not permit.granted and not await wait_for_permit(lane, permit, deps):
            break
    await hand_over(lane, deps)


async def recover(lane: Lane, deps: Deps) -> None:
    """What an earlier driver left in `sending` is in doubt: it may have been sent."""
    found = await deps.ledger.recover(lane.lease) if lane.lease.left else 0
    if found:
        deps.work.recovered(found)
        log.warning("lane.recovered", portal=lane.key, payments=found)
        failpoint("lane.recovered", [lane.key])


async def refresh_portal(lane: Lane, deps: Deps) -> bool:
    """Use the address and the credential as they are now (at most two seconds old); False where there are none."""
    try:
        lane.portal = await deps.registry.get(lane.key)
        await renew_in_time(lane, deps)
    except RegistryError as error:
        log.warning("lane.unusable", portal=lane.key, error=str(error))
        return False
    return not lane.closing


async def keep_lease(lane: Lane, deps: Deps) -> None:
    """Renew a lease that a call could outlive, before anything is claimed; usually the heartbeat has done it."""
    began = deps.clock()
    if began + deps.http_total_s + LEASE_MARGIN_S <= lane.believed_until:
        return
    [kept] = await deps.ledger.renew([lane.lease])
    if not kept:
        raise LeaseLost(f"the lane {lane.key} has another driver")
    lane.renewed(began + deps.lease_s)


async def read_some(lane: Lane, deps: Deps) -> Permit:
    """Read back, beside the payments in flight, what is due; one reading at a time."""
    permit = await deps.limiter.acquire(lane.key, lane.limits, commands=0)
    if not permit.granted:
        return permit
    due = await deps.ledger.doubts(lane.lease, MOST_READS)
    if due:
        deps.work.permitted(1)
        lane.reading = True
        lane.launch(read_and_settle(lane, due, deps))
    else:
        lane.lease.backlog = replace(lane.lease.backlog, doubts=0)
        await deps.limiter.give_back(lane.key, lane.limits)
    return permit


async def look_again(lane: Lane, deps: Deps) -> None:
    """Rest while requests are in flight. One that lands has told what there is to do; else the ledger is asked."""
    landed = await lane.linger(lane.lease.backlog.waiting)
    if not landed and lane.room():
        await deps.ledger.backlog(lane.lease)


async def wait_for_permit(lane: Lane, permit: Permit, deps: Deps) -> bool:
    """Rest until a permit may be free; False when the rest is long and better spent in the due-set."""
    lane.wait_s = permit.wait_s
    if permit.wait_s > LONGEST_WAIT_S and not lane.busy:
        deps.work.waited(permit.wait_s)
        return False
    began = deps.clock()
    await lane.nap(min(permit.wait_s, LONGEST_WAIT_S))
    deps.work.waited(deps.clock() - began)
    return True


async def permission(lane: Lane, requests: int, deps: Deps) -> Permit:
    """A permit to send pays, under a lease that outlives their call; for one pay where the lane is on trial."""
    await keep_lease(lane, deps)
    commands = 1 if lane.singly or lane.lease.trial else MOST_COMMANDS
    requests = 1 if lane.lease.trial else requests
    permit = await deps.limiter.acquire(lane.key, lane.limits, commands=commands, requests=requests)
    if permit.granted:
        failpoint("lane.permitted", [lane.key])
    return permit


async def send_some(lane: Lane, deps: Deps) -> Permit:
    """Claim what a few requests may carry and let them fly."""
    waiting = lane.lease.backlog.waiting
    permit = await permission(lane, min(lane.room(), ceil(waiting / lane.batch)), deps)
    if not permit.granted:
        return permit
    lane.batch = worthwhile(permit, waiting, lane.limits)
    claim_began = deps.clock()
    claimed = await deps.ledger.claim(lane.lease, lane.batch * permit.requests)
    batches = evenly(claimed.payments, lane.batch)
    reserved_s = permit.reserved_s / permit.requests
    if claimed.payments:
        # From here on a crash may hide a payment that went through.
        failpoint("lane.claimed", claimed.payments)
        lane.wait_s, lane.lingers_until = 0.0, None
        lane.probing = permit.alone
    for payments in batches:
        lane.launch(send_and_settle(lane, payments, claim_began, deps, reserved_s=reserved_s))
    deps.work.permitted(len(batches))
    if unused := permit.requests - len(batches):
        await deps.limiter.give_back(lane.key, lane.limits, reserved_s=unused * reserved_s, requests=unused)
    return permit


async def send_a_suspect(lane: Lane, deps: Deps) -> Permit:
    """Let one payment fly whose driver died twice."""
    permit = await permission(lane, 1, deps)
    if permit.granted:
        lane.lease.backlog = replace(lane.lease.backlog, suspects=0)  # until its own claim tells of the others
        lane.launch(send_suspect(lane, permit, deps))
    return permit


async def send_suspect(lane: Lane, permit: Permit, deps: Deps) -> None:
    """Send one payment whose driver died twice: alone in its request, and the only one of its kind in this process.

    If it is what kills the process, its third death is its own, and no other payment comes to a third one beside it.
    """
    async with deps.quarantine:
        claim_began = deps.clock()
        try:
            claimed = await durably(lane, lambda: deps.ledger.claim(lane.lease, 1, suspect=True))
        except LeaseLost:
            lane.lose()
            return
        if claimed.payments:
            deps.work.permitted(1)
            failpoint("lane.claimed", claimed.payments)
            await send_and_settle(lane, claimed.payments, claim_began, deps, reserved_s=permit.reserved_s)
        else:
            # Others were faster, or the lane is held: whoever drives it next looks again.
            lane.wait_s = QUARANTINE_WAIT_S
            lane.close()
            await deps.limiter.give_back(lane.key, lane.limits, reserved_s=permit.reserved_s)


async def send_and_settle(
    lane: Lane, payments: Sequence[Payment], claim_began: float, deps: Deps, *, reserved_s: float = 0.0
) -> None:
    """One attempt for claimed payments: send, judge, settle."""
    must_end_by = lane.may_send_until(claim_began, deps.http_total_s)
    if must_end_by is None:
        await settle(lane, [Decision(payment, Requeue()) for payment in payments], deps)
        await deps.limiter.give_back(lane.key, lane.limits, reserved_s=reserved_s)
        return
    singly, began, portal = lane.singly and len(payments) == 1, deps.clock(), lane.portal
    try:
        pays = [_pay(row) for row in payments]
        with deps.results.started(payments), tracing.paying(portal, payments):
            reply = await _answered(deps.client.pay(portal, pays, singly=singly, must_end_by=must_end_by))
    except PortalError as error:
        deps.work.request_ended(PAY, _outcome(error), deps.clock() - began, len(payments))
        if error.meaning.effect is Effect.HOLD:
            lane.stop()  # before anything is waited for: others of this lane are about to leave
        log.warning("request.failed", portal=lane.key, payments=len(payments), code=error.code, error=str(error))
        await learn_of_failure(lane, error, _nothing_paid(payments, deps.clock() - began, reserved_s), deps)
        await heed(lane, [error], deps, asked=portal, sent_singly=singly)
        # The refusal of a group speaks of the request; each payment alone gets an answer of its own.
        lane.singly |= len(payments) > 1 and error.meaning.fate in (Fate.REFUSED, Fate.REFUSED_IF_UNPAID)
        verdict = judge_unanswered(error, quiet_s=deps.quiet_s, alone=len(payments) == 1)
        decisions = [Decision(payment, verdict) for payment in payments]
    else:
        deps.work.request_ended(PAY, ANSWERED, reply.took_s, len(payments))
        lane.took_s = reply.took_s
        lane.accepted(portal)
        await learn(lane, _observation(reply, reserved_s), deps)
        errors = [answer for answer in reply.answers if isinstance(answer, PortalError)]
        await heed(lane, errors, deps, asked=portal, reply=reply)
        decisions = [
            Decision(payment, judge(payment, answer, reply.invoices))
            for payment, answer in zip(payments, reply.answers, strict=True)
        ]
    failpoint("call.judged", payments)
    await settle(lane, decisions, deps)


async def read_and_settle(lane: Lane, doubts: Sequence[Payment], deps: Deps) -> None:
    """Ask the portal which invoices in doubt are paid, and write down what that settles."""
    failpoint("reading.begins", doubts)
    began, portal = deps.clock(), lane.portal
    try:
        with tracing.reading(portal, doubts):
            invoices = await deps.client.read_back(portal, [payment.invoice_id for payment in doubts])
    except PortalError as error:
        deps.work.request_ended(READ_BACK, _outcome(error), deps.clock() - began, len(doubts))
        log.warning("reading.failed", portal=lane.key, payments=len(doubts), code=error.code, error=str(error))
        await heed(lane, [error], deps, asked=portal)
        decisions = [Decision(payment, judge_reading(payment, error)) for payment in doubts]
    else:
        deps.work.request_ended(READ_BACK, ANSWERED, deps.clock() - began, len(doubts))
        lane.accepted(portal)
        decisions = [Decision(payment, judge_reading(payment, invoices)) for payment in doubts]
    finally:
        lane.reading = False
    failpoint("reading.judged", doubts)
    await settle(lane, decisions, deps)


async def hand_over(lane: Lane, deps: Deps) -> None:
    """Let everything land, then give the lane back with the moment it wants to be driven next."""
    await lane.all_landed()
    await durably(lane, lambda: deps.ledger.release(lane.lease, lane.wait_s))


async def _answered(call: Awaitable[Reply]) -> Reply:
    """Wait for an answer; when the process stops and cannot wait any longer, the call counts as left unanswered."""
    try:
        return await call
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()  # there is still something to write down
        meaning = Meaning(Fate.UNKNOWN)
        raise NoAnswer("STOPPED", "this worker stopped before the answer came", meaning=meaning, method="pay") from None


def _outcome(error: PortalError) -> str:
    """How a request without a result counts: a gateway's page in the place of an answer is none."""
    if isinstance(error, NotSent):
        return NOT_SENT
    nobody_spoke = error.meaning.fate is Fate.UNKNOWN and not error.code
    return UNANSWERED if isinstance(error, NoAnswer) or nobody_spoke else REFUSED


def _pay(payment: Payment) -> Pay:
    return Pay(
        invoice_id=payment.invoice_id,
        pay_system_id=payment.pay_system_id,
        bx_rest_handler=payment.bx_rest_handler,
    )


def _nothing_paid(payments: Sequence[Payment], took_s: float, reserved_s: float) -> Observation:
    return Observation(len(payments), took_s, operating_s=None, operating_reset_at=None, reserved_s=reserved_s)


def _observation(reply: Reply, reserved_s: float) -> Observation:
    ran = sum(isinstance(answer, Claims) for answer in reply.answers)
    operating = reply.operating
    return Observation(
        commands=ran,
        took_s=reply.took_s,
        operating_s=operating.used_s if operating else None,
        operating_reset_at=operating.reset_at if operating else None,
        reserved_s=reserved_s,
        commands_s=reply.commands_s,
    )
