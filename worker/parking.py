"""Take messages that cannot be used out of the way: written down for an operator, answered if anybody can hear it.

Only then is such a message acknowledged. Nothing waits for it: the payments behind it are admitted meanwhile.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from ledger.ledger import Ledger
from ledger.payment import Handle
from tasks.errors import InvalidPayment
from tasks.payment import is_handle
from worker.envelope import Spoilt
from worker.parked import HEAD_BYTES, Misfit, ParkedMessages
from worker.results import Results

log = structlog.get_logger(__name__)

AFTER_OUTAGE_S = 1.0  # the messages stay unacknowledged meanwhile
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Parking:
    """A message to be parked, and how to say that it is taken care of."""

    misfit: Misfit
    acknowledge: Callable[[], None]


class ParkingPlace:
    """Parks messages one after the other on the event loop."""

    def __init__(
        self, parked: ParkedMessages, ledger: Ledger, results: Results, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._parked = parked
        self._ledger = ledger
        self._results = results
        self._loop = loop
        self._waiting: asyncio.Queue[Parking] = asyncio.Queue()

    def park(self, parking: Parking) -> None:
        """Take a message from any thread."""
        self._loop.call_soon_threadsafe(self._waiting.put_nowait, parking)

    async def run(self) -> None:
        """Park messages until cancelled; what is not written down was not acknowledged either."""
        while True:
            await self._park(await self._waiting.get())

    async def _park(self, parking: Parking) -> None:
        while True:
            try:
                await self._write(parking.misfit)
                break
            except Exception as error:  # noqa: BLE001 - ledger or result backend, of whatever make
                log.warning("parking.waits", error=type(error).__name__, retry_s=AFTER_OUTAGE_S)
                await asyncio.sleep(AFTER_OUTAGE_S)
        parking.acknowledge()

    async def _write(self, misfit: Misfit) -> None:
        number = await self._parked.add(misfit)
        told = misfit.task_id is not None and await self._tell(Handle(misfit.task_id), misfit.reason)
        log.error(
            "message.parked",
            number=number,
            reason=misfit.reason,
            queue=misfit.queue,
            task_id=misfit.task_id,
            size=misfit.size,
            producer_is_told=told,
        )

    async def _tell(self, handle: Handle, reason: str) -> bool:
        """Let a producer read why, unless the id is a payment's, whose producer waits for something else."""
        [known] = await self._ledger.find([handle])
        if known is None:
            await self._results.refuse(handle, InvalidPayment(f"the message cannot be used: {reason}"))
        return known is None


def misfit_of(message: Any, reason: str) -> Misfit:
    """What to write down of a kombu message, spoilt or whole."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    task, handle = headers.get("task"), headers.get("id")
    raw = _bytes_of(message)
    delivery_info = message.delivery_info if isinstance(message.delivery_info, dict) else {}
    queue = delivery_info.get("routing_key")
    return Misfit(
        queue=queue[:LONGEST_NAME] if isinstance(queue, str) else "",
        reason=reason,
        task=task[:LONGEST_NAME] if isinstance(task, str) else None,
        task_id=handle if isinstance(handle, str) and is_handle(handle) else None,
        size=len(raw),
        head=raw[:HEAD_BYTES],
    )


def _bytes_of(message: Any) -> bytes:
    envelope = getattr(message, "_raw", None)  # only kombu's own transports keep it
    if isinstance(envelope, Spoilt):
        return envelope.raw
    body = (
        message.body if isinstance(message.body, bytes) else str(message.body or "").encode("utf-8", "backslashreplace")
    )
    if not isinstance(envelope, dict):
        return body
    # The body comes decoded and last, so that the beginning tells most.
    rest = {name: value for name, value in envelope.items() if name != "body"}
    return json.dumps(rest, default=str).encode() + b"\n" + body
