"""A payment's way, as `b24pay inspect` tells it."""

from datetime import UTC, datetime, timedelta

from access.audit import Entry, Origin, Outcome
from cli.transitions import transitions_of
from ledger.payment import Evidence, State
from tests.unit.worker.builders import a_payment

AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def an_entry(minute: int, **changes: object) -> Entry:
    """A person's retry of the payment."""
    told: dict[str, object] = {
        "id": "1-0",
        "at": AT + timedelta(minutes=minute),
        "who": "ann",
        "role": "operator",
        "origin": Origin.CLI,
        "what": "payment.retry",
        "subjects": ("p",),
        "request_id": "r",
        "outcome": Outcome.DONE,
        **dict.fromkeys(("why", "before", "after", "error", "token")),
    }
    return Entry(**{**told, **changes})  # type: ignore[arg-type]  # as the fields above


def test_a_way_is_told_in_the_order_of_its_moments():
    """Accepted, sent, taken up by a person, ended; each with its evidence, whichever door the person came through."""
    payment = a_payment(
        state=State.PAID,
        evidence=Evidence.READ_BACK,
        enqueued_at=AT,
        sent_at=AT + timedelta(minutes=8),
        finished_at=AT + timedelta(minutes=9),
        claim="3.1",
    )
    by_command = an_entry(4, before={payment.id: "failed"}, after={payment.id: "queued"}, why="mended")
    by_http = an_entry(2, before="failed", after="queued")
    way = transitions_of(payment, [by_command, by_http])
    assert [step["state"] for step in way] == ["queued", "queued", "queued", "sending", "paid"]
    assert [step["by"] for step in way] == ["producer", "ann", "ann", "worker", "worker"]
    assert way[1]["evidence"] == "payment.retry, failed -> queued, done"
    assert way[2]["evidence"] == "payment.retry, failed -> queued, done, mended"
    assert way[3]["evidence"] == "attempt 1, claim 3.1"
    assert way[4]["evidence"] == "read_back"


def test_a_person_is_named_in_the_step_that_was_made():
    """A retry is one step, whose name the audit knows; what people did that moved nothing stands apart."""
    payment = a_payment(
        state=State.QUEUED,
        enqueued_at=AT,
        sent_at=AT + timedelta(seconds=1),
        claim="3.1",
        attempts=0,
        history="srs:3.1.1 f1jk:P.CODE q3uw0:O",
    )
    retried = an_entry(3, before="failed", after="queued", why="mended")
    refused = an_entry(2, outcome=Outcome.REFUSED, before="failed", after="failed")
    way = transitions_of(payment, [retried, refused])
    assert [(step["cause"], step["by"]) for step in way] == [
        ("accepted", "producer"),
        ("claimed", "worker"),
        ("failed", "worker"),
        ("acted", "ann"),
        ("retried", "ann"),
    ]
    assert way[-1]["evidence"] == "payment.retry, failed -> queued, done, mended"


def test_a_persons_word_is_told_with_its_reason():
    """The row has the reason, the audit the person."""
    payment = a_payment(
        state=State.PAID,
        evidence=Evidence.OPERATOR,
        because="seen there",
        enqueued_at=AT,
        sent_at=AT,
        finished_at=AT + timedelta(minutes=2),
        claim="3.1",
        history="s0:3.1.1 d0:L",
    )
    said = an_entry(2, what="doubt.resolve", before="in_doubt", after="paid")
    *_, end = transitions_of(payment, [said])
    assert (end["by"], end["evidence"]) == ("ann", "operator: seen there; doubt.resolve, in_doubt -> paid, done")


def test_what_is_not_recorded_is_said_to_be_unknown():
    """A worker of an older version put it in doubt: when and why is not made up."""
    payment = a_payment(state=State.IN_DOUBT, enqueued_at=AT, sent_at=AT + timedelta(minutes=1), claim="3.1")
    *_, sending, doubt = transitions_of(payment)
    assert (sending["attempt"], sending["fence"]) == (1, 3)
    assert (doubt["at"], doubt["state"], doubt["cause"]) == (None, "in_doubt", "not_recorded")
