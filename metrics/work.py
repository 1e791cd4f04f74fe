"""What one worker process does, counted where it does it.

A request carries up to 49 payments and is counted once: its series are touched a dozen times whatever it carries, some
ten microseconds of the milliseconds that it costs (docs/metrics.md has the figures). Nothing here can fail or wait.
"""

from collections import Counter as Tally
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry

from bitrix24.errors import Effect
from ledger.ledger import Settled
from ledger.payment import State
from ledger.verdict import Decision, Paid, Unreadable
from metrics.codes import CODES, NONE, UNKNOWN, as_label
from metrics.registry import a_registry, counter, gauge, histogram

PAY, READ_BACK = "pay", "read_back"
ANSWERED, REFUSED, UNANSWERED, NOT_SENT = "answered", "refused", "unanswered", "not_sent"
_OUTCOMES: Final = (ANSWERED, REFUSED, UNANSWERED, NOT_SENT)
_READINGS: Final = ("paid", "unpaid", "quiet", "unreadable")
_ENDS: Final = (State.PAID, State.FAILED)


class Work:
    """One process' counters. Series that can be named beforehand begin at 0, so that a first event shows as a rise."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = registry or a_registry()
        self._ended = counter("b24pay_payments_ended_total", registry)
        self._attempts = counter("b24pay_attempts_total", registry)
        self._requeued = counter("b24pay_claims_requeued_total", registry)
        doubts = counter("b24pay_doubts_opened_total", registry)
        self._unanswered, self._recovered = doubts.labels("unanswered"), doubts.labels("recovered")
        readings = counter("b24pay_read_backs_total", registry)
        self._readings = {outcome: readings.labels(outcome) for outcome in _READINGS}
        requests = counter("b24pay_requests_total", registry)
        durations = histogram("b24pay_request_duration_seconds", registry)
        self._requests = {
            (kind, outcome): requests.labels(kind, outcome) for kind in (PAY, READ_BACK) for outcome in _OUTCOMES
        }
        self._durations = {kind: durations.labels(kind) for kind in (PAY, READ_BACK)}
        self._sizes = histogram("b24pay_batch_payments", registry)
        effects = counter("b24pay_lane_effects_total", registry)
        self._effects = {effect: effects.labels(effect.value) for effect in Effect}
        self._permits = counter("b24pay_permits_total", registry)
        self._permit_wait = counter("b24pay_permit_wait_seconds_total", registry)
        renewals = counter("b24pay_token_renewals_total", registry)
        self._renewals = {outcome: renewals.labels(outcome) for outcome in ("renewed", "refused", "failed")}
        self._taken = counter("b24pay_lanes_taken_total", registry)
        self._losses = counter("b24pay_lease_losses_total", registry)
        deliveries = counter("b24pay_deliveries_total", registry)
        self._delivered, self._undelivered = deliveries.labels("delivered"), deliveries.labels("failed")
        self._lateness = histogram("b24pay_loop_lateness_seconds", registry)
        self.lanes: Callable[[], float] = lambda: 0
        self.requests: Callable[[], float] = lambda: 0
        self._lanes = gauge("b24pay_lanes_driven", registry)
        self._in_flight = gauge("b24pay_requests_in_flight", registry)
        self._ages = gauge("b24pay_loop_age_seconds", registry)
        self._ended.labels(State.PAID.value, NONE)
        for code in (*CODES, NONE, UNKNOWN):
            self._ended.labels(State.FAILED.value, code)

    def shows(self, *, lanes: Callable[[], float], requests: Callable[[], float]) -> None:
        """Say where the figures of this moment are to be had."""
        self.lanes, self.requests = lanes, requests
        self._lanes.set_function(lanes)
        self._in_flight.set_function(requests)

    def shows_age(self, loop: str, age_s: Callable[[], float]) -> None:
        """Say where the age of a loop is to be had."""
        self._ages.labels(loop).set_function(age_s)

    def request_ended(self, kind: str, outcome: str, took_s: float, payments: int) -> None:
        """A request with so many payments has ended, one way or another."""
        self._requests[kind, outcome].inc()
        self._durations[kind].observe(took_s)
        if kind == PAY:
            self._sizes.observe(payments)
            self._attempts.inc(payments if outcome != NOT_SENT else 0)

    def settled(self, decisions: Sequence[Decision], settled: Sequence[Settled]) -> None:
        """The ledger has written down what became of a request's payments."""
        made = {decision.payment.id: decision for decision in decisions}
        ended: Tally[tuple[str, str | None]] = Tally()
        read: Tally[str] = Tally()
        requeued = doubts = 0
        for row in settled:
            payment, decision = row.payment, made[row.payment.id]
            if payment.state in _ENDS:
                ended[payment.state.value, payment.error.code if payment.error else None] += 1
            if decision.payment.state is not State.SENDING:
                read[_reading(decision, payment.state)] += 1
            elif payment.state is State.QUEUED:
                requeued += 1
            elif payment.state is State.IN_DOUBT:
                doubts += 1
        for (state, code), payments in ended.items():
            self._ended.labels(state, as_label(code) if state == State.FAILED else NONE).inc(payments)
        for outcome, payments in read.items():
            self._readings[outcome].inc(payments)
        if requeued:
            self._requeued.inc(requeued)
        if doubts:
            self._unanswered.inc(doubts)

    def recovered(self, payments: int) -> None:
        """What a driver that died had left is in doubt."""
        self._recovered.inc(payments)

    def affected(self, effect: Effect) -> None:
        """An answer had an effect on its lane."""
        self._effects[effect].inc()

    def permitted(self, requests: int) -> None:
        """The limiter has granted so many requests."""
        self._permits.inc(requests)

    def waited(self, seconds: float) -> None:
        """A lane has waited for a permit, or is handed back for so long."""
        self._permit_wait.inc(max(0.0, seconds))

    def renewal(self, outcome: str) -> None:
        """Tokens were renewed (`renewed`), refused for good (`refused`), or not to be had now (`failed`)."""
        self._renewals[outcome].inc()

    def lanes_taken(self, lanes: int) -> None:
        """So many lanes were taken."""
        self._taken.inc(lanes)

    def lease_lost(self) -> None:
        """A lane was lost while it was driven."""
        self._losses.inc()

    def delivered(self, results: int, *, arrived: bool) -> None:
        """So many results were put into the result backend, or it did not take them."""
        (self._delivered if arrived else self._undelivered).inc(results)

    def late(self, seconds: float) -> None:
        """The loop came back so much later than asked for."""
        self._lateness.observe(max(0.0, seconds))


def _reading(decision: Decision, state: State) -> str:
    match decision.verdict:
        case Paid():
            return "paid"
        case Unreadable():
            return "unreadable"
    return "quiet" if state is State.IN_DOUBT else "unpaid"
