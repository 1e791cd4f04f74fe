"""The storm itself: producers ask, faults strike as planned, and in the end everything has time to come to rest."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, assert_never

from redis.exceptions import RedisError

from chaos.casualties import Casualties
from chaos.checker import taken_by
from chaos.facts import Rollback, Told
from chaos.gathering import find_handles, in_broker
from chaos.plan import Burst, Kind, Strike
from chaos.processes import groups
from chaos.proxy import Gate
from chaos.scene import Scene, Worker
from chaos.toxics import Ending, Flow, Toxics
from emulator import Handle
from ledger.payment import Payment, State

# How long a kill waits for a worker that has something in flight: one that hits nobody proves nothing.
_PREY_WITHIN_S: Final = 1.5
_LOOK_WITHIN_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.05
# A slow machine stretches the storm; what has not struck by then does not strike, and the report says so.
_STRETCH: Final = 1.3
_AT_REST_WITHIN_S: Final = 90.0
_REST_LOOK_S: Final = 0.5
# A producer notices after a moment that what it was promised is gone.
_NOTICED_AFTER_S: Final = 1.5
# So long nothing may change while accepted payments are missing, before they count as missing for good.
_MISSING_FOR_S: Final = 20.0
_LEFT_AT_MOST: Final = 1000
_OPEN: Final = (State.QUEUED, State.SENDING, State.IN_DOUBT)
_REDIS_SHARE: Final = 0.25  # of the connection faults


@dataclass(slots=True)
class Storm:
    """One storm over one scene."""

    scene: Scene
    chance: random.Random
    rollbacks: list[Rollback] = field(default_factory=list)
    struck: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    hits: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))  # met payments in `sending`
    asked: int = 0
    ended: int = 0
    open: int = 0
    calm_s: float = 0.0  # when the last fault had passed
    casualties: Casualties = field(init=False)
    _outage: asyncio.Lock = field(default_factory=asyncio.Lock)
    _group: asyncio.TaskGroup = field(init=False)  # what outlasts its strike: a stopped worker, a server that is away

    def __post_init__(self) -> None:
        self.casualties = Casualties(self.scene.session.ledger, self.scene.history)

    async def run(self) -> None:
        """Storm, then wait until everything is at rest."""
        scene = self.scene
        scene.history.begin()
        beside = [asyncio.create_task(self.casualties.follow()), asyncio.create_task(self._watch())]
        try:
            async with asyncio.TaskGroup() as self._group:
                self._group.create_task(self._ask())
                self._group.create_task(self._strike())
            await self._calm()
            await self._come_to_rest()
        finally:
            for task in beside:
                task.cancel()
            for worker in scene.workers:
                if worker.process.stopped:
                    worker.process.resume()

    # --- what happens ----------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        """Each burst at its moment, or as soon as the producer is free."""
        for burst in self.scene.plan.bursts:
            await self._until(burst.at_s)
            self._group.create_task(self._ask_for(burst))

    async def _ask_for(self, burst: Burst) -> None:
        await self.scene.producers.ask(burst, self.scene.portals[burst.portal])
        self.asked += len(burst.invoices)

    async def _strike(self) -> None:
        deadline_s = self.scene.plan.storm_s * _STRETCH
        for strike in self.scene.plan.strikes:
            await self._until(strike.at_s)
            if self.scene.history.now_s > deadline_s:
                self.scene.history.note("skipped", strike=strike.kind, planned_s=strike.at_s)
                continue
            self.scene.check()
            await self._do(strike)

    async def _do(self, strike: Strike) -> None:
        match strike.kind:
            case Kind.WORKER_KILL | Kind.CHILD_KILL:
                await self._kill_worker(strike)
            case Kind.ZOMBIE:
                await self._stop_worker(strike)
            case Kind.REDIS_KILL:
                self._group.create_task(self._kill_redis(strike))
            case Kind.POWER_LOSS:
                self._group.create_task(self._lose_power(strike))
            case Kind.TEAR_REPLY | Kind.TEAR_REQUEST:
                self._tear(strike)
            case Kind.RESET | Kind.SILENCE:
                self._cut(strike)
            case _:
                assert_never(strike.kind)

    # --- workers ---------------------------------------------------------------------------------------------

    async def _kill_worker(self, strike: Strike) -> None:
        worker, left = await self._prey(strike)
        if worker is None:
            self.scene.history.note("skipped", strike=strike.kind, planned_s=strike.at_s)
            return
        at_s = self.scene.history.now_s
        if strike.kind is Kind.WORKER_KILL:
            worker.kill()
        else:
            worker.kill_child()
        self.casualties.note(at_s, left)
        self._note(strike, worker=worker.name, sending=[payment.id for payment in left])

    async def _stop_worker(self, strike: Strike) -> None:
        worker, left = await self._prey(strike)
        if worker is None:
            self.scene.history.note("skipped", strike=strike.kind, planned_s=strike.at_s)
            return
        worker.process.stop()
        self._note(strike, worker=worker.name, sending=[payment.id for payment in left], lasts_s=strike.lasts_s)
        self._group.create_task(self._resume(worker, strike.lasts_s))

    async def _resume(self, worker: Worker, after_s: float) -> None:
        await asyncio.sleep(after_s)
        worker.process.resume()
        self.scene.history.note("resumed", worker=worker.name)

    async def _prey(self, strike: Strike) -> tuple[Worker | None, Sequence[Payment]]:
        """A worker to strike and what it has in `sending`; waits for one that has something, where that is wanted."""
        end = time.monotonic() + _PREY_WITHIN_S
        while True:
            alive = [each for each in self.scene.workers if not each.process.stopped and each.ready]
            lanes = await self._lanes_by_worker(alive)
            busy = {name: sum(counts.values()) for name, counts in lanes.items() if sum(counts.values())}
            if alive and (not strike.busiest or busy):
                chosen = alive[int(strike.choice * len(alive))]
                if strike.busiest:
                    chosen = max(alive, key=lambda each: busy.get(each.name, 0))
                return chosen, await self._sending(lanes.get(chosen.name, {}))
            if time.monotonic() > end:
                return (alive[int(strike.choice * len(alive))] if alive else None), []
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _lanes_by_worker(self, workers: Sequence[Worker]) -> Mapping[str, Mapping[str, int]]:
        """For each worker the lanes that it drives, and how many payments of each are in `sending`."""
        try:
            async with asyncio.timeout(_LOOK_WITHIN_S):
                lanes = await self.scene.session.ledger.lanes()
        except (RedisError, OSError):
            return {}
        group_of, names = groups(), {worker.process.pid: worker.name for worker in workers}
        found: dict[str, dict[str, int]] = {}
        for lane in lanes:
            name = names.get(group_of.get(_process_of(lane.owner), 0))
            if name is not None:
                found.setdefault(name, {})[lane.portal] = lane.counts[State.SENDING]
        return found

    async def _sending(self, lanes: Mapping[str, int]) -> Sequence[Payment]:
        found: list[Payment] = []
        with suppress(RedisError, OSError):
            async with asyncio.timeout(_LOOK_WITHIN_S):
                for portal, number in lanes.items():
                    if number:
                        page = await self.scene.session.ledger.payments(portal, State.SENDING, 0, _LEFT_AT_MOST)
                        found += page
        return found

    # --- Redis -----------------------------------------------------------------------------------------------

    async def _kill_redis(self, strike: Strike) -> None:
        async with self._outage:
            await self.scene.server.kill(strike.lasts_s)
        self._note(strike, away_s=strike.lasts_s)

    async def _lose_power(self, strike: Strike) -> None:
        history = self.scene.history
        async with self._outage:
            loss = await self.scene.server.lose_power(strike.back_s, strike.lasts_s, strike.choice)
        rollback = Rollback(from_s=history.at(loss.from_at), to_s=history.at(loss.to_at))
        self.rollbacks.append(rollback)
        self._note(strike, away_s=strike.lasts_s, lost_bytes=loss.bytes, from_s=rollback.from_s, to_s=rollback.to_s)
        await asyncio.sleep(_NOTICED_AFTER_S)
        with suppress(RedisError, OSError):
            await self._ask_again([each for each in self._latest() if each.door == "ledger"], [rollback])

    async def _ask_again(self, told: Sequence[Told], rollbacks: Sequence[Rollback]) -> int:
        """Ask anew for what a power loss took, as a producer does that looks its payments up; how many there were."""
        doubtful = [each for each in told if each.handle is not None and taken_by(rollbacks, each.at_s)]
        known = await find_handles(self.scene, doubtful)
        gone = [each for each in doubtful if each.handle not in known]
        waiting = await in_broker(self.scene, [each.handle for each in gone if each.handle is not None])
        gone = [each for each in gone if each.handle not in waiting]
        if gone:
            self.scene.history.note("gone", handles=[each.handle for each in gone])
            await self.scene.producers.ask_again(gone)
        return len(gone)

    def _latest(self) -> list[Told]:
        """What producers were told last about each invoice."""
        return list({each.invoice: each for each in self.scene.producers.told}.values())

    # --- connections -----------------------------------------------------------------------------------------

    def _tear(self, strike: Strike) -> None:
        gate = self._gate(strike)
        flow = Flow(cut_after=strike.bytes, cuts=1)
        gate.toxics = Toxics(reply=flow) if strike.kind is Kind.TEAR_REPLY else Toxics(request=flow)
        self._note(strike, gate=gate.authority, after_bytes=strike.bytes)

    def _cut(self, strike: Strike) -> None:
        gate = self.scene.redis_gate if self.chance.random() < _REDIS_SHARE else self._gate(strike)
        number = gate.cut(Ending.RESET if strike.kind is Kind.RESET else Ending.SILENCE)
        self._note(strike, gate=gate.authority, redis=gate is self.scene.redis_gate, connections=number)

    def _gate(self, strike: Strike) -> Gate:
        """A portal's gate; one that is in use, where there is one."""
        used = [gate for gate in self.scene.gates if gate.open_connections] or list(self.scene.gates)
        return used[int(strike.choice * len(used))]

    # --- rest ------------------------------------------------------------------------------------------------

    async def _calm(self) -> None:
        """Nothing strikes any more."""
        self.calm_s = self.scene.history.now_s
        self.scene.history.note("calm")
        for gate in self.scene.gates:
            gate.heal()
        async with Handle.connect(self.scene.emulator) as handle:
            await handle.clear_faults()

    async def _come_to_rest(self) -> None:
        """Until every accepted payment has ended and its result is delivered; or nothing more is to be expected."""
        end = time.monotonic() + _AT_REST_WITHIN_S
        quiet_since, before = time.monotonic(), (0, 0)
        while time.monotonic() < end:
            await asyncio.sleep(_REST_LOOK_S)
            self.scene.check()
            try:
                if await self._at_rest():
                    return
            except (RedisError, OSError):
                continue
            if (self.ended, self.open) != before:
                quiet_since, before = time.monotonic(), (self.ended, self.open)
            if not self.open and time.monotonic() - quiet_since > _MISSING_FOR_S:
                return

    async def _at_rest(self) -> bool:
        await self._count()
        if self.open:
            return False
        latest = self._latest()
        known = await find_handles(self.scene, latest)
        missing = [each for each in latest if each.handle is not None and each.handle not in known]
        if missing:
            await self._ask_again(missing, self.rollbacks)
            return False
        return not await self.scene.session.ledger.undelivered(1, 0)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_REST_LOOK_S)
            with suppress(RedisError, OSError):
                await self._count()

    async def _count(self) -> None:
        async with asyncio.timeout(_LOOK_WITHIN_S * 4):
            lanes = await self.scene.session.ledger.lanes()
        self.open = sum(lane.counts[state] for lane in lanes for state in _OPEN)
        self.ended = sum(lane.counts[state] for lane in lanes for state in State if state not in _OPEN)

    # --- small things ----------------------------------------------------------------------------------------

    async def _until(self, moment_s: float) -> None:
        await asyncio.sleep(max(0.0, moment_s - self.scene.history.now_s))

    def _note(self, strike: Strike, **fields: object) -> None:
        self.struck[strike.kind] += 1
        self.hits[strike.kind] += bool(fields.get("sending"))
        self.scene.history.note(strike.kind, planned_s=strike.at_s, **fields)


def _process_of(owner: str | None) -> int:
    """The process in a lease's owner, "host:process:..."; 0 where there is none."""
    words = (owner or "").split(":")
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
