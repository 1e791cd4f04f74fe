"""The plan of a storm: what is asked for and what strikes, when; drawn from the seed and from nothing else."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# A worker needs a second and a half of processor time to start; faster kills would meet workers that do nothing yet.
_KILL_EVERY_S: Final = 2.0
# Outages of Redis come three at a time and then leave a while in peace: what waits when Redis restarts is not sent
# before the quiet time has passed, and without peace everything would wait until the end.
_OUTAGES_TOGETHER: Final = 3
_OUTAGE_EVERY_S: Final = 6.0
_OUTAGES_WITHIN_S: Final = 3.0
_ZOMBIE_EVERY_S: Final = 5.0
_PAYMENTS_PER_S: Final = 25.0
_SHORTEST_S: Final = 12.0
# The first faults wait until work is under way.
_CALM_S: Final = 2.0
_BURST: Final = (4, 16)
# One connection fault per so many replies that the portals spoil.
_REPLIES_PER_CUT: Final = 10
_LARGEST_OFFSET: Final = 6000  # a batch of 49 is about as long in both directions


class Kind(StrEnum):
    """What may strike."""

    WORKER_KILL = "worker_kill"  # SIGKILL of the whole process group
    CHILD_KILL = "child_kill"  # SIGKILL of what the supervisor started, which starts it again
    ZOMBIE = "zombie"  # SIGSTOP past the lease, then SIGCONT
    REDIS_KILL = "redis_kill"
    POWER_LOSS = "power_loss"  # SIGKILL, and what was written last is gone from the disk
    TEAR_REPLY = "tear_reply"  # the next reply of a portal ends at some byte
    TEAR_REQUEST = "tear_request"
    RESET = "reset"  # all connections of a portal or of a worker's Redis are reset
    SILENCE = "silence"  # ... stay open and pass nothing more


class Door(StrEnum):
    """How a producer asks."""

    LEDGER = "ledger"  # tasks.enqueue_many
    CELERY = "celery"  # one stock message each
    BULK = "bulk"  # one stock message for all


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything; the words of the command line."""

    payments: int
    worker_kills: int
    redis_kills: int
    power_losses: int
    zombies: int
    lost_replies: float  # per cent
    workers: int
    portals: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault. What a kind does not need stays at its default."""

    at_s: float
    kind: Kind
    busiest: bool = True  # strike the worker with the most payments in `sending`, else any
    choice: float = 0.0  # 0..1: picks among what there is when the moment has come
    lasts_s: float = 0.0  # how long Redis is away, or a worker stopped
    back_s: float = 0.0  # how much of the latest writing a power loss takes
    bytes: int = 0  # how many of a torn message pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Payments that one producer asks for together."""

    at_s: float
    door: Door
    portal: int
    invoices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole storm."""

    scale: Scale
    storm_s: float
    strikes: tuple[Strike, ...]
    bursts: tuple[Burst, ...]


def make_plan(scale: Scale, *, lease_s: float) -> Plan:
    """The plan of this scale; the same scale gives the same plan."""
    storm_s = max(
        _SHORTEST_S,
        scale.worker_kills * _KILL_EVERY_S,
        (scale.redis_kills + scale.power_losses) * _OUTAGE_EVERY_S,
        scale.zombies * _ZOMBIE_EVERY_S,
        scale.payments / _PAYMENTS_PER_S,
    )
    # Each kind draws from a stream of its own: one more kill moves no power loss.
    bursts = _bursts(scale, storm_s, random.Random(f"{scale.seed} bursts"))
    strikes: list[Strike] = []
    outages = _outages(scale, storm_s)
    for kind, number in _numbers(scale).items():
        chance = random.Random(f"{scale.seed} {kind}")
        moments = outages[kind] if kind in outages else _moments(number, storm_s, chance)
        strikes += [_strike(kind, at_s, lease_s, chance) for at_s in moments]
    return Plan(scale, storm_s, tuple(sorted(strikes, key=lambda each: each.at_s)), bursts)


def _numbers(scale: Scale) -> dict[Kind, int]:
    child_kills = scale.worker_kills * 2 // 5
    # Not of the portals' replies but of the connections; there are about a tenth as many requests as payments.
    cuts = round(scale.payments * scale.lost_replies / 100 / _REPLIES_PER_CUT)
    return {
        Kind.WORKER_KILL: scale.worker_kills - child_kills,
        Kind.CHILD_KILL: child_kills,
        Kind.ZOMBIE: scale.zombies,
        Kind.REDIS_KILL: scale.redis_kills,
        Kind.POWER_LOSS: scale.power_losses,
        Kind.TEAR_REPLY: cuts,
        Kind.TEAR_REQUEST: cuts,
        Kind.RESET: cuts // 2,
        Kind.SILENCE: cuts // 4,
    }


def _moments(number: int, storm_s: float, chance: random.Random) -> Sequence[float]:
    """Moments spread over the storm, each anywhere in a slot of its own."""
    slot_s = (storm_s - _CALM_S) / max(number, 1)
    return [round(_CALM_S + (slot + chance.random()) * slot_s, 3) for slot in range(number)]


def _outages(scale: Scale, storm_s: float) -> dict[Kind, list[float]]:
    """When Redis is killed and when it loses power: in groups, mixed."""
    chance = random.Random(f"{scale.seed} outages")
    kinds = [Kind.REDIS_KILL] * scale.redis_kills + [Kind.POWER_LOSS] * scale.power_losses
    chance.shuffle(kinds)
    groups = _moments(-(-len(kinds) // _OUTAGES_TOGETHER), storm_s - _OUTAGES_WITHIN_S, chance)
    found: dict[Kind, list[float]] = {Kind.REDIS_KILL: [], Kind.POWER_LOSS: []}
    for number, kind in enumerate(kinds):
        at_s = groups[number // _OUTAGES_TOGETHER] + chance.random() * _OUTAGES_WITHIN_S
        found[kind].append(round(at_s, 3))
    return found


def _strike(kind: Kind, at_s: float, lease_s: float, chance: random.Random) -> Strike:
    choice, share = chance.random(), chance.random()
    match kind:
        case Kind.ZOMBIE:
            lasts_s = lease_s + 1.0 + 2.0 * share
        case Kind.REDIS_KILL | Kind.POWER_LOSS:
            lasts_s = 0.05 + 0.75 * share
        case _:
            lasts_s = 0.0
    return Strike(
        at_s=at_s,
        kind=kind,
        busiest=chance.random() < 0.85,  # noqa: PLR2004 - a worker at rest may die as well
        choice=round(choice, 6),
        lasts_s=round(lasts_s, 3),
        back_s=round(chance.uniform(0.1, 2.0), 3) if kind is Kind.POWER_LOSS else 0.0,
        bytes=chance.randrange(_LARGEST_OFFSET) if kind in (Kind.TEAR_REPLY, Kind.TEAR_REQUEST) else 0,
    )


def _bursts(scale: Scale, storm_s: float, chance: random.Random) -> tuple[Burst, ...]:
    sizes: list[int] = []
    while (left := scale.payments - sum(sizes)) > 0:
        sizes.append(min(left, chance.randint(*_BURST)))
    used = [0] * scale.portals
    bursts = []
    for number, size in enumerate(sizes):
        portal = chance.randrange(scale.portals)
        first = used[portal] + 1
        used[portal] += size
        at_s = (number + chance.random()) * storm_s / len(sizes)
        door = chance.choice((Door.LEDGER, Door.LEDGER, Door.LEDGER, Door.CELERY, Door.BULK))
        invoices = tuple(range(first, first + size))
        bursts.append(Burst(at_s=round(at_s, 3), door=door, portal=portal, invoices=invoices))
    return tuple(bursts)
