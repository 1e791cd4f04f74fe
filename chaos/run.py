"""One storm from its plan to its report."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chaos.checker import check
from chaos.gathering import gather
from chaos.history import History
from chaos.plan import Kind, Plan, Scale, make_plan
from chaos.report import Report
from chaos.scene import LEASE_S, Place, Scene, set_scene
from chaos.storm import Storm
from config.ending import ended_as_by_ctrl_c

_WATCH_EVERY_S: Final = 0.5

Watching = Callable[[str], None]  # a line of progress


async def run(scale: Scale, *, keep: Path | None, watching: Watching) -> Report:
    """Storm on this scale and report; with `keep`, history, report and logs stay in that directory."""
    began = time.monotonic()
    plan = make_plan(scale, lease_s=LEASE_S)
    with _place(keep) as place, History.writing(place.directory / "history.ndjson") as history:
        history.keep("plan.strike", plan.strikes)
        with ended_as_by_ctrl_c():
            try:
                async with set_scene(plan, history, place) as scene:
                    return await _storm(scene, plan, history, watching, began)
            except BaseExceptionGroup as group:
                # One part has failed and the others only stopped: it is that part's failure.
                raise _first(group) from group


async def _storm(scene: Scene, plan: Plan, history: History, watching: Watching, began: float) -> Report:
    storm = Storm(scene)
    telling = asyncio.create_task(_tell(storm, plan, history, watching))
    try:
        await storm.run()
    finally:
        telling.cancel()
    rested_s = history.now_s
    watching("comparing ledger and portals, invoice by invoice")
    facts, portals = await gather(scene, storm.striker.rollbacks)
    for name in ("told", "rows", "calls", "reads", "records", "results", "rollbacks"):
        history.keep(f"fact.{name}", getattr(facts, name))
    verdict = check(facts)
    history.keep("finding", verdict.findings)
    planned = Counter(strike.kind for strike in plan.strikes)
    return Report(
        scale=plan.scale,
        verdict=verdict,
        portals=portals,
        planned={kind: planned[kind] for kind in Kind},
        struck=storm.striker.struck,
        hits=storm.striker.hits,
        left_sending=storm.casualties.left,
        undisturbed_s=storm.casualties.undisturbed_s,
        disturbed_s=storm.casualties.disturbed_s,
        undecided=storm.casualties.undecided,
        quiet_s=storm.casualties.quiet_s or scene.settings.quiet_s,
        storm_s=storm.calm_s,
        rest_s=rested_s - storm.calm_s,
        total_s=time.monotonic() - began,
    )


async def _tell(storm: Storm, plan: Plan, history: History, watching: Watching) -> None:
    total = len(plan.strikes)
    while True:
        struck = sum(storm.striker.struck.values())
        watching(
            f"{storm.tempo.now_s:.0f} of {plan.storm_s:.0f} s: {storm.asked} of {plan.scale.payments} asked for, "
            f"{storm.ended} ended, {storm.open} open; {struck} of {total} faults"
        )
        await asyncio.sleep(_WATCH_EVERY_S)


@contextmanager
def _place(keep: Path | None) -> Iterator[Place]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for log in keep.glob("*.log"):  # an earlier storm's; these grow
            log.unlink()
        yield Place(keep.absolute(), kept=True)
        return
    with tempfile.TemporaryDirectory(prefix="b24pay-chaos-", ignore_cleanup_errors=True) as name:
        yield Place(Path(name), kept=False)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    for each in group.exceptions:
        return _first(each) if isinstance(each, BaseExceptionGroup) else each
    raise AssertionError("an exception group is never empty")
