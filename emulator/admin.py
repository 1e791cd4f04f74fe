"""The admin API under /_emulator/: settings, faults, journal, counters, effects, records, clock, OAuth."""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from itertools import islice

from aiohttp import web
from aiohttp.web_request import BaseRequest

from emulator import admin_oauth as oauth
from emulator.farm import TEMPLATE, Farm
from emulator.faults import fault_json, read_fault
from emulator.journal import Counters, Entry, entry_json
from emulator.reading import Reader, SettingsError
from emulator.records import Change, Record, RecordStore
from emulator.settings import as_json

PREFIX = "/_emulator"

Query = dict[str, str]
Answer = dict[str, object]
Walk = Callable[..., Iterator[Entry]]


async def answer(farm: Farm, request: BaseRequest) -> web.Response:
    """Do one admin request; complaints are 400 with a text under `error`."""
    action = _ACTIONS.get((request.method, request.rel_url.path.removeprefix(PREFIX).strip("/")))
    if action is None:
        known = sorted({f"{method} {PREFIX}/{name}" for method, name in _ACTIONS})
        return _json({"error": "unknown admin request", "known": known}, 404)
    try:
        text = await request.read()
        done = action(farm, dict(request.rel_url.query), json.loads(text) if text else None)
        return _json(done if isinstance(done, dict) else await done)
    except ValueError as error:
        return _json({"error": str(error)}, 400)


def _json(value: Answer, status: int = 200) -> web.Response:
    return web.Response(status=status, text=json.dumps(value), content_type="application/json")


def _portal(query: Query) -> str | None:
    return query["portal"].lower() if "portal" in query else None


def _needed_portal(query: Query) -> str:
    name = _portal(query)
    if name is None:
        raise SettingsError('this request needs ?portal=HOST[:PORT] ("*" for the template)')
    return name


def _one_portal(query: Query) -> str:
    name = _needed_portal(query)
    if name in ("", TEMPLATE):
        raise SettingsError("portal: this request is about one portal, HOST[:PORT]")
    return name


def _number(query: Query, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal():
        raise SettingsError(f"{name}: expected a whole number, got {text!r}")
    return int(text)


def _object(body: object) -> dict[str, object]:
    if not isinstance(body, dict):
        raise SettingsError("expected a JSON object as the body")
    return body


def overview(farm: Farm, _query: Query, _body: object) -> Answer:
    """How many portals there are and what they have done together."""
    return {"portals": len(farm.portals), "seq": farm.journal.last_seq, "now": farm.clock.now()}


def portals(farm: Farm, _query: Query, _body: object) -> Answer:
    """Every portal that has been contacted or configured, with its number of requests."""
    return {"portals": {name: portal.counters.requests for name, portal in farm.portals.items()}}


def get_settings(farm: Farm, query: Query, _body: object) -> Answer:
    """The settings in force."""
    return {"settings": as_json(farm.settings(_needed_portal(query)))}


def put_settings(farm: Farm, query: Query, body: object) -> Answer:
    """Replace a portal's settings."""
    return {"settings": as_json(farm.put(_needed_portal(query), _object(body)))}


def patch_settings(farm: Farm, query: Query, body: object) -> Answer:
    """Change some of a portal's settings."""
    return {"settings": as_json(farm.patch(_needed_portal(query), _object(body)))}


def get_faults(farm: Farm, _query: Query, _body: object) -> Answer:
    """The rules in force and how often each has struck."""
    return {"faults": [fault_json(rule) for rule in farm.faults.rules]}


def add_faults(farm: Farm, query: Query, body: object) -> Answer:
    """Add one rule or a list of them; none is added when one is wrong."""
    rules = [read_fault(item) for item in (body if isinstance(body, list) else [body])]
    if "seed" in query:
        farm.faults.reseed(_number(query, "seed", 0))
    return {"ids": [farm.faults.add(rule) for rule in rules]}


def remove_faults(farm: Farm, query: Query, _body: object) -> Answer:
    """Drop one rule (?id=) or all."""
    ids = [_number(query, "id", 0)] if "id" in query else None
    return {"removed": farm.faults.remove(ids)}


def get_journal(farm: Farm, query: Query, _body: object) -> Answer:
    """Entries after ?since=, at most ?limit=, of one portal or all, of one ?kind= or all."""
    since, kind = _number(query, "since", 0), query.get("kind", "")
    sorts: dict[str, Walk] = {
        "request": farm.journal.requests,
        "token": farm.journal.tokens,
        "change": farm.journal.changes,
    }
    if kind and kind not in sorts:
        raise SettingsError(f"kind: expected request, token or change, got {kind!r}")
    chosen: list[Walk] = [sorts[kind]] if kind else list(sorts.values())
    found = [entry for walk in chosen for entry in walk(since=since, portal=_portal(query))]
    found.sort(key=lambda entry: entry.seq)
    entries = [entry_json(entry) for entry in islice(found, _number(query, "limit", 1000))]
    return {"entries": entries, "seq": farm.journal.last_seq}


def get_counters(farm: Farm, query: Query, _body: object) -> Answer:
    """Exact counters of one portal or of all together."""
    return {"counters": counters_json(farm.counters(_portal(query)))}


def counters_json(counters: Counters) -> Answer:
    """Counters as JSON; statuses and codes are maps."""
    # `asdict` would rebuild each map out of pairs and count the pairs.
    plain = {name: getattr(counters, name) for name in Counters.__slots__}
    return {**plain, "statuses": {str(status): n for status, n in counters.statuses.items()}}


def get_effects(farm: Farm, query: Query, _body: object) -> Answer:
    """Paid side effects: totals, doubled records and, for one portal, the count of each record."""
    effects = farm.effects(_portal(query), payments=query.get("records") == "payments")
    counts = {str(number): count for number, count in effects.counts.items()}
    return {"totals": asdict(effects.tally), "counts": counts, "doubled": effects.doubled}


def _store(farm: Farm, query: Query) -> RecordStore:
    portal = farm.portal(_needed_portal(query))
    return portal.payments if query.get("records") == "payments" else portal.invoices


def get_records(farm: Farm, query: Query, _body: object) -> Answer:
    """The state of the records named in ?ids=1,2,3, or of all that were touched."""
    store = _store(farm, query)
    named = [int(item) for item in query["ids"].split(",")] if "ids" in query else list(store.rows)
    return {"records": {str(number): _record(store.find(number)) for number in named}}


def _record(record: Record | None) -> object:
    return None if record is None else asdict(record)


def change_records(farm: Farm, query: Query, body: object) -> Answer:
    """Do one of the person's changes to some records: {"ids": [1, 2], "change": "unpay"}."""
    reader = Reader(body, "body")
    change, ids = reader.choice("change", Change), reader.raw("ids")
    reader.finish()
    if not isinstance(ids, list) or not all(isinstance(item, int) for item in ids):
        raise reader.complain("ids", "a list of record numbers")
    portal, store = farm.portal(_needed_portal(query)), _store(farm, query)
    for number in ids:
        store.change(number, change, portal.now())
        farm.journal.change(farm.clock.now(), portal.name, f"record.{change}", record=number, detail="by hand")
    return {"records": {str(number): _record(store.find(number)) for number in ids}}


def reset(farm: Farm, query: Query, _body: object) -> Answer:
    """Forget one portal, or all of them with faults and journal."""
    farm.reset(_portal(query))
    return {"portals": len(farm.portals)}


def get_clock(farm: Farm, _query: Query, _body: object) -> Answer:
    """The farm's time and how much of it was skipped."""
    return {"now": farm.clock.now(), "skipped_s": farm.clock.skipped_s}


def advance_clock(farm: Farm, _query: Query, body: object) -> Answer:
    """Let time pass: {"advance_s": 600}."""
    reader = Reader(body, "body")
    seconds = reader.number("advance_s", 0.0)
    reader.finish()
    farm.clock.advance(seconds)
    return get_clock(farm, {}, None)


def get_token_counters(farm: Farm, query: Query, _body: object) -> Answer:
    """Exact counters of the token server."""
    return {"counters": oauth.counters_json(oauth.counters_of(farm, _portal(query)))}


Action = Callable[[Farm, Query, object], Answer | Awaitable[Answer]]

_ACTIONS: dict[tuple[str, str], Action] = {
    ("GET", ""): overview,
    ("GET", "portals"): portals,
    ("GET", "settings"): get_settings,
    ("PUT", "settings"): put_settings,
    ("PATCH", "settings"): patch_settings,
    ("GET", "faults"): get_faults,
    ("POST", "faults"): add_faults,
    ("DELETE", "faults"): remove_faults,
    ("GET", "journal"): get_journal,
    ("GET", "counters"): get_counters,
    ("GET", "effects"): get_effects,
    ("GET", "records"): get_records,
    ("POST", "records"): change_records,
    ("POST", "reset"): reset,
    ("GET", "clock"): get_clock,
    ("POST", "clock"): advance_clock,
    ("GET", "oauth"): lambda farm, query, _: oauth.get_application(farm, _needed_portal(query)),
    ("PATCH", "oauth"): lambda farm, query, body: oauth.patch_application(farm, _needed_portal(query), _object(body)),
    ("GET", "oauth/credential"): lambda farm, query, _: oauth.newest(farm, _one_portal(query)),
    ("POST", "oauth/grant"): lambda farm, query, body: oauth.grant(farm, _one_portal(query), _object(body or {})),
    ("GET", "oauth/issued"): lambda farm, query, _: oauth.get_issued(farm, _one_portal(query)),
    ("GET", "oauth/counters"): get_token_counters,
    ("POST", "oauth/expire"): lambda farm, query, _: oauth.expire(farm, _one_portal(query)),
    ("POST", "oauth/revoke"): lambda farm, query, _: oauth.revoke(farm, _one_portal(query)),
    ("GET", "oauth/clock"): lambda farm, _query, _body: oauth.get_clock(farm),
    ("POST", "oauth/clock"): lambda farm, _, body: oauth.advance_clock(farm, body),
    ("POST", "oauth/event"): lambda farm, query, body: oauth.send(farm, _one_portal(query), body),
    ("POST", "rename"): lambda farm, query, body: oauth.rename(farm, _one_portal(query), body),
}
