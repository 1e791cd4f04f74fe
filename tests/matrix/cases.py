"""What the crash matrix does: at each named point, each kind of harm, in the first and the second attempt."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tests.house import QUICK


class Action(StrEnum):
    """What is done to the process that stands at a point."""

    KILL = "SIGKILL"
    STOP = "SIGSTOP, SIGCONT"
    RAISE = "exception"
    DOWN = "Redis down 2 s"
    RESET = "connection reset"
    TERM = "SIGTERM"


class Stage(StrEnum):
    """Where in a payment's life a point lies; it decides what "the second attempt" means there."""

    PRODUCER = "producer"  # in a producer's process: the request is made a second time
    MESSAGE = "message"  # a Celery message: the request comes again while its payment is in doubt
    LANE = "lane"  # before a payment is claimed
    ATTEMPT = "attempt"  # from the claim to the result
    RECOVERY = "recovery"  # taking over what a dead driver left in `sending`
    READING = "reading"  # asking the portal about a payment in doubt


@dataclass(frozen=True, slots=True)
class Point:
    """A failpoint of the code and what stands on either side of it."""

    stage: Stage
    meaning: str


POINTS: Final[Mapping[str, Point]] = MappingProxyType(
    {
        "producer.asked": Point(Stage.PRODUCER, "`enqueue` was called; nothing is written"),
        "producer.opened": Point(Stage.PRODUCER, "the ledger has the payment; `enqueue` has not returned"),
        "admission.popped": Point(Stage.MESSAGE, "a worker has the message; the ledger does not have the payment"),
        "admission.opened": Point(Stage.MESSAGE, "the ledger has the payment; the message is not acknowledged"),
        "lane.taken": Point(Stage.LANE, "the lease is ours; nobody drives the lane yet"),
        "lane.permitted": Point(Stage.LANE, "the rate permit is taken; nothing is claimed"),
        "lane.claimed": Point(Stage.ATTEMPT, "the ledger says `sending`; nothing has left"),
        "lane.recovered": Point(Stage.RECOVERY, "a dead driver's payments are in doubt; nothing is read"),
        "call.connected": Point(Stage.ATTEMPT, "the connection is open; no byte has left"),
        "call.half_sent": Point(Stage.ATTEMPT, "half of the request has left"),
        "call.sent": Point(Stage.ATTEMPT, "all of the request has left; no answer"),
        "call.headers": Point(Stage.ATTEMPT, "the head of the answer is there"),
        "call.answered": Point(Stage.ATTEMPT, "the whole answer is there, unread"),
        "call.judged": Point(Stage.ATTEMPT, "the verdicts are known; the ledger does not have them"),
        "lane.settled": Point(Stage.ATTEMPT, "the ledger has the verdicts; no result is delivered"),
        "results.stored": Point(Stage.ATTEMPT, "the results are stored; the ledger does not know"),
        "reading.begins": Point(Stage.READING, "a read-back is due; nothing is asked"),
        "reading.judged": Point(Stage.READING, "the portal has told; the ledger does not know"),
    }
)

# What a deploy may meet: a call is under way.
UNDER_WAY: Final = ("call.connected", "call.half_sent", "call.sent", "call.headers", "call.answered", "call.judged")
ATTEMPTS: Final = (1, 2)
LEASE_S: Final = float(QUICK["B24PAY_LEASE_S"])
INVOICES: Final = 3  # payments of one case, in one batch
FURTHER: Final = 9  # the invoice that shows that the lane works on afterwards


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of the matrix."""

    number: int
    point: str
    action: Action
    attempt: int

    @property
    def key(self) -> str:
        """The portal's key; a case has a portal of its own."""
        return f"case-{self.number}"

    @property
    def stage(self) -> Stage:
        """Where its point lies."""
        return POINTS[self.point].stage

    @property
    def is_slow(self) -> bool:
        """Whether its process comes to the point seconds after it was set going."""
        late = self.stage is Stage.READING and self.attempt > 1
        return late or self.stage in (Stage.PRODUCER, Stage.RECOVERY)

    @property
    def nears_s(self) -> float:
        """How long after the claim of its attempt a slow case comes near its point: most of a lease runs out first."""
        return LEASE_S - 0.7 if self.stage is Stage.RECOVERY else 0.0

    @property
    def invoices(self) -> list[int]:
        """Invoice numbers that no other case has, so that a number names the case."""
        return [self.number * 10 + place for place in range(1, INVOICES + 1)]

    @property
    def further_invoice(self) -> int:
        """The invoice paid after everything else."""
        return self.number * 10 + FURTHER

    def __str__(self) -> str:
        return f"{self.point} · {self.action} · attempt {self.attempt}"


def case_of(invoice_id: int) -> int:
    """The number of the case that an invoice belongs to."""
    return invoice_id // 10


def _cells() -> Iterator[tuple[str, Action, int]]:
    for action in (Action.KILL, Action.STOP, Action.RAISE, Action.DOWN, Action.RESET):
        for attempt in ATTEMPTS:
            for point in POINTS:
                yield point, action, attempt
    for point in UNDER_WAY:
        yield point, Action.TERM, 1


def all_cases() -> list[Case]:
    """The whole matrix, numbered."""
    return [Case(number, *cell) for number, cell in enumerate(_cells(), start=1)]
