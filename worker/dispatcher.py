"""Take due lanes as long as there is room, one task each, and keep their leases alive."""

import asyncio
from contextlib import suppress

import structlog
from redis.exceptions import RedisError

from bitrix24.registry import RegistryError
from config.failpoints import failpoint
from config.outages import is_outage
from ledger.ledger import Lease, LeaseLost
from metrics.pulse import Beat, Pulse
from worker.deps import Deps
from worker.driver import drive, hand_over
from worker.lane import MOST_LANES, SLICE_S, Lane
from worker.load import Load

log = structlog.get_logger(__name__)

# Lanes come in portions, so that a process that is free gets its share of what became due together.
TAKEN_AT_ONCE = 4
# A wake-up hint can be lost (it is a mere PUBLISH), so the due-set is looked at this often in any case.
LONGEST_SLEEP_S = 0.5
AFTER_OUTAGE_S = 0.5  # Redis did not answer: ask again after this
RENEWALS = 8  # per lease time: two or three may fail in an outage before anything is lost
UNUSABLE_WAIT_S = 30.0  # a lane whose credential this process cannot read is left to others for this long


class Dispatcher:
    """Drives lanes until it is stopped."""

    def __init__(self, owner: str, deps: Deps, pulse: Pulse | None = None) -> None:
        self._owner = owner
        self._pulse = pulse or Pulse()
        self._deps = deps
        self._clock = deps.clock
        self._lanes: dict[str, Lane] = {}
        self._driving: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._epoch = 0
        self._load = Load(self._felt)
        deps.work.shows(lanes=lambda: len(self._driving), requests=lambda: self._load.requests)

    async def run(self) -> None:
        """Take and drive lanes; returns after `stop` when every lane has been handed back."""
        beside = [asyncio.create_task(self._keep_leases()), asyncio.create_task(self._load.feel())]
        try:
            while not self._stopping:
                await self._turn()
            while self._driving:
                await asyncio.wait(self._driving)
        finally:
            for task in beside:
                task.cancel()

    async def stop(self, patience_s: float) -> None:
        """Claim nothing more; what is in flight may land for `patience_s`, then it becomes in doubt."""
        self._stopping = True
        for lane in self._lanes.values():
            lane.close()
        if self._driving:
            await asyncio.wait(self._driving, timeout=patience_s)
        for lane in self._lanes.values():
            lane.abandon()

    async def _turn(self) -> None:
        """Take what is due, or sleep until something is."""
        self._pulse.feed(Beat.DISPATCHER)
        began = self._clock()
        asked = min(MOST_LANES - len(self._driving), TAKEN_AT_ONCE)
        if not asked:
            await asyncio.wait(self._driving, timeout=LONGEST_SLEEP_S, return_when=asyncio.FIRST_COMPLETED)
            return
        try:
            leases, next_s = await self._deps.ledger.take(self._owner, asked)
            self._note_epoch(self._deps.ledger.epoch)
            if leases:
                self._deps.work.lanes_taken(len(leases))
                failpoint("lane.taken", [lease.portal for lease in leases])
            for lease in leases:
                task = asyncio.create_task(self._drive(lease, began))
                self._driving.add(task)
                task.add_done_callback(self._driving.discard)
            if len(leases) < asked:
                sleep_s = LONGEST_SLEEP_S if next_s is None else min(max(next_s, 0.001), LONGEST_SLEEP_S)
                await self._deps.ledger.wait_for_work(sleep_s)
        except (RedisError, OSError) as error:
            log.warning("ledger.unavailable", error=type(error).__name__, retry_s=AFTER_OUTAGE_S)
            await asyncio.sleep(AFTER_OUTAGE_S)
        except Exception as error:
            log.exception("dispatcher.stumbled", error=type(error).__name__)
            await asyncio.sleep(AFTER_OUTAGE_S)

    def _felt(self, late_s: float) -> None:
        self._pulse.feed(Beat.PAYMENTS)
        self._deps.work.late(late_s)

    def _note_epoch(self, epoch: int) -> None:
        if self._epoch and epoch != self._epoch:
            log.warning("ledger.epoch", epoch=epoch)
        self._epoch = epoch

    async def _drive(self, lease: Lease, began: float) -> None:
        """One lane from lease to release; whatever goes wrong stays in this lane."""
        with structlog.contextvars.bound_contextvars(lane=lease.portal):
            try:
                lane = await self._lane(lease, began)
                if lane is None:
                    await self._deps.ledger.release(lease, UNUSABLE_WAIT_S)
                    return
                self._lanes[lease.portal] = lane
                try:
                    await self._driven(lane)
                finally:
                    if lane.lost:
                        self._deps.work.lease_lost()
                    # This process may have taken the lane again meanwhile, after the lease was lost in an outage.
                    if self._lanes.get(lease.portal) is lane:
                        del self._lanes[lease.portal]
            except LeaseLost:
                log.warning("lease.lost", portal=lease.portal)
            except Exception as error:
                if is_outage(error):
                    await self._give_up(lease, error)
                else:
                    # The lease runs out by itself, and the next driver recovers what was under way.
                    log.exception("lane.crashed", portal=lease.portal, error=type(error).__name__)

    async def _give_up(self, lease: Lease, outage: Exception) -> None:
        """Nothing is under way any more: hand the lane back if Redis takes that, or let its lease run out."""
        log.warning("ledger.unavailable", portal=lease.portal, error=type(outage).__name__)
        with suppress(RedisError, OSError):
            await self._deps.ledger.release(lease, AFTER_OUTAGE_S)

    async def _driven(self, lane: Lane) -> None:
        try:
            await drive(lane, self._deps)
        except LeaseLost:
            # Another driver has the lane, or the server is another one. Then it is still ours to hand back, to be taken
            # and recovered at once; what another driver holds is not touched.
            lane.lose()
            log.warning("lease.lost", portal=lane.key)
            await hand_over(lane, self._deps)
        except Exception as error:
            if not is_outage(error):
                # Handed back, it would fail again at once: its lease keeps it from everybody for a while.
                await lane.all_landed()
                raise
            log.warning("ledger.unavailable", portal=lane.key, error=type(error).__name__)
            await hand_over(lane, self._deps)

    async def _lane(self, lease: Lease, began: float) -> Lane | None:
        """The lane with its portal's credential, or None where this process has none for it."""
        try:
            # A lane on trial may have been resumed for a new credential.
            registry = self._deps.registry
            portal = await (registry.newest if lease.trial else registry.get)(lease.portal)
        except RegistryError as error:
            log.warning("lane.unusable", portal=lease.portal, error=str(error), retry_s=UNUSABLE_WAIT_S)
            return None
        return Lane(
            lease=lease,
            portal=portal,
            clock=self._clock,
            load=self._load,
            neighbours=lambda: len(self._driving),
            believed_until=began + self._deps.lease_s,
            slice_until=self._clock() + SLICE_S,
            closing=self._stopping,
        )

    async def _keep_leases(self) -> None:
        """Renew every lease several times before it can run out."""
        while True:
            await asyncio.sleep(self._deps.lease_s / RENEWALS)
            lanes = list(self._lanes.values())
            began = self._clock()
            try:
                kept = await self._deps.ledger.renew([lane.lease for lane in lanes]) if lanes else []
            except (RedisError, OSError) as error:
                log.warning("ledger.unavailable", error=type(error).__name__)
                continue
            except Exception as error:
                log.exception("dispatcher.stumbled", error=type(error).__name__)
                continue
            for lane, alive in zip(lanes, kept, strict=True):
                lane.renewed(began + self._deps.lease_s) if alive else lane.lose()
