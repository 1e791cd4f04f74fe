"""The plan of a storm: what is asked for and what strikes, when; drawn from the seed and from nothing else."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

# A worker needs a second and a half of processor time to start; faster kills would meet workers that do nothing yet.
_KILL_EVERY_S: Final = 2.2
# Outages of Redis come four at a time. What waits when Redis restarts is not sent before the quiet time has passed:
# evenly spread outages would leave nothing in flight to strike. Kills that are aimed avoid the time of waiting.
_OUTAGES_TOGETHER: Final = 4
_OUTAGE_EVERY_S: Final = 6.0
_OUTAGES_WITHIN_S: Final = 3.0
_WAITING_S: Final = 11.0
_AIMED: Final = 0.85  # of the kills; a worker at rest may die as well
_ZOMBIE_EVERY_S: Final = 5.0
_PAYMENTS_PER_S: Final = 25.0
_SHORTEST_S: Final = 12.0
# The first faults wait until work is under way.
_CALM_S: Final = 2.0
_BURST: Final = (2, 10)
# One connection fault per so many replies that the portals spoil.
_REPLIES_PER_CUT: Final = 10
_LARGEST_OFFSET: Final = 6000  # a batch of 49 is about as long in both directions

Span = tuple[float, float]


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


AIMED: Final = frozenset({Kind.WORKER_KILL, Kind.CHILD_KILL, Kind.ZOMBIE})  # at payments in flight


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
    outages, waiting = _outages(scale, storm_s)
    whole, busy = [(_CALM_S, storm_s)], _without(waiting, storm_s)
    strikes = [_strike(kind, at_s, lease_s, random.Random(f"{scale.seed} {kind} {at_s}")) for kind, at_s in outages]
    for kind, number in _numbers(scale).items():
        chance = random.Random(f"{scale.seed} {kind}")
        aimed = round(number * _AIMED) if kind in AIMED else 0
        moments = [(at_s, True) for at_s in _moments(aimed, busy, chance)]
        moments += [(at_s, False) for at_s in _moments(number - aimed, whole, chance)]
        strikes += [replace(_strike(kind, at_s, lease_s, chance), busiest=busiest) for at_s, busiest in moments]
    return Plan(scale, storm_s, tuple(sorted(strikes, key=lambda each: each.at_s)), bursts)


def _numbers(scale: Scale) -> dict[Kind, int]:
    child_kills = scale.worker_kills * 2 // 5
    # Not of the portals' replies but of the connections; there are about a tenth as many requests as payments.
    cuts = round(scale.payments * scale.lost_replies / 100 / _REPLIES_PER_CUT)
    return {
        Kind.WORKER_KILL: scale.worker_kills - child_kills,
        Kind.CHILD_KILL: child_kills,
        Kind.ZOMBIE: scale.zombies,
        Kind.TEAR_REPLY: cuts,
        Kind.TEAR_REQUEST: cuts,
        Kind.RESET: cuts // 2,
        Kind.SILENCE: cuts // 4,
    }


def _moments(number: int, spans: Sequence[Span], chance: random.Random) -> list[float]:
    """Moments spread over these spans, each anywhere in a slot of its own."""
    slot_s = sum(end - start for start, end in spans) / max(number, 1)
    return [_place((slot + chance.random()) * slot_s, spans) for slot in range(number)]


def _place(offset_s: float, spans: Sequence[Span]) -> float:
    """The moment at which so much of these spans has passed."""
    for start, end in spans:
        if offset_s <= end - start:
            return round(start + offset_s, 3)
        offset_s -= end - start
    return round(spans[-1][1], 3)


def _without(waiting: Sequence[Span], storm_s: float) -> list[Span]:
    """The storm without the times of waiting; all of it where they leave less than a fifth."""
    left, at_s = [], _CALM_S
    for start, end in waiting:
        if start > at_s:
            left.append((at_s, start))
        at_s = max(at_s, end)
    if storm_s > at_s:
        left.append((at_s, storm_s))
    enough = sum(end - start for start, end in left) * 5 > storm_s
    return left if enough else [(_CALM_S, storm_s)]


def _outages(scale: Scale, storm_s: float) -> tuple[list[tuple[Kind, float]], list[Span]]:
    """When Redis is killed and when it loses power, in groups, mixed; and when payments wait because of it."""
    chance = random.Random(f"{scale.seed} outages")
    kinds = [Kind.REDIS_KILL] * scale.redis_kills + [Kind.POWER_LOSS] * scale.power_losses
    chance.shuffle(kinds)
    groups = _moments(-(-len(kinds) // _OUTAGES_TOGETHER), [(_CALM_S, storm_s - _OUTAGES_WITHIN_S)], chance)
    found = []
    for number, kind in enumerate(kinds):
        at_s = groups[number // _OUTAGES_TOGETHER] + chance.random() * _OUTAGES_WITHIN_S
        found.append((kind, round(at_s, 3)))
    return found, [(at_s, at_s + _OUTAGES_WITHIN_S + _WAITING_S) for at_s in groups]


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
