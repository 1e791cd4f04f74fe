"""`b24pay chaos`: payments through a storm of deaths and lost replies, on this machine, and a comparison afterwards."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cli.exits import INTERRUPTED, Exit
from cli.output import Output, speaks
from config.ending import heed_interrupts


@click.command()
@click.option("--payments", type=click.IntRange(1, 100_000), default=500, show_default=True, help="How many are paid.")
@click.option("--worker-kills", type=click.IntRange(0), default=10, show_default=True, help="SIGKILLs of workers.")
@click.option("--redis-kills", type=click.IntRange(0), default=3, show_default=True, help="SIGKILLs of Redis.")
@click.option(
    "--power-losses", type=click.IntRange(0), default=0, show_default=True, help="The last 0.1-2 s are off the disk."
)
@click.option("--zombies", type=click.IntRange(0), default=0, show_default=True, help="SIGSTOP past the lease.")
@click.option(
    "--lost-replies", type=click.FloatRange(0, 50), default=5, show_default=True, help="Per cent of all replies."
)
@click.option("--workers", type=click.IntRange(1, 32), default=4, show_default=True, help="Worker processes.")
@click.option("--portals", type=click.IntRange(1, 200), default=24, show_default=True, help="Emulated ones.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same plan.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep history.ndjson, report.json and the processes' logs there.",
)
@speaks
def chaos(output: Output, *, keep: Path | None, **numbers: Any) -> int:
    """Kill workers and Redis under load and prove that no payment is lost and none is paid twice.

    Starts a Redis server, emulated portals behind a fault proxy, and workers of its own; touches nothing else on this
    machine and leaves nothing behind. Ends with 3 when anything was wrong.

    \b
    Examples:
      b24pay chaos --payments 1000 --worker-kills 5
      b24pay chaos --seed 7 --keep storm --json
    """
    from chaos.plan import Scale
    from chaos.report import document_of, summary_of
    from chaos.run import run

    scale = Scale(**numbers)
    output.note(f"A storm over {scale.payments} payments; nothing leaves this machine.")
    heed_interrupts()
    try:
        with _watching(output) as watching:
            report = asyncio.run(run(scale, keep=keep, watching=watching))
    except KeyboardInterrupt:
        output.note("Interrupted. Everything that was started has been stopped.")
        return INTERRUPTED
    document = document_of(report)
    if keep is not None:
        (keep / "report.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        output.note(f"History, report and logs are in {keep}.")
    output.data(document, lambda: summary_of(report))
    return Exit.DONE if report.ok else Exit.IN_DOUBT


@contextmanager
def _watching(output: Output) -> Iterator[Callable[[str], None]]:
    """A place for one line of progress, for a person at a terminal; silent everywhere else."""
    if not output.live:
        yield lambda _line: None
        return
    with output.errors.status(" starting Redis, portals, workers and producers", spinner="dots") as status:
        yield lambda line: status.update(f" {line}")
