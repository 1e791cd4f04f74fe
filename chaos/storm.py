"""The storm itself: producers ask, faults strike as planned, and in the end everything has time to come to rest."""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from redis.exceptions import RedisError

from chaos.casualties import Casualties
from chaos.checker import taken_by
from chaos.facts import Rollback, Told
from chaos.gathering import find_handles, in_broker
from chaos.plan import Burst, Door
from chaos.scene import Scene
from chaos.striking import Striker
from chaos.tempo import Tempo
from emulator import Handle
from ledger.payment import State

# A loaded machine stretches the storm by so much; what has not struck by then does not strike, and the report says so.
_PATIENCE: Final = 0.15
_AT_REST_WITHIN_S: Final = 120.0
_REST_LOOK_S: Final = 0.5
_COUNT_WITHIN_S: Final = 2.0
# A producer notices after a moment that what it was promised is gone.
_NOTICED_AFTER_S: Final = 1.5
# So long nothing may change while accepted payments are missing, before they count as missing for good.
_MISSING_FOR_S: Final = 20.0
_OPEN: Final = frozenset({State.QUEUED, State.SENDING, State.IN_DOUBT})


@dataclass(slots=True)
class Storm:
    """One storm over one scene."""

    scene: Scene
    asked: int = 0
    ended: int = 0
    open: int = 0
    calm_s: float = 0.0  # when the last fault had passed
    tempo: Tempo = field(init=False)
    casualties: Casualties = field(init=False)
    striker: Striker = field(init=False)

    def __post_init__(self) -> None:
        plan = self.scene.plan
        self.tempo = Tempo(plan.storm_s * _PATIENCE)
        self.casualties = Casualties(self.scene.session.ledger, lambda: self.scene.history.now_s)
        self.striker = Striker(
            scene=self.scene,
            tempo=self.tempo,
            chance=random.Random(f"{plan.scale.seed} storm"),
            casualties=self.casualties,
            noticing=self._notice,
        )

    async def run(self) -> None:
        """Storm, then wait until everything is at rest."""
        self.scene.history.begin()
        self.tempo.begin()
        beside = [asyncio.create_task(self.casualties.follow()), asyncio.create_task(self._watch())]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(group))
                group.create_task(self._strike(group))
            await self._calm()
            await self._come_to_rest()
        finally:
            for task in beside:
                task.cancel()
            self.striker.end()

    async def _ask(self, group: asyncio.TaskGroup) -> None:
        """Each burst at its moment, or as soon as its producer is free."""
        for burst in self.scene.plan.bursts:
            await self.tempo.reach_or_stand(burst.at_s)
            group.create_task(self._ask_for(burst))

    async def _ask_for(self, burst: Burst) -> None:
        await self.scene.producers.ask(burst, self.scene.portals[burst.portal])
        self.asked += len(burst.invoices)

    async def _strike(self, group: asyncio.TaskGroup) -> None:
        for strike in self.scene.plan.strikes:
            await self.tempo.reach(strike.at_s)
            self.scene.check()
            await self.striker.strike(strike, group)

    # --- producers that look after what they were promised -----------------------------------------------------------

    async def _notice(self, rollback: Rollback) -> None:
        await asyncio.sleep(_NOTICED_AFTER_S)
        with suppress(RedisError, OSError):
            await self._ask_again([each for each in self._latest() if each.door == Door.LEDGER], [rollback])

    async def _ask_again(self, told: Sequence[Told], rollbacks: Sequence[Rollback]) -> None:
        """Ask anew for what a power loss took, as a producer does that looks its payments up."""
        doubtful = [each for each in told if each.handle is not None and taken_by(rollbacks, each.at_s)]
        known = await find_handles(self.scene, doubtful)
        gone = [each for each in doubtful if each.handle not in known]
        waiting = await in_broker(self.scene, [each.handle for each in gone if each.handle is not None])
        gone = [each for each in gone if each.handle not in waiting]
        if gone:
            self.scene.history.note("gone", handles=[each.handle for each in gone])
            await self.scene.producers.ask_again(gone)

    def _latest(self) -> list[Told]:
        """What producers were told last about each invoice."""
        return list({each.invoice: each for each in self.scene.producers.told}.values())

    # --- rest --------------------------------------------------------------------------------------------------------

    async def _calm(self) -> None:
        """Nothing strikes any more."""
        self.calm_s = self.scene.history.now_s
        self.scene.history.note("calm")
        self.striker.end()
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
            await self._ask_again(missing, self.striker.rollbacks)
            return False
        return not await self.scene.session.ledger.undelivered(1, 0)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_REST_LOOK_S)
            with suppress(RedisError, OSError):
                await self._count()

    async def _count(self) -> None:
        async with asyncio.timeout(_COUNT_WITHIN_S):
            lanes = await self.scene.session.ledger.lanes()
        self.open = sum(lane.counts[state] for lane in lanes for state in _OPEN)
        self.ended = sum(lane.counts[state] for lane in lanes for state in State if state not in _OPEN)
