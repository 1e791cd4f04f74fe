"""A typed test handle on the admin API of a running emulator, in this process or another."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from emulator.farm import Effects
from emulator.installing import Sent
from emulator.journal import ChangeEntry, Counters, RequestEntry, TokenEntry
from emulator.oauth import TokenCounters
from emulator.records import Change, Record, Tally


class AdminError(Exception):
    """The emulator refuses an admin request; the text is its complaint."""


class Handle:
    """Reads and changes one emulator over HTTP; portals are named host[:port]."""

    def __init__(self, session: aiohttp.ClientSession, authority: str) -> None:
        self._session = session
        self._base = f"http://{authority}/_emulator"

    @classmethod
    @asynccontextmanager
    async def connect(cls, authority: str) -> AsyncIterator["Handle"]:
        """A handle with a session of its own, to any listening address of the emulator."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            yield cls(session, authority)

    async def settings(self, portal: str) -> dict[str, object]:
        """The settings in force for a portal ("*": the template)."""
        return _object((await self._ask("GET", "settings", portal=portal))["settings"])

    async def put(self, portal: str, **settings: object) -> None:
        """Replace a portal's settings."""
        await self._ask("PUT", "settings", settings, portal=portal)

    async def patch(self, portal: str, **settings: object) -> None:
        """Change some of a portal's settings."""
        await self._ask("PATCH", "settings", settings, portal=portal)

    async def add_fault(self, kind: str, **rule: object) -> int:
        """Add a fault rule; returns its id."""
        ids = (await self._ask("POST", "faults", {"kind": kind, **rule}))["ids"]
        return int(str(_list(ids)[0]))

    async def fired(self) -> dict[int, int]:
        """How often each rule in force has struck."""
        rules = [_object(item) for item in _list((await self._ask("GET", "faults"))["faults"])]
        return {_int(rule["id"]): _int(rule["fired"]) for rule in rules}

    async def clear_faults(self) -> None:
        """Drop all fault rules."""
        await self._ask("DELETE", "faults")

    async def requests(self, *, since: int = 0, limit: int = 1000, portal: str | None = None) -> list[RequestEntry]:
        """Requests in the journal after a sequence number, oldest first."""
        return [
            RequestEntry(**{**entry, **_tuples(entry, "asked", "carriers"), "commands": _commands(entry)})
            for entry in await self._journal("request", since, limit, portal)
        ]

    async def token_requests(self, *, since: int = 0, limit: int = 1000, portal: str | None = None) -> list[TokenEntry]:
        """Requests to the token server after a sequence number, oldest first; `portal` "" are those of no chain."""
        found = await self._journal("token", since, limit, portal)
        return [TokenEntry(**{**entry, **_tuples(entry, "carriers")}) for entry in found]

    async def changes(self, *, since: int = 0, limit: int = 1000, portal: str | None = None) -> list[ChangeEntry]:
        """Changes of state in the journal after a sequence number, oldest first."""
        return [ChangeEntry(**entry) for entry in await self._journal("change", since, limit, portal)]

    async def counters(self, portal: str | None = None) -> Counters:
        """Exact counters of one portal or of all."""
        found = _object((await self._ask("GET", "counters", portal=portal))["counters"])
        statuses, codes = _maps(found)
        return Counters(**{key: _int(value) for key, value in found.items()}, statuses=statuses, codes=codes)

    async def effects(self, portal: str | None = None, *, payments: bool = False) -> Effects:
        """Paid side effects of one portal (with the count of each record) or of all (totals)."""
        records = "payments" if payments else "invoices"
        found = await self._ask("GET", "effects", portal=portal, records=records)
        tally = Tally(**{key: _int(value) for key, value in _object(found["totals"]).items()})
        counts = {int(key): _int(value) for key, value in _object(found["counts"]).items()}
        doubled = [(str(p), _int(n), _int(times)) for p, n, times in map(_list, _list(found["doubled"]))]
        return Effects(tally, counts, doubled)

    async def record(self, portal: str, number: int, *, payments: bool = False) -> Record | None:
        """One invoice (or payment) as it is now; None when it does not exist."""
        records = "payments" if payments else "invoices"
        found = await self._ask("GET", "records", portal=portal, ids=str(number), records=records)
        state = _object(found["records"])[str(number)]
        return None if state is None else Record(**_object(state))  # type: ignore[arg-type] # our own JSON

    async def change(self, portal: str, numbers: Iterable[int], change: Change, *, payments: bool = False) -> None:
        """Do to some records what a person on the portal may do."""
        records = "payments" if payments else "invoices"
        body = {"ids": list(numbers), "change": change}
        await self._ask("POST", "records", body, portal=portal, records=records)

    async def advance(self, seconds: float) -> None:
        """Let time pass on all portals."""
        await self._ask("POST", "clock", {"advance_s": seconds})

    async def credential(self, portal: str, **oauth: object) -> dict[str, str]:
        """Install the OAuth application, after changes of its settings: what `portal add` reads. Begins a chain."""
        return _texts((await self._ask("POST", "oauth/grant", oauth, portal=portal))["credential"])

    async def newest_credential(self, portal: str) -> dict[str, str]:
        """The newest pair of the newest chain, in the same form; begins nothing."""
        return _texts((await self._ask("GET", "oauth/credential", portal=portal))["credential"])

    async def oauth(self, portal: str, **settings: object) -> None:
        """Change some of the `oauth` settings of a portal ("*": of the template)."""
        await self._ask("PATCH", "oauth", settings, portal=portal)

    async def token_counters(self, portal: str | None = None) -> TokenCounters:
        """Exact counters of the token server for one portal, for no chain (""), or for all."""
        found = _object((await self._ask("GET", "oauth/counters", portal=portal))["counters"])
        statuses, codes = _maps(found)
        return TokenCounters(**{key: _int(value) for key, value in found.items()}, statuses=statuses, codes=codes)

    async def issued(self, portal: str) -> list[dict[str, object]]:
        """Every pair ever issued to a portal, with its tokens and state."""
        return [_object(item) for item in _list((await self._ask("GET", "oauth/issued", portal=portal))["issued"])]

    async def expire(self, portal: str) -> int:
        """Let the living access tokens of a portal be over now; returns how many."""
        return _int((await self._ask("POST", "oauth/expire", portal=portal))["expired"])

    async def revoke(self, portal: str) -> int:
        """Let all chains of a portal be dead; returns how many pairs fell."""
        return _int((await self._ask("POST", "oauth/revoke", portal=portal))["revoked"])

    async def advance_tokens(self, seconds: float) -> None:
        """Let time pass for tokens and for nothing else."""
        await self._ask("POST", "oauth/clock", {"advance_s": seconds})

    async def send_event(
        self, portal: str, to: str, *, event: str = "ONAPPINSTALL", fields: Mapping[str, object] | None = None
    ) -> Sent:
        """Let a portal post an event of the application to a loopback URL; `fields` replaces (null: drops) fields."""
        body = {"to": to, "event": event, "fields": dict(fields or {})}
        found = await self._ask("POST", "oauth/event", body, portal=portal)
        told = found["credential"]
        return Sent(_int(found["status"]), str(found["body"]), None if told is None else _texts(told))

    async def rename(self, portal: str, to: str, *, status: int = 302) -> None:
        """Move a portal with all its state to another address; the old one redirects there."""
        await self._ask("POST", "rename", {"to": to, "status": status}, portal=portal)

    async def reset(self, portal: str | None = None) -> None:
        """Forget one portal, or all of them with faults and journal."""
        await self._ask("POST", "reset", portal=portal)

    async def _journal(self, kind: str, since: int, limit: int, portal: str | None) -> list[dict[str, Any]]:
        found = await self._ask("GET", "journal", kind=kind, since=str(since), limit=str(limit), portal=portal)
        entries = [_object(item) for item in _list(found["entries"])]
        return [{key: value for key, value in entry.items() if key != "kind"} for entry in entries]

    async def _ask(
        self, method: str, action: str, body: Mapping[str, object] | None = None, **query: str | None
    ) -> dict[str, object]:
        params = {key: value for key, value in query.items() if value is not None}
        async with self._session.request(method, f"{self._base}/{action}", params=params, json=body) as response:
            answer = _object(await response.json())
            if response.status != 200:
                raise AdminError(str(answer.get("error")))
            return answer


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise AdminError(f"the emulator answered {type(value).__name__} where an object was expected")
    return value


def _texts(value: object) -> dict[str, str]:
    return {key: str(item) for key, item in _object(value).items()}


def _tuples(entry: Mapping[str, Any], *names: str) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(entry[name]) for name in names}


def _commands(entry: Mapping[str, Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(command) for command in entry["commands"])


def _maps(counters: dict[str, object]) -> tuple[Counter[int], Counter[str]]:
    """Take the maps of statuses and codes out of counters."""
    statuses = Counter({int(key): _int(value) for key, value in _object(counters.pop("statuses")).items()})
    codes = Counter({key: _int(value) for key, value in _object(counters.pop("codes")).items()})
    return statuses, codes


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise AdminError(f"the emulator answered {type(value).__name__} where a list was expected")
    return value


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise AdminError(f"the emulator answered {type(value).__name__} where a number was expected")
    return value
