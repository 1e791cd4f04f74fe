"""Compare ledger and portal, page by page. Nothing is changed: no payment, no invoice, no lane.

    walk the ledger -> read the portal -> where they differ: look again at the portal, then at the ledger -> tell

A difference is told only where the portal said the same twice and the ledger says afterwards what it said before, so
neither a payment under way nor a row that changed meanwhile is ever taken for one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from redis.asyncio import Redis

from bitrix24.client import Client
from bitrix24.facts import Invoice
from bitrix24.mending import only_a_person
from bitrix24.registry import PortalRegistry
from bitrix24.renewal import Renewal
from ledger.ledger import LaneView, Ledger
from ledger.payment import OPEN, Payment, State
from limiter.limiter import Limiter
from limiter.redis import RedisLimiter
from reconciling.cursor import Cursor
from reconciling.findings import Counts, Finding, Kind, Page, Stop
from reconciling.judging import Told, judge, sentence
from reconciling.period import Period, period_of
from reconciling.reading import Later, Reader, Unread

PAGE: Final = 50  # payments; one page of `crm.invoice.list`
MOST_STEPS: Final = 10  # of the ledger's walk for one page; each looks at 1,000 records


class Reconciler:
    """Compares portals with the ledger; holds nothing between two pages."""

    def __init__(
        self,
        redis: Redis,
        *,
        ledger: Ledger,
        registry: PortalRegistry,
        client: Client,
        renewal: Renewal,
        limiter: Limiter | None = None,
    ) -> None:
        self._redis, self._ledger, self._registry = redis, ledger, registry
        self._client, self._renewal = client, renewal
        self._limiter: Limiter = limiter or RedisLimiter(redis)

    async def period(self, since: datetime | None = None, until: datetime | None = None) -> Period:
        """The period that is meant, by the ledger's clock; raises EmptyPeriod."""
        return period_of(await self._now(), since, until)

    async def page(self, portal: str, cursor: Cursor) -> Page:
        """Compare the next payments; raises what the registry raises, and RedisError."""
        rows, behind = await self._rows(portal, cursor)
        doubts = [_doubt(row) for row in rows if row.state is State.IN_DOUBT]
        ended = [row for row in rows if row.state is not State.IN_DOUBT]
        told = await self._told(portal, ended) if ended else _NOTHING
        if isinstance(told, Later):
            return Page(cursor=cursor, wait_s=told.wait_s, reason=told.reason)
        if isinstance(told, Stop):
            return Page(cursor=cursor, stop=told)
        counts = Counts(agreed=len(ended) - len(told.suspects), in_doubt=len(doubts))
        findings, of_suspects = await self._confirmed(told)
        return Page(cursor=behind, findings=(*findings, *doubts), counts=counts + of_suspects)

    async def _rows(self, portal: str, cursor: Cursor) -> tuple[list[Payment], Cursor | None]:
        """The next payments of the walks, and where to go on behind them."""
        rows: list[Payment] = []
        at: Cursor | None = cursor
        for _ in range(MOST_STEPS):
            if at is None or len(rows) >= PAGE:
                break
            step = await self._ledger.walk(portal, at.state, at.period.sought, at.place, PAGE - len(rows))
            rows += step.payments
            at = at.behind(step.place)
        return rows, at

    async def _told(self, portal: str, rows: Sequence[Payment]) -> "_Told | Unread":
        """What the portal says of these payments' invoices; twice of those where that is not what the ledger says."""
        lane = await self._lane(portal)
        if lane and lane.held and only_a_person(lane.held.code):
            return Stop(lane.held.code, lane.held.text, lane.held.remedy)
        reader = Reader(
            await self._registry.get(portal), lane, limiter=self._limiter, client=self._client, renewal=self._renewal
        )
        seen = await reader.read(list(dict.fromkeys(row.invoice_id for row in rows)))
        if isinstance(seen, Later | Stop):
            return seen
        suspects = [row for row in rows if row.invoice_id not in seen or judge(row, seen[row.invoice_id])]
        if not suspects:
            return _NOTHING
        ids = dict.fromkeys(row.invoice_id for row in suspects)
        again = await reader.look_again(
            [each for each in ids if each in seen], [each for each in ids if each not in seen]
        )
        if isinstance(again, Later | Stop):
            return again
        return _Told(suspects, seen, again, await self._now())

    async def _confirmed(self, told: "_Told") -> tuple[list[Finding], Counts]:
        """What is left of the suspects once the ledger, too, has been asked again."""
        findings, counts = [], Counts()
        rows = await self._ledger.find([row.id for row in told.suspects]) if told.suspects else []
        for before, row in zip(told.suspects, rows, strict=True):
            first, word = told.seen.get(before.invoice_id), told.again[before.invoice_id]
            kind = judge(before, word)
            if kind is None and first is None:
                counts += Counts(agreed=1)  # the list had left it out
            elif row is None or not _same(before, row) or not _twice(kind, before, first):
                counts += Counts(changed=1)
            elif (fate := await self._overtaken(row)) is not None:
                counts += fate
            elif kind is not None:
                findings.append(_finding(kind, row, word, told.at))
                counts += Counts(unreadable=1) if kind is Kind.UNREADABLE else Counts(differing=1)
        return findings, counts

    async def _overtaken(self, row: Payment) -> Counts | None:
        """How the payment counts where its invoice has a later one, which has the say; None where it has none."""
        latest = await self._ledger.find_invoice(row.portal, row.invoice_id)
        if latest is None or latest.id == row.id:
            return None
        return Counts(under_way=1) if latest.state in OPEN else Counts(later=1)

    async def _lane(self, portal: str) -> LaneView | None:
        lanes = await self._ledger.lanes([portal])
        return lanes[0] if lanes else None

    async def _now(self) -> datetime:
        seconds, micros = await self._redis.time()
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


@dataclass(frozen=True, slots=True)
class _Told:
    """The payments that the portal's word does not agree with, its first and its second word, and when that was."""

    suspects: Sequence[Payment]
    seen: Mapping[int, Invoice]
    again: Mapping[int, Told]
    at: datetime | None


_NOTHING: Final = _Told((), {}, {}, None)


def _same(before: Payment, row: Payment) -> bool:
    """Whether a payment has stayed as it ended: it was neither queued again nor has it ended anew."""
    return (before.state, before.finished_at) == (row.state, row.finished_at)


def _twice(kind: Kind | None, row: Payment, first: Invoice | None) -> bool:
    """Whether the portal's first word was the same, as far as it said one twice."""
    return first is None or kind is Kind.UNREADABLE or (kind is not None and judge(row, first) is kind)


def _finding(kind: Kind, row: Payment, word: Told, at: datetime | None) -> Finding:
    invoice = word if isinstance(word, Invoice) else None
    return Finding(kind=kind, payment=row, invoice=invoice, read_at=at, text=sentence(kind, row, word))


def _doubt(row: Payment) -> Finding:
    return Finding(kind=Kind.IN_DOUBT, payment=row, invoice=None, read_at=None, text=sentence(Kind.IN_DOUBT, row, None))
