"""Finding payments by what a person has of them: a name, a key, or an invoice number without its portal.

It is no part of the ledger's contract, which drivers and producers share (nor is `ledger.redis.overview`): only people
search, and only a server has a thousand lanes to search in. Nothing is written.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from ledger.payment import Payment
from ledger.redis import records
from ledger.redis.replies import as_reply
from ledger.redis.scripts import PREFIX, Script, load_scripts

if TYPE_CHECKING:
    from redis.asyncio import Redis

# A look into so many lanes' index keeps the server for less than a millisecond.
LANES_AT_ONCE: Final = 250


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

    async def _rows(self, name: str, *arguments: str) -> list[Payment]:
        from redis.exceptions import NoScriptError

        script = self._scripts[name]
        try:
            raw = await cast("Awaitable[object]", self._client.evalsha(script.sha, 1, PREFIX, *arguments))
        except NoScriptError:
            raw = await cast("Awaitable[object]", self._client.eval(script.text, 1, PREFIX, *arguments))
        return [row for row in map(records.payment, records.items(as_reply(raw))) if row is not None]
