"""One case from its portal to the moment in which a process is about to reach the point."""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from celery import Celery
from redis.exceptions import RedisError

from bitrix24.portal import parse_portal
from bitrix24.registry import PortalRegistry
from chaos.proxy import Gate, Proxy
from chaos.toxics import Flow, Toxics
from emulator import Handle as Emulator
from ledger.payment import Handle, NewPayment, Payment, PortalKey, State
from ledger.redis import RedisLedger
from tests.house import ROOT, House
from tests.matrix.cases import Action, Case, Stage
from tests.matrix.director import Watch
from tests.matrix.patience import until

# With the settings of the tests: a call may start 3 s after its claim, at the fence's last moment 2 s later, lasts 3 s,
# and goes on at the portal for 1 s. Earlier an "unpaid" says nothing.
QUIET_S: Final = 9.0


# So that a reset meets an answer that is still on its way, not one that waits in the worker's own kernel.
_REPLIES: Final = {
    "call.connected": Flow(swallow=True),
    "call.half_sent": Flow(swallow=True),
    "call.sent": Flow(swallow=True),
    "call.headers": Flow(slice_bytes=64, slice_pause_s=0.1),
}


@dataclass(slots=True)
class Scene:
    """A case under way."""

    case: Case
    watch: Watch
    authority: str
    gate: Gate | None  # where the portal's connections can be reset
    handles: list[str] = field(default_factory=list)
    ready_at: float = 0.0  # monotonic; the lost attempts are readable from then on
    producer: "asyncio.Task[list[str]] | None" = None
    began: float = 0.0  # monotonic; when the process was harmed
    struck_at: float = 0.0  # the same on the wall clock, as the emulator's journal has it
    took_s: float = 0.0


def _hold_back(gate: Gate, reply: Flow) -> None:
    gate.toxics = Toxics(reply=reply)


@dataclass(frozen=True, slots=True)
class Scenery:
    """Sets scenes up, over one server and one emulator."""

    house: House
    ledger: RedisLedger
    registry: PortalRegistry
    emulator: Emulator
    proxy: Proxy
    celery: Celery
    armed: Mapping[str, str]  # what lets a producer stand at points

    async def set_up(self, case: Case, watch: Watch) -> Scene:
        """A fresh portal, known to the ledger."""
        host = f"127.1.{case.number // 250 + 1}.{case.number % 250 + 1}"
        gate = None
        authority = f"{host}:{self.house.emulator.partition(':')[2]}"
        if case.action is Action.RESET and case.point.startswith("call."):
            gate = self.proxy.open(self.house.emulator, f"{host}:0")
            authority = gate.authority
            watch.at_claim = partial(_hold_back, gate, _REPLIES.get(case.point, Flow()))
        await self.emulator.put(authority)
        webhook = f"http://{authority}/rest/1/emulator-secret/"
        await self.registry.put(parse_portal(case.key, {"webhook": webhook}, allow_insecure=True))
        await self.ledger.add_lane(case.key)
        scene = Scene(case, watch, authority, gate)
        await self._lose_attempts(scene)
        return scene

    async def _lose_attempts(self, scene: Scene) -> None:
        """Let the earlier attempts end without an answer, and hold the lane until the case goes on."""
        case, before = scene.case, {"kind": "reset", "place": "before"}
        lost = [before] * (case.attempt - 1)
        if case.stage is Stage.READING:
            # In the first attempt the read-back says unpaid, in the second paid.
            lost = [before] if case.attempt == 1 else [before, {"kind": "reset", "place": "after"}]
        if not lost or case.stage is Stage.PRODUCER:
            return
        for rule in lost:
            await self.emulator.add_fault(**rule, portal=scene.authority, method="batch", count=1)
        await self._enqueue(scene, case.invoices)
        await self._until(scene, State.IN_DOUBT)
        await self.ledger.hold(case.key, "MATRIX", "until the earlier attempts are readable")
        scene.ready_at = time.monotonic() + QUIET_S

    async def begin(self, scene: Scene) -> None:
        """Bring a process to the point."""
        case = scene.case
        await asyncio.sleep(scene.ready_at - time.monotonic())
        scene.watch.armed = True
        if case.stage is Stage.PRODUCER:
            self.produce(scene)
            return
        if case.stage is Stage.MESSAGE:
            scene.handles += await asyncio.to_thread(self._send, case)
        if scene.ready_at:
            await self.ledger.resume(case.key)
        elif case.stage is not Stage.MESSAGE:
            await self._enqueue(scene, case.invoices)

    def produce(self, scene: Scene) -> None:
        """Start a producer; a second one asks for the same."""
        scene.producer = asyncio.create_task(self._produced(scene))

    async def pay_one_more(self, scene: Scene) -> None:
        """Show that the lane works on."""
        await self._enqueue(scene, [scene.case.further_invoice])
        await self._until(scene, State.PAID)

    async def rows(self, scene: Scene) -> Sequence[Payment | None]:
        """The ledger's rows of the case."""
        return await self.ledger.find(scene.handles)

    async def _enqueue(self, scene: Scene, invoices: Sequence[int]) -> None:
        wanted = [
            NewPayment(
                id=Handle(str(uuid.uuid4())), portal=PortalKey(scene.case.key), invoice_id=invoice, pay_system_id=1
            )
            for invoice in invoices
        ]
        await self.ledger.open(wanted)
        scene.handles += [payment.id for payment in wanted]

    async def _until(self, scene: Scene, state: State) -> None:
        await until(lambda: self._are(scene, state), within_s=60)

    async def _are(self, scene: Scene, state: State) -> bool:
        try:
            rows = await self.rows(scene)
        except (RedisError, OSError):
            return False
        return all(row is not None and row.state is state for row in rows)

    def _send(self, case: Case) -> list[str]:
        return [
            str(
                self.celery.send_task(
                    "tasks.pay_invoice",
                    kwargs={"portal": case.key, "invoice_id": invoice, "pay_system_id": 1},
                    queue="payments",
                ).id
            )
            for invoice in case.invoices
        ]

    async def _produced(self, scene: Scene) -> list[str]:
        wanted = [
            {"portal": scene.case.key, "invoice_id": each, "pay_system_id": 1, "idempotency_key": f"key-{each}"}
            for each in scene.case.invoices
        ]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.matrix.producing", json.dumps(wanted)),
            cwd=ROOT,
            env={**self.house.environment, **self.armed},
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await process.communicate()
        return [str(handle) for handle in json.loads(told)] if process.returncode == 0 else []
