"""A payment's way, as `b24pay inspect` tells it."""

from datetime import UTC, datetime, timedelta

from access.audit import Entry, Origin, Outcome
from cli.transitions import transitions_of
from ledger.payment import Evidence, Refusal, State
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
    assert way[3]["evidence"] == "the latest sending, claim 3.1"
    assert way[4]["evidence"] == "read_back"


def test_a_doubt_tells_why_and_stands_last():
    """Its moment is not known, so it is told as how the payment stands now."""
    payment = a_payment(
        state=State.IN_DOUBT,
        enqueued_at=AT,
        sent_at=AT + timedelta(minutes=1),
        quiet_until=AT + timedelta(minutes=3),
        last_read_error=Refusal("ACCESS_DENIED", "no"),
        deaths=1,
        claim="3.1",
    )
    *_, sending, doubt = transitions_of(payment)
    assert str(sending["evidence"]).endswith("workers that died while it was sent: 1")
    assert (doubt["at"], doubt["state"]) == (None, "in_doubt")
    assert "ACCESS_DENIED: no" in str(doubt["evidence"])
    assert "an unpaid counts from 10:03:00 UTC" in str(doubt["evidence"])
