"""Running one method: operating limit, body, accounting and the `time` block."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from emulator.auth import Credential
from emulator.buckets import Hit, OperatingKey
from emulator.call import record_of
from emulator.clock import Clock
from emulator.errors import RestError
from emulator.faults import FaultRules, Place
from emulator.journal import Journal, RequestEntry
from emulator.php import Params, Value
from emulator.portal import Portal
from emulator.settings import Accounting


@dataclass(slots=True)
class Outcome:
    """What a method returns; lists also say how many there are and where the next page starts."""

    value: Value
    total: int | None = None
    next: int | None = None


@dataclass(slots=True)
class Context:
    """Everything a method may need while one request is executed."""

    portal: Portal
    who: Credential
    entry: RequestEntry
    clock: Clock
    journal: Journal
    faults: FaultRules
    methods: "Mapping[str, Method]"
    gone: Callable[[], bool]  # whether the caller has hung up or was answered already
    in_batch: bool = False
    stop_after: int | None = None  # a fault lets the process die after so many commands
    hit: Hit = field(default_factory=Hit)

    def note(self, what: str, record: int | None = None, detail: str = "") -> None:
        """Write a change of state into the journal."""
        self.journal.change(
            self.clock.now(),
            self.portal.name,
            what,
            record=record,
            user=self.who.user,
            request=self.entry.seq,
            detail=detail,
        )


Body: TypeAlias = Callable[[Context, Params, int], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Method:
    """A REST method: the scope it needs and what it does."""

    scope: str
    run: Body


@dataclass(slots=True)
class Finished:
    """A method's outcome with its `time` block."""

    outcome: Outcome
    time: dict[str, Value]


async def run_method(ctx: Context, name: str, params: Params, start: int) -> Finished:
    """Execute one method, singly or as a command; raises the portal's refusal."""
    key = operating_key(ctx, name)
    if not _charged_to_batch(ctx):
        check_operating(ctx, key)
    _refuse_by_fault(ctx, name, params, Place.COMMAND)
    began = ctx.clock.now()
    ctx.portal.counters.executed += 1
    ctx.entry.executed += 1
    outcome = await ctx.methods[name].run(ctx, params, start)
    _refuse_by_fault(ctx, name, params, Place.COMMAND_AFTER)
    spent = ctx.clock.now() - began
    ctx.hit.add(key, began, ctx.portal.settings.operating_cost_s.get(name, spent))
    return Finished(outcome, time_block(ctx, began, key))


def operating_key(ctx: Context, name: str) -> OperatingKey:
    """The counter a call is charged to; inside a batch all webhooks of a portal share one per method."""
    if _charged_to_batch(ctx):
        name = "batch"
    shared = ctx.in_batch and ctx.who.kind == "apauth" and name != "batch"
    return ctx.who.kind, None if shared else ctx.who.id, name


def _charged_to_batch(ctx: Context) -> bool:
    return ctx.in_batch and ctx.portal.settings.accounting is Accounting.BATCH


def check_operating(ctx: Context, key: OperatingKey) -> None:
    """Refuse when the counter, finished calls of this request included, is over the limit."""
    limit = ctx.portal.settings.operating_limit_s
    if limit is None or ctx.portal.settings.accounting is Accounting.ABSENT:
        return
    if ctx.portal.operating.spent(key, ctx.clock.now()) + ctx.hit.total(key) > limit:
        ctx.portal.counters.operating_blocked += 1
        raise RestError("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429)


def _refuse_by_fault(ctx: Context, name: str, params: Params, place: Place) -> None:
    if not ctx.faults.for_commands or name == "batch":
        return
    fault = ctx.faults.pick_command(ctx.portal.name, name, record_of(params), place)
    if fault is None:
        return
    ctx.portal.counters.faults += 1
    ctx.entry.fault = f"{fault.kind}/{fault.place}"
    raise RestError(fault.code, fault.text, fault.status or 400)


def time_block(ctx: Context, began: float, key: OperatingKey | None) -> dict[str, Value]:
    """The `time` object of a success; `key` None means nothing is charged, as for a batch."""
    portal, now = ctx.portal, ctx.clock.now()
    skew = portal.settings.clock_skew_s
    # Newer portals cut the start to its second, count the duration from there and have no processing.
    coarse = portal.settings.coarse_times
    start = float(int(began + skew)) if coarse else began + skew
    block: dict[str, Value] = {
        "start": int(start) if coarse else round(start, 6),
        "finish": round(now + skew, 6),
        "duration": round(now + skew - start, 6),
        "processing": 0 if coarse else round(now - began, 6),
        "date_start": portal.date(began + skew),
        "date_finish": portal.date(now + skew),
    }
    accounting = portal.settings.accounting
    if accounting is Accounting.ABSENT:
        return block
    if key is None or _charged_to_batch(ctx):
        return {**block, "operating_reset_at": int(began + skew + portal.operating.window_s), "operating": 0}
    spent = portal.operating.spent(key, now) + ctx.hit.total(key)
    reset_at = portal.operating.reset_at(key, now, began)
    return {**block, "operating_reset_at": int(reset_at + skew), "operating": round(spent, 6)}
