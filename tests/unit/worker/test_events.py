"""Events of payments: which are noted, with which times; and what the post loses."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import pytest

from ledger.ledger import Undelivered
from ledger.payment import Handle, State
from tasks.errors import InvalidPayment
from tasks.payment import new_ids
from tests.conformance.ledger.memory import MemoryWorld
from tests.conformance.ledger.world import PAID, accepted, ended
from tests.unit.worker.builders import NOW, a_payment
from worker.events import PaymentEvents
from worker.post import AT_ONCE, MOST_NOTES, Note, Post, groups_of
from worker.results import Meta, Results


class Board:
    """A post that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def put(self, note: Callable[[], Iterable[Note]]) -> None:
        """Compose at once."""
        self.notes += note()

    def of(self, handle: str) -> list[str]:
        """What was told of one handle."""
        return [kind for kind, fields in self.notes if fields["uuid"] == handle]


class Shelf:
    """A result backend."""

    async def put(self, metas: Sequence[Meta], *, only_new: bool) -> None:
        """Keep nothing."""


@pytest.fixture
def board() -> Board:
    """No note yet."""
    return Board()


@pytest.fixture
def events(board: Board) -> PaymentEvents:
    """Watched."""
    return PaymentEvents(board, lambda: True)  # type: ignore[arg-type]  # of a post only `put` is used


@pytest.fixture
def world() -> MemoryWorld:
    """An empty ledger whose time passes on request."""
    return MemoryWorld()


async def test_nothing_is_composed_while_nobody_watches(board: Board, world: MemoryWorld) -> None:
    """The note is not even left."""
    await ended(world, PAID)
    unwatched = PaymentEvents(board, lambda: False)  # type: ignore[arg-type]  # of a post only `put` is used
    await Results(Shelf(), world.ledger, unwatched).deliver(await world.ledger.undelivered(10, 0))
    unwatched.refused(Handle("h1"), InvalidPayment("no"))
    assert board.notes == []


async def test_a_cancelled_payment_has_failed(board: Board, events: PaymentEvents, world: MemoryWorld) -> None:
    """Who withdraws it settles nothing; its end is told when its result is delivered."""
    await accepted(world, "h1")
    await world.ledger.cancel("h1")
    await Results(Shelf(), world.ledger, events).deliver(await world.ledger.undelivered(10, 0))
    [(kind, fields)] = board.notes
    assert kind == "task-failed"
    assert fields["exception"].startswith("PaymentFailed('CANCELLED'")


async def test_a_result_that_could_not_be_stored_is_not_told(
    board: Board, events: PaymentEvents, world: MemoryWorld
) -> None:
    """An event never says more than `AsyncResult` does; the sweeper tells it when it delivers."""

    class Away(Shelf):
        async def put(self, metas: Sequence[Meta], *, only_new: bool) -> None:
            raise ConnectionError

    await ended(world, PAID)
    await Results(Away(), world.ledger, events).deliver(await world.ledger.undelivered(10, 0))
    assert board.notes == []


def test_the_run_time_is_from_the_last_departure_to_the_end(board: Board, events: PaymentEvents) -> None:
    """Waiting in the ledger is not running."""
    paid = a_payment(state=State.PAID, enqueued_at=NOW - timedelta(hours=1), finished_at=NOW + timedelta(seconds=1.5))
    events.ended([Undelivered(Handle(paid.id), paid)])
    [(kind, fields)] = board.notes
    assert (kind, fields["runtime"]) == ("task-succeeded", 1.5)
    assert fields["timestamp"] == NOW.timestamp() + 1.5


def test_a_payment_that_goes_again_is_retried(board: Board, events: PaymentEvents) -> None:
    """It is queued again, and that is not STARTED. One that was only read before its first call is not retried."""
    events.requeued([a_payment(state=State.QUEUED), a_payment(3, state=State.QUEUED, sent_at=None)])
    assert [(kind, fields["uuid"]) for kind, fields in board.notes] == [("task-retried", "p-2")]


@pytest.mark.parametrize(
    ("attempts", "told"), [(1, ["task-sent", "task-received", "task-started"]), (2, ["task-started"])]
)
def test_what_no_message_brought_is_told_of_when_it_first_leaves(
    board: Board, events: PaymentEvents, attempts: int, told: list[str]
) -> None:
    """It was accepted when the ledger had it, so that is its moment."""
    [name] = new_ids(1)
    events.started([a_payment(id=name, attempts=attempts, enqueued_at=NOW)])
    assert board.of(name) == told
    assert all(fields["timestamp"] == NOW.timestamp() for kind, fields in board.notes if kind != "task-started")


def test_a_refused_request_is_told_without_what_it_asked_for(board: Board, events: PaymentEvents) -> None:
    """Somebody may have given a webhook where a portal's key belongs."""
    events.refused(Handle("h1"), InvalidPayment("portal is not a portal key"))
    assert board.of("h1") == ["task-received", "task-failed"]
    assert {fields.get("kwargs", "{}") for _, fields in board.notes} == {"{}"}


def test_events_of_tasks_travel_together_and_others_alone() -> None:
    """One message for many, in their order; a worker's beat is no list, as Celery's receivers want it."""
    task, beat = {"type": "task-started"}, {"type": "worker-heartbeat"}
    groups = list(groups_of([*[task] * (AT_ONCE + 1), beat, task]))
    assert [len(group) for group in groups] == [AT_ONCE, 1, 1, 1]
    assert groups[2] == [beat]


def test_a_post_that_cannot_publish_forgets_the_oldest() -> None:
    """A broker that is away costs events, never memory."""
    post = Post(app=None)
    for number in range(MOST_NOTES + 5):
        post.put(lambda number=number: [("task-started", {"uuid": str(number)})])  # type: ignore[misc]  # bound now
    assert len(post) == MOST_NOTES
