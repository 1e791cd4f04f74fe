"""`b24pay demo`: see payments travel from a CSV file through Redis and workers to two portals, and back as proof."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.ending import Account, Ending, document_of, summary_of
from cli.enrolment import enrol
from cli.exits import INTERRUPTED, Exit
from cli.imports import import_payments
from cli.lookups import pages
from cli.output import Output, speaks
from cli.sample import PAYMENTS, Sample, make_sample
from cli.session import Session, connected, run
from cli.sheet import Sheet
from cli.stage import Stage, set_stage
from config.ending import heed_interrupts

if TYPE_CHECKING:
    from emulator import Handle

_WORKERS: Final = 2
_PLANS: Final[Mapping[str, str]] = {"acme": "standard", "globex": "enterprise"}
# As quick as a real portal at its best: 50 ms a request and 30 ms a payment.
_LATENCY_S: Final = 0.05
_PAY_S: Final = 0.03
# Far beyond the ten seconds it takes; ends a demonstration that has gone wrong.
_WITHIN_S: Final = 90.0


@click.command()
@click.option("--stay", is_flag=True, help="Go on afterwards, with an HTTP API to pay by, until Ctrl-C.")
@click.option(
    "--settings",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Stay, and write there how to reach it: `. FILE` lets all commands of another terminal work on it.",
)
@speaks
def demo(output: Output, *, stay: bool, settings: Path | None) -> int:
    """See 500 payments travel from a CSV file to two emulated portals and come back as proven results.

    Starts a Redis server, two portals and two workers, and leaves nothing behind.

    \b
    Examples:
      b24pay demo
      b24pay demo --stay
      b24pay demo --settings demo.env
      b24pay demo --json
    """
    ending: Ending | None = None
    stay = stay or settings is not None

    def tell(ended: Ending) -> None:
        nonlocal ending
        ending = ended
        output.data(document_of(ended), lambda: summary_of(ended))

    try:
        heed_interrupts()
        run(_demonstrate(output, tell, stay=stay, settings=settings and settings.absolute()))
    except KeyboardInterrupt:
        if ending is None or not stay:
            output.note("Interrupted. Everything that was started has been stopped.")
            return INTERRUPTED
        output.note("Everything that was started has been stopped.")
    return Exit.IN_DOUBT if ending is None or ending.differences else Exit.DONE


async def _demonstrate(output: Output, tell: Callable[[Ending], None], *, stay: bool, settings: Path | None) -> None:
    started = time.monotonic()
    output.note("b24pay pays Bitrix24 invoices. Here it pays emulated ones; nothing leaves this machine.\n")
    output.note("  payments.csv  ──▶  ledger in Redis  ──▶  2 workers  ──▶  2 portals  ──▶  read back as proof\n")
    if os.environ.get("REDIS_URL"):
        output.note("  REDIS_URL is set and not used: the demonstration has a server of its own.\n")
    with output.busy("starting a Redis server, two portals and two workers"):
        async with set_stage(portals=len(_PLANS), workers=_WORKERS) as stage, connected(stage.settings) as session:
            output.done(f"a Redis server, two portals and {_WORKERS} workers run")
            sample = make_sample(tuple(_PLANS))
            before = await _open_portals(session, stage, sample)
            output.done("portals acme (standard plan) and globex (enterprise plan) are stored and checked live")
            ending = await _pay(session, stage, sample, output, before=before, started=started)
            if stay:
                from cli.staying import stay as go_on

                tell(ending)
                await go_on(session, stage, output, settings)
    tell(ending)


async def _open_portals(session: Session, stage: Stage, sample: Sample) -> dict[str, int]:
    """Tell the emulator what its portals are like and store them as `b24pay portal add` does.

    Returns the requests that the live checks have made.
    """
    from emulator import Handle
    from emulator.settings import DEFAULT_SECRET

    async with Handle.connect(stage.authorities[0]) as handle:
        for (key, plan), authority in zip(_PLANS.items(), stage.authorities, strict=True):
            invoices = {"canceled": sample.canceled[key]}
            await handle.patch(authority, plan=plan, latency_s=_LATENCY_S, pay_s=_PAY_S, invoices=invoices)
            await enrol(session, key, {"webhook": f"http://{authority}/rest/1/{DEFAULT_SECRET}/", "plan": plan})
        return {authority: (await handle.counters(authority)).requests for authority in stage.authorities}


async def _pay(
    session: Session, stage: Stage, sample: Sample, output: Output, *, before: Mapping[str, int], started: float
) -> Ending:
    """Import the sample as `b24pay import --wait` does, then put the ledger beside the portals' own books."""
    from emulator import Handle

    output.done(f"payments.csv has {PAYMENTS} payments, some of them wrong on purpose; importing it")
    sheet = Sheet(BytesIO(sample.content), name="payments.csv", portal=None)
    imported = await import_payments(session, sheet, output, wait=True, timeout_s=_WITHIN_S, meanwhile=stage.check)
    async with Handle.connect(stage.authorities[0]) as handle:
        accounts = [
            await _account(session, handle, key, authority, before[authority])
            for key, authority in zip(_PLANS, stage.authorities, strict=True)
        ]
    reasons: Counter[tuple[str, str]] = Counter()
    async for page in pages(session, tuple(_PLANS), ["failed"]):
        reasons.update((each.error.code, each.error.text) for each in page if each.error)
    return Ending(
        sample=sample,
        imported=imported,
        accounts=accounts,
        reasons=reasons,
        seconds=time.monotonic() - started,
    )


async def _account(session: Session, handle: "Handle", key: str, authority: str, before: int) -> Account:
    """What the ledger says is paid at a portal, and what the portal itself has booked."""
    paid = [each.invoice_id async for page in pages(session, [key], ["paid"]) for each in page]
    counters, effects = await handle.counters(authority), await handle.effects(authority)
    return Account(
        key=key,
        plan=_PLANS[key],
        requests=counters.requests - before,
        refused=counters.rate_limited,
        in_ledger=frozenset(paid),
        booked=effects.counts,
    )
