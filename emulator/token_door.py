"""The token server's door: `/oauth/token/` by GET or POST, from the request to its reply."""

import asyncio
from dataclasses import dataclass

from emulator.call import Call, Incoming, read_params, secret_places
from emulator.errors import RestError
from emulator.farm import Farm
from emulator.faults import TOKEN_REQUEST, Fault, Kind, Place
from emulator.installing import addresses
from emulator.journal import TokenEntry
from emulator.oauth import Pair, TokenCounters, refusal
from emulator.php import Params, Value, to_text
from emulator.reply import Reply, json_reply
from emulator.spoiling import spoil

_SECRETS = ("client_secret", "refresh_token", "code", "auth", "access_token")


@dataclass(slots=True)
class Asking:
    """One request to the token server."""

    farm: Farm
    params: Params
    entry: TokenEntry
    pair: Pair | None  # whose refresh token was sent
    counters: TokenCounters

    def text(self, name: str) -> str:
        """A parameter as a string, "" when it is absent."""
        return to_text(self.params.get(name))


async def answer_token(farm: Farm, incoming: Incoming) -> Reply:
    """Work one request to the end, whoever may still be listening."""
    asking = _asking(farm, incoming)
    entry, counters, began = asking.entry, asking.counters, farm.clock.now()
    counters.requests += 1
    counters.secrets_in_url += "url" in entry.carriers
    fault = farm.faults.pick(entry.portal or entry.authority, Call(TOKEN_REQUEST, {})) if farm.faults.rules else None
    if fault is not None:
        counters.faults += 1
        entry.fault = f"{fault.kind}/{fault.place}"
    reply = await (_perform(asking) if fault is None else _struck(asking, fault))
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    entry.status, entry.code, entry.client_gone = reply.status, reply.code, incoming.gone()
    entry.duration_s = round(farm.clock.now() - began, 6)
    counters.client_gone += entry.client_gone
    counters.statuses[reply.status] += 1
    if reply.code:
        counters.codes[reply.code] += 1
    return reply


def _asking(farm: Farm, incoming: Incoming) -> Asking:
    params = read_params(incoming)
    pair = farm.oauth.by_refresh(to_text(params.get("refresh_token")))
    carriers = (["header"] if incoming.bearer else []) + secret_places(incoming, _SECRETS)
    entry = TokenEntry(
        farm.journal.next_seq(),
        farm.clock.now(),
        pair.portal.name if pair else "",
        incoming.authority,
        incoming.ip,
        incoming.http_method,
        grant=to_text(params.get("grant_type")),
        client_id=to_text(params.get("client_id")),
        carriers=tuple(carriers),
        pair=pair.number if pair else None,
        request_id=incoming.request_id,
    )
    farm.journal.open_token(entry)
    return Asking(farm, params, entry, pair, pair.portal.tokens if pair else farm.oauth.nobody)


async def _struck(asking: Asking, fault: Fault) -> Reply:
    match fault.place:
        case Place.BEFORE if fault.kind is Kind.HANG:
            await asyncio.sleep(fault.seconds)
            return await _perform(asking)
        case Place.DURING:
            asking.farm.hold(_late(asking, fault.late_s))
            return spoil(fault, None)
        case Place.AFTER:
            return spoil(fault, await _perform(asking))
        case _:
            return spoil(fault, None)


async def _late(asking: Asking, seconds: float) -> Reply:
    await asyncio.sleep(seconds)
    return await _perform(asking)


async def _perform(asking: Asking) -> Reply:
    if asking.pair is not None and asking.pair.application.latency_s:
        await asyncio.sleep(asking.pair.application.latency_s)
    # From here to the reply nothing waits: of two refreshes with one token exactly one is first.
    try:
        pair, is_new = _refresh(asking)
    except RestError as error:
        asking.counters.refused += 1
        body: dict[str, Value] = {"error": error.code}
        if error.text:
            body["error_description"] = error.text
        return json_reply(body, error.status, str(error.code))
    asking.entry.issued = pair.number
    asking.counters.replayed += not is_new
    _note(asking, pair, "token.refreshed" if is_new else "token.replayed")
    return json_reply(pair_json(asking.farm, pair))


def _refresh(asking: Asking) -> tuple[Pair, bool]:
    if asking.text("grant_type") != "refresh_token":
        raise refusal("invalid_request", text="Unsupported grant type")
    for name in ("client_id", "client_secret", "refresh_token"):
        if not asking.text(name):
            raise refusal("invalid_request", text=f'No "{name}" parameter found')
    return asking.farm.oauth.refresh(
        client_id=asking.text("client_id"),
        client_secret=asking.text("client_secret"),
        token=asking.text("refresh_token"),
    )


def _note(asking: Asking, pair: Pair, what: str) -> None:
    farm, entry = asking.farm, asking.entry
    farm.journal.change(
        farm.clock.now(), pair.portal.name, what, record=pair.number, user=pair.application.user, request=entry.seq
    )


def pair_json(farm: Farm, pair: Pair) -> dict[str, Value]:
    """The full reply of the token server; `expires` is of its own clock."""
    named = addresses(pair.portal)
    return {
        "access_token": pair.access,
        "expires": int(pair.access_until),
        "expires_in": farm.oauth.left_s(pair),
        "scope": "app",
        "domain": named.server,
        "server_endpoint": named.server_endpoint,
        "status": "L",
        "client_endpoint": named.client_endpoint,
        "member_id": named.member_id,
        "user_id": pair.application.user,
        "refresh_token": pair.refresh,
    }
