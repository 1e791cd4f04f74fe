"""`b24pay doctor`: the effective settings, whether Redis is fit for a ledger, and how the portals stand."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import click
from rich.console import Group, RenderableType
from rich.text import Text

from cli.exits import Exit
from cli.failures import explained
from cli.output import Output, cell, speaks, table
from cli.session import Session, connected, run

if TYPE_CHECKING:
    from config.effective import EffectiveSetting
    from config.settings import Settings

_OLDEST_SERVER: Final = 7


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"  # works, with a risk that should be known
    PROBLEM = "problem"  # payments do not work, or may be lost


_STYLES: Final[Mapping[Level, str]] = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that was looked at; `remedy` is "" where there is nothing to do."""

    level: Level
    text: str
    remedy: str = ""


@click.command()
@speaks
def doctor(output: Output) -> int:
    """Check settings, Redis and portals, and say what to mend; nothing is changed and no secret is shown."""
    from config.effective import effective
    from config.settings import DEVELOPMENT, load_settings

    settings = load_settings(require=DEVELOPMENT)
    symptoms, code = run(_examine(settings))
    rows = effective(settings)
    document = {
        "healthy": code is Exit.DONE,
        "settings": [asdict(row) for row in rows],
        "findings": [asdict(symptom) for symptom in symptoms],
    }
    output.data(document, lambda: Group(_settings_table(rows), "", *_shown(symptoms)))
    return code


async def _examine(settings: "Settings") -> tuple[list[Symptom], Exit]:
    """What was found, and the exit code it means."""
    found = [_secret_keys(settings)]
    if settings.redis is None:
        found.append(Symptom(Level.PROBLEM, "REDIS_URL is not set", "Set it; `b24pay demo` brings a server along."))
        return found, Exit.CONFIGURATION
    try:
        async with connected(settings) as session:
            found += await _server(session)
            found += await _portals(session)
    except Exception as error:  # noqa: BLE001 - whatever keeps Redis from answering is the diagnosis
        failure = explained(error)
        found.append(Symptom(Level.PROBLEM, failure.cause, failure.next_step))
        return found, failure.code
    bad = any(symptom.level is Level.PROBLEM for symptom in found)
    return found, Exit.CONFIGURATION if bad else Exit.DONE


def _secret_keys(settings: "Settings") -> Symptom:
    if settings.secret_keys:
        return Symptom(Level.OK, f"{len(settings.secret_keys)} secret key(s) for stored credentials")
    remedy = "Workers and `portal add` need it; see .env.example."
    return Symptom(Level.WARNING, "B24PAY_SECRET_KEYS is not set", remedy)


async def _server(session: Session) -> list[Symptom]:
    info = await session.redis.info("server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "?")
    found = [Symptom(Level.OK, f"{name} {version} answers")]
    # Valkey also reports the Redis version it is compatible with, which is what its commands are worth.
    if int(str(info.get("redis_version", "0")).partition(".")[0]) < _OLDEST_SERVER:
        found.append(Symptom(Level.PROBLEM, "the server is older than 7", "Use Redis or Valkey 7 or newer."))
    return found + await _durability(session)


async def _durability(session: Session) -> list[Symptom]:
    from redis.exceptions import ResponseError

    try:
        told = {**await session.redis.config_get("append*"), **await session.redis.config_get("maxmemory-policy")}
    except ResponseError:  # managed servers and careful operators do not permit CONFIG
        remedy = "Make sure of appendonly yes, appendfsync always, maxmemory-policy noeviction."
        return [Symptom(Level.WARNING, "the server does not show its durability settings", remedy)]
    config = {_text(name): _text(value) for name, value in told.items()}
    return [
        _setting(config, "appendonly", "yes", Level.PROBLEM, "a restart of the server forgets accepted payments"),
        _setting(config, "appendfsync", "always", Level.WARNING, "a power cut forgets the last second"),
        _setting(config, "maxmemory-policy", "noeviction", Level.PROBLEM, "a full server throws payments away"),
    ]


def _setting(config: Mapping[str, str], name: str, wanted: str, level: Level, risk: str) -> Symptom:
    value = config.get(name, "?")
    if value == wanted:
        return Symptom(Level.OK, f"{name} {value}")
    return Symptom(level, f"{name} is {value}: {risk}", f"Set it to {wanted} in the server's configuration.")


async def _portals(session: Session) -> list[Symptom]:
    from bitrix24.registry import RegistryError

    portals = await session.registry.list()
    if not portals:
        return [Symptom(Level.WARNING, "no portal is configured", "Add one: `b24pay portal add KEY`.")]
    found = [Symptom(Level.OK, f"{len(portals)} portal{'' if len(portals) == 1 else 's'} configured")]
    for each in portals:
        try:
            await session.registry.get(each.key)
        except RegistryError as error:
            failure = explained(error)
            found.append(Symptom(Level.PROBLEM, failure.cause, failure.next_step))
    known = {each.key for each in portals}
    for lane in await session.ledger.lanes():
        if lane.held:
            remedy = f"Mend it, then `b24pay portal resume {lane.portal}`."
            found.append(Symptom(Level.WARNING, f"lane {lane.portal} is held: {lane.held.code}", remedy))
        if lane.portal not in known:
            remedy = f"Add it again: `b24pay portal add {lane.portal}`."
            found.append(Symptom(Level.WARNING, f"lane {lane.portal} has no credential", remedy))
    return found


def _settings_table(rows: "list[EffectiveSetting]") -> RenderableType:
    shown = table("setting", "value", "from", "meaning", words=("value", "meaning"))
    for row in rows:
        shown.add_row(cell(row.name), cell(row.value), cell(row.origin, "dim"), cell(row.meaning, "dim"))
    return shown


def _shown(symptoms: list[Symptom]) -> list[Text]:
    lines = []
    for symptom in symptoms:
        remedy = f"  -> {symptom.remedy}" if symptom.remedy else ""
        lines.append(cell(f"{symptom.level:8} {symptom.text}{remedy}", _STYLES[symptom.level]))
    return lines


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
