"""What is done to a process that stands at a point."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from cli.embedded import EmbeddedServer
from tests.house import Worker
from tests.matrix.cases import Action, Stage
from tests.matrix.director import Standing
from tests.matrix.patience import until
from tests.matrix.pool import Pool
from tests.matrix.scenes import Scene

DOWN_S: Final = 2.0
GATHER_S: Final = 20.0  # an outage waits so long for those who shall meet it
# The lease (4 s) is over, and another worker has had time to take the lane.
FROZEN_S: Final = 5.5
# A zombie is woken when all is settled without it: whatever it then sends would come twice.
FROZEN_AT_MOST_S: Final = 25.0
HARM_WITHIN_S: Final = 90.0
SIGNAL_S: Final = 0.3  # a supervisor passes a signal on


class Outages:
    """Takes Redis away for a while as soon as all who shall meet it stand; they go on without it."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._expected = 0
        self._standing: list[Standing] = []
        self._all_stand = asyncio.Event()
        self._outage: asyncio.Task[None] | None = None

    def expect(self, number: int) -> None:
        """So many will meet the next outage."""
        self._expected, self._standing, self._outage = number, [], None
        self._all_stand.clear()

    async def meet(self, standing: Standing) -> None:
        """Stand until the server is gone, go on, and return when it is back."""
        self._standing.append(standing)
        if len(self._standing) == self._expected:
            self._all_stand.set()
        if self._outage is None:
            self._outage = asyncio.create_task(self._happen())
        await asyncio.shield(self._outage)

    async def _happen(self) -> None:
        with suppress(TimeoutError):  # whoever does not come has a failure of its own
            async with asyncio.timeout(GATHER_S):
                await self._all_stand.wait()
        await asyncio.to_thread(self._server.kill)
        for each in self._standing:
            each.go_on()
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(self._server.start)


class Harm:
    """Does a case's action; `is_over` says whether the case has its verdict."""

    def __init__(self, pool: Pool, outages: Outages, redis: Any, produce: Callable[[Scene], None]) -> None:
        self._pool = pool
        self._outages = outages
        self._redis = redis
        self._produce = produce
        self._replaced: asyncio.Task[None] | None = None

    async def do(self, scene: Scene, standing: Standing, is_over: Callable[[], Awaitable[bool]]) -> None:
        """Returns when the process has been dealt with; raises AssertionError where its own end was wrong."""
        match scene.case.action:
            case Action.KILL:
                await self._kill(scene, standing)
            case Action.STOP:
                await self._freeze(scene, standing, is_over)
            case Action.RAISE:
                standing.fail()
            case Action.DOWN:
                await self._outages.meet(standing)
            case Action.RESET:
                await self._reset(scene, standing)
            case Action.TERM:
                await self._terminate(standing)

    async def _kill(self, scene: Scene, standing: Standing) -> None:
        if scene.producer is not None:
            os.kill(standing.pid, signal.SIGKILL)
            await scene.producer
            self._produce(scene)
            return
        worker = self._pool.owner(standing.pid)
        lives = worker.times_ready()
        os.kill(standing.pid, signal.SIGKILL)
        await until(lambda: _works_again(worker, lives), within_s=HARM_WITHIN_S)

    @staticmethod
    async def _freeze(scene: Scene, standing: Standing, is_over: Callable[[], Awaitable[bool]]) -> None:
        os.kill(standing.pid, signal.SIGSTOP)
        await until(lambda: _is_frozen(standing.pid), within_s=HARM_WITHIN_S)
        standing.go_on()  # it reads this when it wakes
        await asyncio.sleep(FROZEN_S)
        if scene.case.stage not in (Stage.PRODUCER, Stage.MESSAGE):
            with suppress(TimeoutError):  # the verdict is asserted elsewhere
                await until(is_over, within_s=FROZEN_AT_MOST_S)
        with suppress(ProcessLookupError):  # the fence may have ended it
            os.kill(standing.pid, signal.SIGCONT)

    async def _reset(self, scene: Scene, standing: Standing) -> None:
        for kind in ("normal", "pubsub"):
            await self._redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        if scene.gate is not None:
            scene.gate.cut()
            scene.gate.heal()
        standing.go_on()

    async def _terminate(self, standing: Standing) -> None:
        worker = self._pool.owner(standing.pid)
        worker.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(SIGNAL_S)
        standing.go_on()
        code = await self._pool.stop(worker)
        self._replaced = asyncio.create_task(self._pool.start(1))
        assert code == 0, f"a worker that was told to stop ended with {code}"


async def _works_again(worker: Worker, lives: int) -> bool:
    return worker.times_ready() > lives


async def _is_frozen(pid: int) -> bool:
    """Whether every thread stands: until then the process may still read what it is told."""
    return all(state == "T" for state in _thread_states(pid))


def _thread_states(pid: int) -> list[str]:
    return [each.read_text().rpartition(")")[2].split()[0] for each in Path(f"/proc/{pid}/task").glob("*/stat")]
