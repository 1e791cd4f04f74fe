"""Gather the facts after a storm: from the ledger, the result backend, the broker, and the portals' own journals."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaos.facts import Call, Facts, Invoice, Read, Record, Result, Rollback, Row, Told
from chaos.history import History
from chaos.scene import Scene
from emulator import Handle
from emulator.journal import ChangeEntry, RequestEntry
from ledger.payment import Payment, State
from ledger.redis.scripts import PREFIX

_PAGE: Final = 500
_EVERYTHING: Final = 10_000_000
_OK: Final = 200
_SHOWN_BYTES: Final = 2000
_PAY: Final = "sale.paysystem.pay.invoice"
_PAID, _REPAID = "record.paid", "record.repaid"


@dataclass(frozen=True, slots=True)
class Portals:
    """The portals' side of the facts, and figures about it."""

    calls: list[Call]
    reads: list[Read]
    records: list[Record]
    overlaps: int
    requests: int
    spoilt: int  # replies lost on purpose
    longest_s: float  # from a request's arrival to the last payment it booked


async def gather(scene: Scene, rollbacks: Sequence[Rollback]) -> tuple[Facts, Portals]:
    """Everything the checker looks at."""
    told = scene.producers.told
    # The ledger before the portals: where something still moves, it may not look proven and unpaid.
    rows = [_row(payment) async for payment in all_payments(scene)]
    portals = await ask_portals(scene)
    handles = await find_handles(scene, told)
    missing = {each.handle for each in told if each.handle is not None} - handles.keys()
    waiting = await in_broker(scene, missing)
    if waiting:
        await tell_broker(scene)
    facts = Facts(
        told=told,
        rows=rows,
        handles=handles,
        calls=portals.calls,
        reads=portals.reads,
        records=portals.records,
        results=await asyncio.to_thread(read_results, scene, sorted(handles)),
        rollbacks=rollbacks,
        waiting=waiting,
        overlaps=portals.overlaps,
    )
    return facts, portals


async def all_payments(scene: Scene) -> AsyncIterator[Payment]:
    """Every row of the ledger."""
    for portal in scene.portals:
        for state in State:
            offset = 0
            while page := await scene.session.ledger.payments(portal, state, offset, _PAGE):
                for payment in page:
                    yield payment
                offset += len(page)


async def find_handles(scene: Scene, told: Iterable[Told]) -> dict[str, str]:
    """For each handle that a producer holds and the ledger knows, the id of its payment."""
    wanted = sorted({each.handle for each in told if each.handle is not None})
    found: dict[str, str] = {}
    for start in range(0, len(wanted), _PAGE):
        chunk = wanted[start : start + _PAGE]
        for handle, payment in zip(chunk, await scene.session.ledger.find(chunk), strict=True):
            if payment is not None:
                found[handle] = payment.id
    return found


def _row(payment: Payment) -> Row:
    return Row(
        id=payment.id,
        invoice=Invoice(payment.portal, payment.invoice_id),
        state=payment.state,
        code=payment.error.code if payment.error else "",
        attempts=payment.attempts,
        deaths=payment.deaths,
    )


def read_results(scene: Scene, handles: Sequence[str]) -> list[Result]:
    """What a producer's `AsyncResult` would read."""
    from celery import Celery

    from config.connections import celery_url

    app = Celery("somebody-else", backend=celery_url(scene.server.url), set_as_current=False)
    found = []
    for start in range(0, len(handles), _PAGE):
        chunk = handles[start : start + _PAGE]
        values = app.backend.mget([app.backend.get_key_for_task(handle) for handle in chunk])
        found += [
            _result(handle, json.loads(value)) for handle, value in zip(chunk, values, strict=True) if value is not None
        ]
    return found


def _result(handle: str, meta: Any) -> Result:
    inner = meta.get("result")
    if not isinstance(inner, dict) or meta["status"] != "SUCCESS":
        return Result(handle=handle, celery_state=meta["status"])
    return Result(
        handle=handle, celery_state=meta["status"], status=inner.get("status"), number=inner.get("invoice_id")
    )


async def in_broker(scene: Scene, handles: Iterable[str]) -> dict[str, str]:
    """Which of these handles stand in a message that the broker still holds, and under which key it keeps it.

    Looks at every list, hash and sorted set that is not the ledger's: a transport has places of its own.
    """
    missing = {f'"{handle}"'.encode(): handle for handle in handles}
    found: dict[str, str] = {}
    if not missing:
        return {}
    async for key in scene.session.redis.scan_iter(count=1000):
        if key.startswith((PREFIX.encode(), b"celery-task-meta-")):
            continue
        text = await _content(scene.session.redis, key)
        found |= {handle: key.decode(errors="replace") for raw, handle in missing.items() if raw in text}
    return found


async def tell_broker(scene: Scene) -> None:
    """Write the broker's own keys into the history, for whoever looks for a message that did not move on."""
    async for key in scene.session.redis.scan_iter(count=1000):
        if not key.startswith((PREFIX.encode(), b"celery-task-meta-")):
            content = await _content(scene.session.redis, key)
            text = content[:_SHOWN_BYTES].decode(errors="replace")
            scene.history.note("broker", key=key.decode(errors="replace"), bytes=len(content), begins=text)


async def _content(redis: Any, key: bytes) -> bytes:
    kind = await redis.type(key)
    match kind:
        case b"list":
            parts = await redis.lrange(key, 0, -1)
        case b"hash":
            parts = await redis.hvals(key)
        case b"zset":
            parts = [b"%s %.0f" % (name, score) for name, score in await redis.zrange(key, 0, -1, withscores=True)]
        case b"string":
            parts = [await redis.get(key) or b""]
        case _:
            parts = []
    return b"\n".join(_readable(part) for part in parts)


def _readable(part: bytes) -> bytes:
    """A message with its body, which Celery packs in base64."""
    import base64
    import binascii
    import re

    bodies = re.findall(rb'"body": ?"([A-Za-z0-9+/=]+)"', part.replace(b'\\"', b'"'))
    unpacked = []
    for body in bodies:
        try:
            unpacked.append(base64.b64decode(body))
        except binascii.Error:
            continue
    return b"\n".join([part, *unpacked])


async def ask_portals(scene: Scene) -> Portals:
    """What the portals' own books say."""
    calls, reads, records = [], [], []
    overlaps = requests = spoilt = 0
    longest_s = 0.0
    async with Handle.connect(scene.emulator) as handle:
        for key, gate in zip(scene.portals, scene.gates, strict=True):
            name = gate.authority
            entries = {entry.seq: entry for entry in await handle.requests(portal=name, limit=_EVERYTHING)}
            changes = await handle.changes(portal=name, limit=_EVERYTHING)
            effects = await handle.effects(name)
            calls += _calls(key, entries, changes, scene.history)
            reads += _reads(key, entries.values(), scene.history)
            # Nobody sets an invoice back in a storm: what was paid once is paid.
            records += [
                Record(invoice=Invoice(key, n), paid=count > 0, effects=count) for n, count in effects.counts.items()
            ]
            overlaps += effects.tally.overlaps
            requests += len(entries)
            spoilt += sum(bool(entry.fault) for entry in entries.values())
            longest_s = max([longest_s, *(_took_s(entries, change) for change in changes)])
    return Portals(calls, reads, records, overlaps, requests, spoilt, longest_s)


def _calls(key: str, entries: dict[int, RequestEntry], changes: Iterable[ChangeEntry], history: History) -> list[Call]:
    """Every pay that reached the portal in a request that it did not refuse as a whole: it may have run."""
    booked = {(change.request, change.record): change for change in changes if change.what in (_PAID, _REPAID)}
    calls = []
    for entry in entries.values():
        # Refused before anything ran, as over the rate; a spoilt reply says nothing of that kind.
        if entry.code and not entry.fault:
            continue
        for _, method, number in entry.commands:
            if method != _PAY:
                continue
            change = booked.get((entry.seq, int(number)))
            calls.append(
                Call(
                    invoice=Invoice(key, int(number)),
                    request=entry.seq,
                    arrived_s=history.at(entry.t),
                    ended_s=history.at(change.t if change else entry.t + entry.duration_s),
                    booked=change is not None,
                    repeat=change is not None and change.what == _REPAID,
                )
            )
    return calls


def _reads(key: str, entries: Iterable[RequestEntry], history: History) -> list[Read]:
    """Lists whose answer left the portal whole, for a client that was still there."""
    return [
        Read(
            portal=key,
            numbers=frozenset(entry.asked),
            request=entry.seq,
            arrived_s=history.at(entry.t),
            answered_s=history.at(entry.t + entry.duration_s),
        )
        for entry in entries
        if entry.asked and entry.status == _OK and not entry.code and not entry.fault and not entry.client_gone
    ]


def _took_s(entries: dict[int, RequestEntry], change: ChangeEntry) -> float:
    entry = entries.get(change.request or 0)
    return change.t - entry.t if entry else 0.0
