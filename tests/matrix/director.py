"""Hears of every point that any process reaches, and lets only those stand that a case waits for."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from config.failpoints import VARIABLE
from tests.matrix.cases import POINTS, Case, Stage, case_of

CLAIMED = "lane.claimed"


@dataclass(frozen=True, slots=True)
class Standing:
    """A process that stands at a point until it is told how to go on."""

    point: str
    pid: int
    _writer: asyncio.StreamWriter = field(repr=False)

    def go_on(self) -> None:
        """Let it go on."""
        self._answer(b"go\n")

    def fail(self) -> None:
        """Let the point raise."""
        self._answer(b"raise\n")

    def _answer(self, line: bytes) -> None:
        with suppress(OSError):  # it may be dead by now
            self._writer.write(line)
        self._writer.close()


@dataclass(slots=True)
class Watch:
    """What one case waits for: `reached` is done when a process stands at its point, in its attempt."""

    case: Case
    reached: asyncio.Future[Standing]
    armed: bool = False
    is_near: asyncio.Event = field(default_factory=asyncio.Event)  # its attempt is claimed; the point comes next
    claims: int = 0  # how often its payments were claimed
    visits: int = 0  # how often its point was passed while it was armed
    at_claim: Callable[[], None] = lambda: None  # called while the driver stands behind the claim of the attempt

    def answer(self, standing: Standing) -> bool:
        """Note a point; True when the process is dealt with, False when it may go on for all this case cares."""
        self.claims += standing.point == CLAIMED
        if not self.armed or self.reached.done():
            return False
        if standing.point == CLAIMED and self.claims == self.case.attempt:
            self.is_near.set()
            self.at_claim()
        if self.case.stage is Stage.RECOVERY and standing.point == CLAIMED and self.claims == self.case.attempt:
            standing.fail()  # its driver dies of it, and the next one finds the payments in `sending`
            return True
        if standing.point != self.case.point:
            return False
        self.visits += 1
        if self.case.stage is Stage.PRODUCER and self.visits < self.case.attempt:
            standing.fail()  # the producer asks a second time
            return True
        if self._due():
            self.reached.set_result(standing)
            return True
        return False

    def _due(self) -> bool:
        if self.case.stage in (Stage.PRODUCER, Stage.MESSAGE, Stage.LANE):
            return True  # armed only when the earlier attempt is over
        return self.claims >= self.case.attempt


class Director:
    """Listens for the processes that were started with `environment`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watches: dict[str, Watch] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Arms every point."""
        return {VARIABLE: f"{','.join(POINTS)}@{self._path}", "B24PAY_ALLOW_INSECURE_PORTALS": "1"}

    def watch(self, case: Case) -> Watch:
        """Note from now on what happens to this case's payments."""
        watch = Watch(case, asyncio.get_running_loop().create_future())
        self._watches[case.key] = watch
        return watch

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One process at one point."""
        line = await reader.readline()
        if not line:
            writer.close()
            return
        told = json.loads(line)
        standing = Standing(told["point"], told["pid"], writer)
        dealt_with = [watch.answer(standing) for watch in self._concerned(told["about"])]
        if not any(dealt_with):
            standing.go_on()

    def _concerned(self, about: Iterable[object]) -> list[Watch]:
        keys = dict.fromkeys(f"case-{case_of(each)}" if isinstance(each, int) else str(each) for each in about)
        return [self._watches[key] for key in keys if key in self._watches]


@asynccontextmanager
async def directing(directory: Path) -> AsyncIterator[Director]:
    """A director that listens until the block ends; processes then just go on."""
    director = Director(directory / "fp")
    server = await asyncio.start_unix_server(director.hear, director._path)
    try:
        yield director
    finally:
        server.close()
