"""Finding payments by what a person has of them: a name, a key, or an invoice number without its portal.

It is no part of the ledger's contract, which drivers and producers share (nor is `ledger.redis.overview`): only people
search, and only a server has a thousand lanes to search in. Nothing is written.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

from ledger.callbacks import CallbackState
from ledger.payment import Payment
from ledger.redis import records
from ledger.redis.replies import as_reply
from ledger.redis.scripts import PREFIX, Script, load_scripts

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Names of one payment that a person is shown; a request that was repeated a thousand times has as many.
MOST_NAMES: Final = 50
# A look into so many lanes' index keeps the server for less than a millisecond.
LANES_AT_ONCE: Final = 250


_STATES: Final = {"q": CallbackState.PENDING, "f": CallbackState.FAILED, "d": CallbackState.DELIVERED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Somebody who wanted to be told of a payment's end, and how far that has come. Never the whole address."""

    handle: str
    host: str
    event: str | None = None  # None: the payment has not ended
    state: CallbackState | None = None
    attempts: int = 0
    remark: str | None = None
    tried_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What is kept beside a payment's record."""

    handles: Sequence[str] = ()  # that joined it, beside its id
    keys: Sequence[str] = ()  # idempotency keys beside its own
    names: int = 0  # how many of both there are; not all may be shown
    told: Sequence[Told] = ()


class Lookups:
    """Looks payments up; `client` may decode responses or not."""

    def __init__(self, client: "Redis", *, scripts: Mapping[str, Script] | None = None) -> None:
        self._client = client
        self._scripts = scripts or load_scripts()

    async def named(self, text: str) -> list[Payment]:
        """The payment of this id or handle, and the one of this idempotency key: none, one or two."""
        rows = await self._rows("find_named", text)
        return list({row.id: row for row in rows}.values())

    async def invoice(self, invoice_id: int, portals: Sequence[str]) -> list[Payment]:
        """The latest payment of this invoice number at each of these portals that has one."""
        found: list[Payment] = []
        for first in range(0, len(portals), LANES_AT_ONCE):
            found += await self._rows("find_invoices", str(invoice_id), *portals[first : first + LANES_AT_ONCE])
        return found

    async def beside(self, payment_id: str) -> Beside:
        """What is kept beside a payment's record; nothing where it is unknown."""
        reply = records.items(await self._run("find_beside", payment_id, MOST_NAMES))
        if not reply:
            return Beside()
        named, count, *wishes = reply
        names = [records.text(each) for each in records.items(named)]
        return Beside(
            handles=[name[1:] for name in names if name.startswith("h")],
            keys=[name[1:] for name in names if name.startswith("k")],
            names=records.number(count),
            told=[_told(records.items(wish)) for wish in wishes],
        )

    async def ended(self, portals: Sequence[str], within_s: float) -> Mapping[str, int]:
        """How many payments of these portals, a few dozen, were paid or failed within the last seconds."""
        if not portals:
            return {}
        counts = records.items(await self._run("count_ended", records.ms(within_s), *portals))
        return dict(zip(portals, map(records.number, counts), strict=True))

    async def _rows(self, name: str, *arguments: str) -> list[Payment]:
        reply = await self._run(name, *arguments)
        return [row for row in map(records.payment, records.items(reply)) if row is not None]

    async def _run(self, name: str, *arguments: records.Argument) -> records.Reply:
        from redis.exceptions import NoScriptError

        script = self._scripts[name]
        try:
            raw = await cast("Awaitable[object]", self._client.evalsha(script.sha, 1, PREFIX, *arguments))
        except NoScriptError:
            raw = await cast("Awaitable[object]", self._client.eval(script.text, 1, PREFIX, *arguments))
        return as_reply(raw)


def _told(wish: Sequence[records.Reply]) -> Told:
    handle, host, callback = wish
    known = records.fields(callback)
    if not known:
        return Told(handle=records.text(handle), host=records.text(host))
    return Told(
        handle=records.text(handle),
        host=records.text(host),
        event=known["event"],
        state=_STATES[known["s"]],
        attempts=int(known.get("n", 0)),
        remark=known.get("c"),
        tried_at=records.instant(known["x"]) if "x" in known else None,
    )
