"""The producers of a storm, seen from the storm: requests go to their processes, answers become history."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chaos.facts import Invoice, Told
from chaos.history import History
from chaos.plan import Burst, Door
from chaos.processes import Process

_ANSWERED_WITHIN_S: Final = 60.0


class ProducerGone(Exception):  # noqa: N818 - a fact about a process
    """A producer's process has ended; nothing could have ended it but its own fault."""


class Producer:
    """One producer process; it works one request after another, as a single client does."""

    def __init__(self, process: Process, history: History) -> None:
        self._process = process
        self._history = history
        self._one_by_one = asyncio.Lock()
        self._number = 0

    async def ask(self, door: Door, portal: str, wanted: Sequence[tuple[int, str]]) -> list[Told]:
        """Ask for payments (invoice, key or task id); returns when the producer was told something."""
        async with self._one_by_one:
            self._number += 1
            request = {"number": self._number, "door": door, "portal": portal, "wanted": wanted}
            async with asyncio.timeout(_ANSWERED_WITHIN_S):
                answer = await asyncio.to_thread(self._exchange, request)
        told = [
            Told(invoice=Invoice(portal, number), handle=handle, door=door.value, at_s=self._history.at(at), text=text)
            for number, handle, text, at in answer["told"]
        ]
        rows = [(each.invoice.number, each.handle, each.at_s, each.text) for each in told]
        self._history.note("told", door=door, portal=portal, tries=answer["tries"], told=rows)
        return told

    def _exchange(self, request: Mapping[str, object]) -> dict[str, Any]:
        stdin, stdout = self._process.pipes
        try:
            stdin.write((json.dumps(request) + "\n").encode())
            stdin.flush()
            line = stdout.readline()
        except OSError:
            line = b""
        if not line:
            raise ProducerGone(f"The producer {self._process.name} has ended: {self._process.last_words}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Producers:
    """Both doors. What was told stays known, so that it can be asked for again."""

    def __init__(self, ledger: Producer, celery: Producer, seed: int) -> None:
        self._ledger = ledger
        self._celery = celery
        self._seed = seed
        self.told: list[Told] = []

    async def ask(self, burst: Burst, portal: str) -> None:
        """Ask for the payments of a burst."""
        await self._ask(burst.door, portal, burst.invoices)

    async def ask_again(self, lost: Sequence[Told]) -> None:
        """Ask for payments again as they were asked for, under the same keys."""
        groups: dict[tuple[str, str], list[int]] = {}
        for each in lost:
            groups.setdefault((each.door, each.invoice.portal), []).append(each.invoice.number)
        for (door, portal), numbers in groups.items():
            await self._ask(Door(door), portal, numbers)

    async def _ask(self, door: Door, portal: str, numbers: Sequence[int]) -> None:
        producer = self._ledger if door is Door.LEDGER else self._celery
        wanted = [(number, f"storm-{self._seed}-{portal}-{number}") for number in numbers]
        self.told += await producer.ask(door, portal, wanted)
