"""Many cases at once over one server, one emulator and some workers; one process is harmed at a time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from redis.exceptions import RedisError

from chaos.proxy import running_proxy
from config.connections import async_redis_client
from emulator import Handle as Emulator
from ledger.payment import State
from tests.house import House, a_house, open_ledger
from tests.matrix.books import Books, how_it_ended, is_final
from tests.matrix.cases import Action, Case, Stage
from tests.matrix.director import Director, directing
from tests.matrix.groups import STANDING, Group, Waves
from tests.matrix.harm import Harm, Outages
from tests.matrix.patience import until
from tests.matrix.pool import Pool
from tests.matrix.scenes import Scene, Scenery

REACHED_WITHIN_S: Final = 120.0
# Every restart of the server begins the quiet time of all cases anew, and a group has a dozen restarts.
VERDICT_WITHIN_S: Final = 180.0
# Workers that may be frozen or dead at a time: two are left, one to take lanes over and one to be harmed.
SPARE: Final = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended; nothing wrong means right."""

    case: Case
    how: str
    took_s: float
    wrong: Sequence[str] = field(default=())


@dataclass(slots=True)
class Round:
    """The cases of one house."""

    director: Director
    scenery: Scenery
    pool: Pool
    harm: Harm
    outages: Outages
    emulator: Emulator
    redis: Any
    at_work: asyncio.Semaphore  # how many processes may be harmed and not yet at work again
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def play(self, waves: Waves) -> list[Outcome]:
        """Play wave after wave, the cases of each at once; an outcome for each."""
        scenes: list[Scene] = []
        ended: list[BaseException | None] = []
        lost: list[Outcome] = []
        for wave in waves:
            self.outages.expect(len(wave))
            now, failed = await self._set_up(wave)
            ended += await asyncio.gather(*(self._strike(scene) for scene in now), return_exceptions=True)
            scenes += now
            lost += failed
        await asyncio.gather(*(self.scenery.pay_one_more(scene) for scene in scenes), return_exceptions=True)
        await asyncio.sleep(1.0)  # whoever was woken late has had its chance to do harm
        return lost + [await self._outcome(scene, error) for scene, error in zip(scenes, ended, strict=True)]

    async def _set_up(self, wave: Sequence[Case]) -> tuple[list[Scene], list[Outcome]]:
        """The scenes of a wave, and what could not even be set up."""
        setting_up = (self.scenery.set_up(case, self.director.watch(case)) for case in wave)
        found = await asyncio.gather(*setting_up, return_exceptions=True)
        scenes = [scene for scene in found if isinstance(scene, Scene)]
        failed = [
            Outcome(case, "", 0.0, [f"the earlier attempts did not end in doubt: {scene!r}"])
            for case, scene in zip(wave, found, strict=True)
            if isinstance(scene, BaseException)
        ]
        return scenes, failed

    async def _strike(self, scene: Scene) -> None:
        """Bring a process to the point, harm it, and wait for the verdict."""
        await self.at_work.acquire()
        try:
            harming = await self._harmed(scene)
        except BaseException:
            self.at_work.release()
            raise
        harming.add_done_callback(lambda _task: self.at_work.release())
        try:
            await until(lambda: self._is_over(scene), within_s=VERDICT_WITHIN_S)
        finally:
            scene.took_s = time.monotonic() - scene.began
            await harming

    async def _harmed(self, scene: Scene) -> "asyncio.Task[None]":
        """Harm the process that reaches the point; the task ends when its worker works again."""
        case = scene.case
        if case.is_slow:
            await self.scenery.begin(scene)
        if case.is_slow and case.stage is not Stage.PRODUCER:
            async with asyncio.timeout(REACHED_WITHIN_S):
                await scene.watch.is_near.wait()
            await asyncio.sleep(case.nears_s)
        # A process that other cases wait for must not be harmed meanwhile; what takes long does not make them wait.
        async with contextlib.nullcontext() if case.stage is Stage.PRODUCER else self.turn:
            if not case.is_slow:
                await self.scenery.begin(scene)
            async with asyncio.timeout(REACHED_WITHIN_S):
                standing = await scene.watch.reached
            scene.struck_at, scene.began = time.time(), time.monotonic()
            harming = asyncio.create_task(self.harm.do(scene, standing, lambda: self._is_over(scene)))
            if case.action is Action.TERM:
                await asyncio.wait({harming})  # a worker that is told to stop ends what others wait for, too
            return harming

    async def _is_over(self, scene: Scene) -> bool:
        """Whether every payment is paid and every result is delivered."""
        if scene.producer is not None and not scene.handles:
            if not scene.producer.done() or not scene.producer.result():
                return False
            scene.handles += scene.producer.result()
        try:
            rows = await self.scenery.rows(scene)
            if not rows or not all(row is not None and row.state is State.PAID for row in rows):
                return False
            return all(is_final(stored) for stored in (await self._results(scene)).values())
        except (RedisError, OSError):
            return False

    async def _results(self, scene: Scene) -> dict[str, object]:
        keys = [f"celery-task-meta-{handle}" for handle in scene.handles]
        return dict(zip(scene.handles, await self.redis.mget(keys), strict=True)) if keys else {}

    async def _outcome(self, scene: Scene, error: BaseException | None) -> Outcome:
        case = scene.case
        requests = await self.emulator.requests(portal=scene.authority)
        books = Books(
            await self.scenery.rows(scene),
            await self._results(scene),
            await self.emulator.effects(scene.authority),
            requests,
            [*case.invoices, case.further_invoice],
        )
        wrong = books.complaints()
        if error is not None:
            wrong.insert(0, f"{type(error).__name__} {error}")
        if wrong:
            wrong += self.pool.said(f'"{case.key}"')[-8:]
        until = scene.struck_at + scene.took_s
        how = how_it_ended(requests, case.attempt, scene.struck_at, until, case.invoices)
        return Outcome(case, how, scene.took_s, wrong)


def play(group: Group) -> list[Outcome]:
    """Play a group's cases, each house in a thread of its own."""
    with ThreadPoolExecutor(max(1, len(group.houses))) as threads:
        played = list(threads.map(partial(_in_a_house, group.workers), group.houses))
    return [outcome for outcomes in played for outcome in outcomes]


def _in_a_house(workers: int, waves: Waves) -> list[Outcome]:
    with a_house() as house:
        return asyncio.run(_played(house, workers, waves))


async def _played(house: House, workers: int, waves: Waves) -> list[Outcome]:
    async with _a_round(house, workers) as group:
        return await group.play(waves)


@asynccontextmanager
async def _a_round(house: House, workers: int) -> AsyncIterator[Round]:
    redis = async_redis_client(house.server.url, max_connections=8, decode_responses=True)
    async with (
        directing(house.directory) as director,
        running_proxy() as proxy,
        open_ledger(house.server.url) as (ledger, registry),
        redis,
        Emulator.connect(house.emulator) as emulator,
    ):
        armed = director.environment
        scenery = Scenery(house, ledger, registry, emulator, proxy, house.celery(), armed)
        pool, outages = Pool(house, armed), Outages(house.server)
        harm = Harm(pool, outages, redis, scenery.produce)
        awake = asyncio.Semaphore(max(STANDING, workers - SPARE))
        try:
            await pool.start(workers)
            yield Round(director, scenery, pool, harm, outages, emulator, redis, awake)
        finally:
            pool.close()
