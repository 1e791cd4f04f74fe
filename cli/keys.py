"""`b24pay keys`: the keys of B24PAY_SECRET_KEYS, and what is sealed with them."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from cli.acting import Act, acting
from cli.exits import Exit
from cli.output import Output, speaks
from cli.session import Session, open_session, run

if TYPE_CHECKING:
    from bitrix24.resealing import Resealed

_BRING_BACK: Final = (
    "Add the key that they were sealed with to the end of B24PAY_SECRET_KEYS and repeat, or give their credentials "
    "again with `b24pay portal add`. Keep every old key until then."
)
_REPEAT: Final = "Changed again and again meanwhile: {names}. Repeat the command."


@click.group()
def keys() -> None:
    """Change the keys that stored credentials are sealed with.

    \b
    Examples:
      b24pay keys rotate --dry-run
    """


@keys.command()
@click.option("--dry-run", is_flag=True, help="Open everything, say what would happen and change nothing.")
@speaks
def rotate(output: Output, *, dry_run: bool) -> int:
    """Seal every stored credential anew with the first key of B24PAY_SECRET_KEYS, while workers go on.

    A key is changed without a pause in four steps:

    \b
    1. Put the new key in front of the old one: B24PAY_SECRET_KEYS=NEW,OLD
    2. Start every process anew with it, workers first. All of them can open both now.
    3. b24pay keys rotate
    4. Take the old key away: B24PAY_SECRET_KEYS=NEW, and start every process anew.

    Repeating is safe. A worker that knows only the old key cannot open what step 3 has sealed.

    \b
    Examples:
      b24pay keys rotate --dry-run    (is an old key still needed? 0 would be sealed anew: no)
      b24pay keys rotate
    """

    async def work() -> int:
        async with open_session() as session:
            if dry_run:
                became = await _reseal(session, dry_run=True)
            else:
                async with acting(session, "keys.rotate", "keys") as act:
                    became = await _reseal(session)
                    _note(act, became)
        _tell(output, became, dry_run=dry_run)
        return _ending(became)

    return run(work())


async def _reseal(session: Session, *, dry_run: bool = False) -> "Mapping[str, Resealed]":
    portals = await session.registry.reseal(dry_run=dry_run)
    doors = await session.doors.reseal(dry_run=dry_run)
    signing = await session.signing_secrets.reseal(dry_run=dry_run)
    return {
        **portals,
        **{f"{key} (invitation)": outcome for key, outcome in doors.items()},
        **{f"{host} (signing secret)": outcome for host, outcome in signing.items()},
    }


def _note(act: Act, became: "Mapping[str, Resealed]") -> None:
    """How many came out how; which ones is in what the command says."""
    act.after = dict(Counter(outcome.name.lower() for outcome in became.values()))
    act.partly = _ending(became) is not Exit.DONE


def _tell(output: Output, became: "Mapping[str, Resealed]", *, dry_run: bool) -> None:
    from bitrix24.resealing import Resealed

    told = {each: [name for name, outcome in became.items() if outcome is each] for each in Resealed}
    anew, already = len(told[Resealed.ANEW]), len(told[Resealed.ALREADY])
    closed, restless = told[Resealed.NOT_OPENED], told[Resealed.RESTLESS]
    document = {
        "sealed_anew": anew,
        "already": already,
        "not_opened": closed,
        "restless": restless,
        "dry_run": dry_run,
        "old_keys_needed": bool(closed or restless or (dry_run and anew)),
    }
    done = "would be sealed anew" if dry_run else "sealed anew"
    text = f"{anew} {done}, {already} sealed with the first key already"
    output.data(document, text + (f", {len(closed)} could not be opened" if closed else "") + ".")
    if closed:
        output.note(f"No key opens: {', '.join(closed)}. {_BRING_BACK}")
    if restless:
        output.note(_REPEAT.format(names=", ".join(restless)))
    if not document["old_keys_needed"] and anew:
        output.note("Processes that know the first key need no other one any more.")


def _ending(became: "Mapping[str, Resealed]") -> Exit:
    from bitrix24.resealing import Resealed

    outcomes = set(became.values())
    if Resealed.NOT_OPENED in outcomes:
        return Exit.PARTLY if outcomes & {Resealed.ANEW, Resealed.ALREADY} else Exit.CONFIGURATION
    return Exit.TEMPORARY if Resealed.RESTLESS in outcomes else Exit.DONE
