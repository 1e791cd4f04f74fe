"""The admin API's part about OAuth: applications, chains of tokens, their clock, events, new addresses."""

from collections.abc import Mapping
from dataclasses import asdict

from emulator.farm import Farm
from emulator.installing import credential, install, send_event
from emulator.oauth import Pair, TokenCounters
from emulator.reading import Reader
from emulator.settings import as_json

Answer = dict[str, object]


def get_application(farm: Farm, name: str) -> Answer:
    """The `oauth` settings in force."""
    return {"oauth": as_json(farm.settings(name).oauth)}


def patch_application(farm: Farm, name: str, body: dict[str, object]) -> Answer:
    """Change some of the `oauth` settings and keep the others."""
    return {"oauth": as_json(farm.patch_oauth(name, body).oauth)}


def grant(farm: Farm, name: str, body: dict[str, object]) -> Answer:
    """Begin a chain of tokens; the body may change `oauth` settings first."""
    return {"credential": install(farm, name, body)}


def counters_json(counters: TokenCounters) -> Answer:
    """Counters as JSON; statuses and codes are maps."""
    plain = {name: getattr(counters, name) for name in TokenCounters.__slots__}
    return {**plain, "statuses": {str(status): n for status, n in counters.statuses.items()}}


def counters_of(farm: Farm, name: str | None) -> TokenCounters:
    """The token server's counters for one portal, for requests that belong to none (""), or for all."""
    if name is not None:
        known = farm.portals.get(name)
        return farm.oauth.nobody if name == "" else known.tokens if known else TokenCounters()
    total = TokenCounters()
    for part in (farm.oauth.nobody, *(portal.tokens for portal in farm.portals.values())):
        for field in TokenCounters.__slots__:
            value = getattr(part, field)
            if isinstance(value, int):
                setattr(total, field, getattr(total, field) + value)
            else:
                getattr(total, field).update(value)
    return total


def get_issued(farm: Farm, name: str) -> Answer:
    """Every pair ever issued to a portal, tokens included: what a search for leaked secrets looks for."""
    return {"issued": [pair_json(pair) for pair in farm.oauth.issued(farm.portal(name))]}


def pair_json(pair: Pair) -> Answer:
    """One pair with its state."""
    return {
        "number": pair.number,
        "chain": pair.chain,
        "access_token": pair.access,
        "refresh_token": pair.refresh,
        "issued_at": pair.issued_at,
        "access_until": pair.access_until,
        "refresh_until": pair.refresh_until,
        "used_at": pair.used_at,
        "successor": pair.successor.number if pair.successor else None,
        "revoked": pair.revoked,
    }


def newest(farm: Farm, name: str) -> Answer:
    """The credential as it stands now: the newest pair of the newest chain."""
    pairs = farm.oauth.issued(farm.portal(name))
    return {"credential": credential(pairs[-1]) if pairs else None}


def expire(farm: Farm, name: str) -> Answer:
    """Let the living access tokens of a portal be over now."""
    count = farm.oauth.expire(farm.portal(name))
    farm.journal.change(farm.clock.now(), name, "token.expired", detail=f"{count} by hand")
    return {"expired": count}


def revoke(farm: Farm, name: str) -> Answer:
    """Let all chains of a portal be dead."""
    count = farm.oauth.revoke(farm.portal(name))
    farm.journal.change(farm.clock.now(), name, "token.revoked", detail=f"{count} by hand")
    return {"revoked": count}


def get_clock(farm: Farm) -> Answer:
    """The token server's time and by how much it is ahead of the farm's."""
    return {"now": farm.oauth.clock.now(), "skipped_s": farm.oauth.clock.skipped_s}


def advance_clock(farm: Farm, body: object) -> Answer:
    """Let time pass for tokens only: {"advance_s": 3600}."""
    reader = Reader(body, "body")
    seconds = reader.number("advance_s", 0.0)
    reader.finish()
    farm.oauth.clock.advance(seconds)
    return get_clock(farm)


async def send(farm: Farm, name: str, body: object) -> Answer:
    """Send an event: {"to": "http://127.0.0.1:PORT/…", "event": "ONAPPINSTALL", "fields": {…}}."""
    reader = Reader(body, "body")
    to, event = reader.text("to", ""), reader.text("event", "ONAPPINSTALL").upper()
    fields: Mapping[str, object] = {field: value for field, _, value in reader.members("fields") or []}
    reader.finish()
    return asdict(await send_event(farm, name, to, event=event, fields=fields))


def rename(farm: Farm, name: str, body: object) -> Answer:
    """Give a portal a new address: {"to": "127.0.0.2:PORT", "status": 302}."""
    reader = Reader(body, "body")
    to, status = reader.text("to", "").lower(), reader.whole("status", 302, low=301, high=308)
    reader.finish()
    if not to or "/" in to:
        raise reader.complain("to", "HOST[:PORT]")
    farm.rename(name, to, status)
    return {"portal": to}
