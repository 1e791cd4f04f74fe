"""How each kind of fault strikes."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, assert_never

from redis.exceptions import RedisError

from chaos.casualties import Casualties
from chaos.facts import Rollback
from chaos.plan import Kind, Strike
from chaos.processes import groups
from chaos.proxy import Gate
from chaos.scene import Scene, Worker
from chaos.tempo import Tempo
from chaos.toxics import Ending, Flow, Toxics
from ledger.payment import Payment, State

# How long a kill waits for a worker that has something in flight: one that hits nobody proves nothing.
_PREY_WITHIN_S: Final = 1.5
# And for any worker at all: a loaded machine needs a while to start one.
_ALIVE_WITHIN_S: Final = 30.0
_LOOK_WITHIN_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.05
_LEFT_AT_MOST: Final = 1000
_REDIS_SHARE: Final = 0.25  # of the connection faults

Noticing = Callable[[Rollback], Awaitable[None]]


@dataclass(slots=True)
class Striker:
    """Strikes a scene and remembers what it has done."""

    scene: Scene
    tempo: Tempo
    chance: random.Random
    casualties: Casualties
    noticing: Noticing  # called a while after each power loss
    rollbacks: list[Rollback] = field(default_factory=list)
    struck: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    hits: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))  # met payments in `sending`
    _outage: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def strike(self, strike: Strike, beside: asyncio.TaskGroup) -> None:
        """Do it; what outlasts the moment (a stopped worker, a server that is away) goes on in the group."""
        match strike.kind:
            case Kind.WORKER_KILL | Kind.CHILD_KILL:
                await self._kill_worker(strike)
            case Kind.ZOMBIE:
                await self._stop_worker(strike, beside)
            case Kind.REDIS_KILL:
                beside.create_task(self._kill_redis(strike))
            case Kind.POWER_LOSS:
                beside.create_task(self._lose_power(strike))
            case Kind.TEAR_REPLY | Kind.TEAR_REQUEST:
                self._tear(strike)
            case Kind.RESET | Kind.SILENCE:
                self._cut(strike)
            case _:
                assert_never(strike.kind)

    def skip(self, strike: Strike, why: str) -> None:
        """It does not strike; the history tells why."""
        self.scene.history.note("skipped", strike=strike.kind, planned_s=strike.at_s, why=why)

    def end(self) -> None:
        """Let everything that stands still go on."""
        for worker in self.scene.workers:
            if worker.process.stopped:
                worker.process.resume()

    # --- workers -----------------------------------------------------------------------------------------------------

    async def _kill_worker(self, strike: Strike) -> None:
        worker, left, portals = await self._prey(strike)
        if worker is None:
            self.skip(strike, "no worker was there")
            return
        at_s = self.scene.history.now_s
        if strike.kind is Kind.WORKER_KILL:
            worker.kill()
        else:
            worker.kill_child()
        self.casualties.worker_died(at_s, left, portals)
        self._note(strike, worker=worker.name, sending=[payment.id for payment in left])

    async def _stop_worker(self, strike: Strike, beside: asyncio.TaskGroup) -> None:
        worker, left, _ = await self._prey(strike)
        if worker is None:
            self.skip(strike, "no worker was there")
            return
        worker.process.stop()
        self._note(strike, worker=worker.name, sending=[payment.id for payment in left], lasts_s=strike.lasts_s)
        beside.create_task(self._resume(worker, strike.lasts_s))

    async def _resume(self, worker: Worker, after_s: float) -> None:
        await asyncio.sleep(after_s)
        worker.process.resume()
        self.scene.history.note("resumed", worker=worker.name)

    async def _prey(self, strike: Strike) -> tuple[Worker | None, Sequence[Payment], Iterable[str]]:
        """A worker to strike, what it has in `sending`, and the portals it drives; waits for one that has something,
        where that is wanted."""
        with self.tempo.standing():
            began = time.monotonic()
            while True:
                alive = [each for each in self.scene.workers if not each.process.stopped and each.ready]
                lanes = await self._lanes_by_worker(alive)
                busy = {name: sum(counts.values()) for name, counts in lanes.items() if any(counts.values())}
                waited_s = time.monotonic() - began
                if alive and (busy or not strike.busiest or waited_s > _PREY_WITHIN_S):
                    chosen = alive[int(strike.choice * len(alive))]
                    if strike.busiest and busy:
                        chosen = max(alive, key=lambda each: busy.get(each.name, 0))
                    driven = lanes.get(chosen.name, {})
                    return chosen, await self._sending(driven), driven
                if waited_s > _ALIVE_WITHIN_S or not self.tempo.patient:
                    return None, [], ()
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

    # --- Redis -------------------------------------------------------------------------------------------------------

    async def _kill_redis(self, strike: Strike) -> None:
        async with self._outage:
            self.casualties.redis_died()
            await self.scene.server.kill(strike.lasts_s)
        self._note(strike, away_s=strike.lasts_s)

    async def _lose_power(self, strike: Strike) -> None:
        history = self.scene.history
        async with self._outage:
            self.casualties.redis_died()
            loss = await self.scene.server.lose_power(strike.back_s, strike.lasts_s, strike.choice)
        rollback = Rollback(from_s=history.at(loss.from_at), to_s=history.at(loss.to_at))
        self.rollbacks.append(rollback)
        self._note(strike, away_s=strike.lasts_s, lost_bytes=loss.bytes, from_s=rollback.from_s, to_s=rollback.to_s)
        await self.noticing(rollback)

    # --- connections -------------------------------------------------------------------------------------------------

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

    def _note(self, strike: Strike, **fields: object) -> None:
        self.struck[strike.kind] += 1
        self.hits[strike.kind] += bool(fields.get("sending"))
        self.scene.history.note(strike.kind, planned_s=strike.at_s, **fields)


def _process_of(owner: str | None) -> int:
    """The process in a lease's owner, "host:process:..."; 0 where there is none."""
    words = (owner or "").split(":")
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
