"""`b24pay health`: whether Redis answers and the workers consume; quick enough for a container's health check."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from cli.exits import CommandError, Exit
from cli.output import Output, speaks
from cli.session import open_session, run

if TYPE_CHECKING:
    from metrics.life import Sign

# A health check is given some ten seconds, and a server that is silent for so long is away.
_WITHIN_S: Final = 5.0
_LOG: Final = "See its log; a restart is safe: what it was sending is read back by another worker."


@click.command()
@click.option("--worker", "node", metavar="NODE", help="Only this worker, by its node name.")
@speaks
def health(output: Output, node: str | None) -> int:
    """Tell whether Redis answers and every worker consumes; 0 all is well, 1 a worker is not, 69 Redis is away.

    A worker gives a sign of life every two seconds. One that hangs is found within 15 s; one that is gone without a
    word is missed for five minutes.

    \b
    Examples:
      b24pay health
      b24pay health --worker "$(cat /tmp/worker.node)"    (in a container)
    """
    signs = [sign for sign in run(_signs()) if node is None or sign.node == node]
    trouble = _trouble(signs, node)
    document = {"healthy": trouble is None, "workers": [_document(sign) for sign in signs]}
    output.data(document, _shown(signs))
    if trouble is not None:
        raise trouble
    return Exit.DONE


async def _signs() -> "Sequence[Sign]":
    from asyncio import timeout

    from metrics.life import SignsOfLife

    try:
        async with timeout(_WITHIN_S), open_session() as session:
            return await SignsOfLife(session.redis).all()
    except TimeoutError:
        cause = f"Redis did not answer within {_WITHIN_S:g} s."
        raise CommandError(cause, "See `b24pay doctor`.", Exit.UNREACHABLE) from None


def _trouble(signs: "Sequence[Sign]", node: str | None) -> CommandError | None:
    """The first thing that is wrong, None where nothing is."""
    from metrics.life import Condition

    if not signs and node is not None:
        cause = f"No sign of life of the worker {node}."
        return CommandError(cause, "Start it, or see `b24pay health` for those that there are.")
    if not signs:
        return CommandError("No worker gives a sign of life.", "Start one: `python -m worker`.")
    for sign in signs:
        if sign.condition is Condition.SILENT:
            cause = f"The worker {sign.node} has said nothing for {sign.age_s:.0f} s: it hangs, or is gone."
            return CommandError(cause, _LOG)
        if sign.condition is Condition.HINDERED:
            return CommandError(f"The worker {sign.node} does not consume: {sign.hindrance}.", _LOG)
    return None


def _document(sign: "Sign") -> dict[str, object]:
    return {
        "worker": sign.node,
        "condition": sign.condition.value,
        "cause": sign.hindrance,
        "age_s": round(sign.age_s, 1),
        "pid": sign.pid,
        "metrics": sign.metrics,
    }


def _shown(signs: "Sequence[Sign]") -> str:
    """Plain lines: what draws tables takes longer to import than all the rest."""
    lines = ["Redis answers."]
    for sign in signs:
        words = [sign.node, sign.condition.value, f"{sign.age_s:.0f} s ago", sign.hindrance or ""]
        lines.append("  ".join(word for word in words if word))
    return "\n".join(lines)
