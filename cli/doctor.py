"""`b24pay doctor`: the effective settings, whether Redis is fit for a ledger, and how workers and portals stand."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from cli.exits import Exit
from cli.failures import explained
from cli.holds import how_to_go_on, told_held, waiting
from cli.lines import speak_on_stderr
from cli.output import Output, cell, group, speaks, table
from cli.session import Session, connected, run
from cli.symptoms import Level, Symptom, shown_symptoms, summary

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from rich.console import RenderableType

    from config.effective import EffectiveSetting
    from config.settings import Settings
    from ledger.ledger import LaneView

# Enough to say what is wrong; `b24pay doubts` shows all.
_DOUBTS_LOOKED_AT: Final = 100
# Neither is told in words: the one hangs up, the other waits for more.
_SILENT_TLS: Final = (
    " With TLS: a server that asks for a client certificate (ssl_certfile, ssl_keyfile) hangs up, and a port that has"
    " no TLS (tls-port is another) does not answer."
)


@click.command()
@speaks
def doctor(output: Output) -> int:
    """Check settings, Redis, workers and portals, and say what to mend; nothing is changed, no secret is shown.

    \b
    Examples:
      b24pay doctor
      b24pay doctor --json
    """
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
    output.data(document, lambda: group(_settings_table(rows), "", shown_symptoms(symptoms), "", summary(symptoms)))
    return code


async def _examine(settings: "Settings") -> tuple[list[Symptom], Exit]:
    """What was found, and the exit code it means."""
    found = [_secret_keys(settings)]
    if settings.redis is None:
        found.append(Symptom(Level.PROBLEM, "REDIS_URL is not set", "Set it; `b24pay demo` brings a server along."))
        return found, Exit.CONFIGURATION
    speak_on_stderr(settings)
    try:
        # The server by itself first: one that cannot be the ledger now can still say why.
        found += await _server(settings)
        async with connected(settings) as session:
            found += await _worker(session)
            found += await _portals(session)
    except Exception as error:  # noqa: BLE001 - whatever keeps Redis from answering is the diagnosis
        known = any(symptom.level is Level.PROBLEM for symptom in found)
        failure = explained(error)
        remedy = failure.next_step
        if failure.code is Exit.UNREACHABLE and settings.redis_url.startswith("rediss:"):
            remedy += _SILENT_TLS
        found.append(Symptom(Level.PROBLEM, failure.cause, remedy))
        return found, Exit.CONFIGURATION if known else failure.code
    bad = any(symptom.level is Level.PROBLEM for symptom in found)
    return found, Exit.CONFIGURATION if bad else Exit.DONE


def _secret_keys(settings: "Settings") -> Symptom:
    if settings.secret_keys:
        return Symptom(Level.OK, f"{len(settings.secret_keys)} secret key(s) for stored credentials")
    remedy = "Workers and `portal add` need it; see .env.example."
    return Symptom(Level.WARNING, "B24PAY_SECRET_KEYS is not set", remedy)


async def _server(settings: "Settings") -> list[Symptom]:
    from cli.fitness import fitness
    from config.addresses import parse_address
    from config.connections import async_redis_client

    url = settings.redis_url
    async with async_redis_client(url, max_connections=1, decode_responses=True, client_name="b24pay-cli") as redis:
        info = {str(name): str(value) for name, value in (await redis.info()).items()}
        return fitness(info, await _configuration(redis), parse_address(url))


async def _configuration(redis: "Redis") -> Mapping[str, str] | None:
    from redis.exceptions import ResponseError

    try:
        told = {**await redis.config_get("append*"), **await redis.config_get("m*")}
    except ResponseError:
        return None
    return {str(name): str(value) for name, value in told.items()}


async def _worker(session: Session) -> list[Symptom]:
    """Workers that consume, by their signs of life at the broker; no answer of a worker is waited for."""
    from config.addresses import Transport
    from config.celery import QUEUE
    from config.connections import async_redis_client

    url = session.settings.broker_url
    if url.partition("://")[0] not in set(Transport):
        return []  # another broker: its own tools tell
    async with async_redis_client(url, max_connections=1, decode_responses=True, client_name="b24pay-cli") as broker:
        seconds, _ = await broker.time()
        alive = int(await broker.zcount(f"{QUEUE}.consumers", seconds * 1000, "+inf"))
        waiting = int(await broker.llen(QUEUE))
    if alive:
        return [Symptom(Level.OK, f"{alive} worker{'' if alive == 1 else 's'} at work")]
    text = f"no worker is at work, {waiting} message{'' if waiting == 1 else 's'} waiting"
    return [Symptom(Level.WARNING, text, "Start one: `python -m worker`.")]


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
        found += _lane(lane, known)
        found += await _doubts(session, lane)
    return found


def _lane(lane: "LaneView", known: set[str]) -> list[Symptom]:
    found = []
    if lane.held:
        since = f"{lane.held.since:%Y-%m-%d %H:%M:%S} UTC"
        text = f"lane {lane.portal} is held since {since}, {waiting(lane)} waiting: {told_held(lane.held)}"
        found.append(Symptom(Level.WARNING, text, how_to_go_on(lane.held, lane.portal)))
    if lane.portal not in known:
        remedy = f"Add it again: `b24pay portal add {lane.portal}`."
        found.append(Symptom(Level.WARNING, f"lane {lane.portal} has no credential", remedy))
    return found


async def _doubts(session: Session, lane: "LaneView") -> list[Symptom]:
    """Doubts that a read-back could not resolve: they wait for a person."""
    from ledger.payment import State

    if not lane.counts[State.IN_DOUBT]:
        return []
    doubts = await session.ledger.payments(lane.portal, State.IN_DOUBT, 0, _DOUBTS_LOOKED_AT)
    errors = [doubt.last_read_error for doubt in doubts if doubt.last_read_error]
    if not errors:
        return []
    text = f"lane {lane.portal}: {len(errors)} in doubt cannot be read ({errors[0].code})"
    return [Symptom(Level.WARNING, text, "See `b24pay doubts`; the reader needs the scope crm.")]


def _settings_table(rows: "list[EffectiveSetting]") -> "RenderableType":
    shown = table("setting", "value", "from", "meaning", words=("value", "meaning"))
    for row in rows:
        shown.add_row(cell(row.name), cell(row.value), cell(row.origin, "dim"), cell(row.meaning, "dim"))
    return shown
