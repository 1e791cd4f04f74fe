"""The checker of a storm can fail: each of its findings is made once, and its near misses are none."""

import pytest

from chaos.checker import Kind, check
from chaos.facts import Call, Facts, Invoice, Read, Record, Result, Rollback, Row, Told
from ledger.payment import State

INVOICE = Invoice("acme", 7)


def told(at_s: float = 1.0, handle: str | None = "h", door: str = "ledger", text: str = "") -> Told:
    return Told(invoice=INVOICE, handle=handle, door=door, at_s=at_s, text=text)


def a_row(state: State = State.PAID, code: str = "", id: str = "h") -> Row:  # noqa: A002 - the field's name
    return Row(id=id, invoice=INVOICE, state=state, code=code)


def a_call(arrived_s: float = 2.0, *, took_s: float = 1.0, request: int = 1, repeat: bool = False) -> Call:
    return Call(invoice=INVOICE, request=request, arrived_s=arrived_s, ended_s=arrived_s + took_s, repeat=repeat)


def a_read(arrived_s: float, answered_s: float, *, request: int = 50, numbers: frozenset[int] = frozenset({7})) -> Read:
    return Read(portal="acme", numbers=numbers, request=request, arrived_s=arrived_s, answered_s=answered_s)


def a_record(*, paid: bool = True, effects: int = 1) -> Record:
    return Record(invoice=INVOICE, paid=paid, effects=effects)


def a_result(state: str = "SUCCESS", status: str | None = "paid", number: int | None = 7) -> Result:
    return Result(handle="h", celery_state=state, status=status, number=number)


def facts(**changes: object) -> Facts:
    """One payment that went well."""
    good: dict[str, object] = {
        "told": [told()],
        "rows": [a_row()],
        "handles": {"h": "h"},
        "calls": [a_call()],
        "reads": [a_read(2.0, 3.5, request=1)],
        "records": [a_record()],
        "results": [a_result()],
    }
    return Facts(**{**good, **changes})  # type: ignore[arg-type] # a test's builder


def found(**changes: object) -> dict[str, int]:
    return {kind: number for kind, number in check(facts(**changes)).counts.items() if number}


def test_a_payment_that_went_well_has_no_finding() -> None:
    """Accepted, called once, read, paid on both sides, and its result says so."""
    verdict = check(facts())
    assert verdict.findings == ()
    assert (verdict.accepted, verdict.paid, verdict.failed, verdict.called_again) == (1, 1, 0, 0)
    assert set(verdict.counts) == set(Kind)


def test_an_accepted_payment_that_nobody_knows_is_lost() -> None:
    """Neither the ledger nor the broker has it, and no power loss explains it."""
    assert found(rows=[], handles={}, calls=[], records=[], results=[]) == {"lost": 1}


def test_a_message_in_the_broker_is_not_lost_but_unresolved() -> None:
    """Something may still come of it."""
    gone = {"rows": [], "handles": {}, "calls": [], "records": [], "results": []}
    assert found(**gone, waiting={"h": "payments"}) == {"unresolved": 1}


def test_an_acceptance_that_a_power_loss_took_must_be_asked_for_again() -> None:
    """Inside of the interval it is no loss of ours; asked for again it has to end; outside it is lost."""
    gone = {"rows": [], "handles": {}, "calls": [], "records": [], "results": []}
    assert found(**gone, rollbacks=[Rollback(from_s=0.5, to_s=1.5)]) == {"unresolved": 1}
    assert found(**gone, rollbacks=[Rollback(from_s=1.1, to_s=1.5)]) == {"lost": 1}
    again = [told(handle="old"), told(2.0)]
    verdict = check(facts(told=again, rollbacks=[Rollback(from_s=0.5, to_s=1.5)]))
    assert (verdict.findings, verdict.rolled_back) == ((), 1)
    assert found(told=again, **gone, rollbacks=[Rollback(from_s=0.5, to_s=1.5)]) == {"lost": 1}


def test_a_right_request_that_was_refused_is_found() -> None:
    """A storm asks for nothing that may be refused."""
    assert found(told=[told(handle=None, text="no")], rows=[], calls=[], records=[]) == {"refused": 1}


@pytest.mark.parametrize("state", [State.QUEUED, State.SENDING, State.IN_DOUBT])
def test_what_is_open_in_the_end_is_unresolved(state: State) -> None:
    """However it stands at the portal."""
    assert found(rows=[a_row(state)]) == {"unresolved": 1}


def test_a_call_for_a_paid_invoice_pays_twice() -> None:
    """Even when the portal had been asked before."""
    calls = [a_call(), a_call(9.0, request=9, repeat=True)]
    assert found(calls=calls, reads=[a_read(4.0, 4.5)]) == {"paid_twice": 1}


def test_two_calls_that_both_saw_it_unpaid_pay_twice() -> None:
    """The portal's own count tells, where neither call is a repeat."""
    assert found(records=[a_record(effects=2)]) == {"paid_twice": 1}


def test_calls_at_the_same_time_overlap() -> None:
    """The second request came before the first one's work was done."""
    calls = [a_call(2.0, took_s=3.0), a_call(4.5, request=9)]
    assert found(calls=calls, reads=[a_read(4.0, 4.2)]) == {"overlapping": 1}


def test_what_only_the_portals_saw_overlapping_is_told_as_well() -> None:
    """Their count is never smaller than what their journals show."""
    assert found(overlaps=1) == {"overlapping": 1}


def test_a_second_call_without_a_read_between_is_found() -> None:
    """None at all, one before the first call, one about another invoice, one answered after the second call."""
    calls = [a_call(), a_call(9.0, request=9)]
    for reads in (
        [],
        [a_read(1.0, 1.5)],
        [a_read(4.0, 4.5, numbers=frozenset({8}))],
        [a_read(8.0, 9.5)],
        [Read(portal="globex", numbers=frozenset({7}), request=50, arrived_s=4.0, answered_s=4.5)],
    ):
        assert found(calls=calls, reads=reads) == {"repeated_before_read": 1}


def test_a_second_call_after_a_read_is_right() -> None:
    """A read of its own, or the one behind the pays of the same batch."""
    calls = [a_call(), a_call(9.0, request=9)]
    for read in (a_read(4.0, 4.5), a_read(2.0, 3.5, request=1)):
        verdict = check(facts(calls=calls, reads=[read]))
        assert (verdict.findings, verdict.called_again) == ((), 1)


def test_every_pair_of_calls_needs_a_read_of_its_own() -> None:
    """One answered read does not allow two more calls."""
    calls = [a_call(), a_call(9.0, request=9), a_call(15.0, request=10)]
    assert found(calls=calls, reads=[a_read(4.0, 4.5)]) == {"repeated_before_read": 1}


def test_paid_in_the_ledger_only_is_a_wrong_verdict() -> None:
    """The portal's word counts."""
    assert found(records=[]) == {"wrong_verdict": 1}
    assert found(records=[a_record(paid=False, effects=0)]) == {"wrong_verdict": 1}


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_ended_unpaid_and_paid_at_the_portal_is_a_wrong_verdict(state: State) -> None:
    """Whatever the reason was."""
    assert found(rows=[a_row(state, "WORKER_DIED")], results=[a_result("FAILURE")]) == {"wrong_verdict": 1}


def test_paid_at_the_portal_and_unknown_to_the_ledger_is_a_wrong_verdict() -> None:
    """Somebody called, and nobody knows."""
    assert found(told=[], rows=[], handles={}, results=[]) == {"wrong_verdict": 1}


def test_three_deaths_over_an_unpaid_invoice_are_a_right_verdict() -> None:
    """Counted apart from other failures."""
    gone = {"calls": [], "reads": [], "records": [], "results": [a_result("FAILURE")]}
    died = check(facts(rows=[a_row(State.FAILED, "WORKER_DIED")], **gone))
    other = check(facts(rows=[a_row(State.FAILED, "ACCESS_DENIED")], **gone))
    assert (died.findings, died.worker_died, died.failed) == ((), 1, 0)
    assert (other.findings, other.worker_died, other.failed) == ((), 0, 1)


@pytest.mark.parametrize(
    "results",
    [
        [],
        [a_result("FAILURE")],
        [a_result("STARTED")],
        [a_result(status="failed")],
        [a_result(number=8)],
        [Result(handle="another", celery_state="SUCCESS", status="paid", number=7)],
    ],
)
def test_a_result_that_says_something_else_is_found(results: list[Result]) -> None:
    """Missing, another end, or about another invoice."""
    assert found(results=results) == {"wrong_result": 1}


def test_a_failed_payment_needs_a_failed_result() -> None:
    """A SUCCESS would be believed."""
    assert found(rows=[a_row(State.FAILED, "X")], calls=[], records=[]) == {"wrong_result": 1}
