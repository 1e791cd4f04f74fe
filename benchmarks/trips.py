"""The commands that reach Redis while one payment is made, in order: what MONITOR shows."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.procfile import ROOT
from ledger.redis.scripts import load_scripts


@dataclass(frozen=True, slots=True)
class Trip:
    """One command of a client."""

    at: float  # epoch seconds, the server's
    client: str
    text: str


def names_of_scripts() -> dict[str, str]:
    """What EVALSHA runs, by digest."""
    names = {script.sha: f"ledger/{name}" for name, script in load_scripts().items()}
    for path in [*Path(ROOT, "limiter").rglob("*.lua"), *Path(ROOT, "bitrix24").rglob("*.lua")]:
        digest = hashlib.sha1(path.read_bytes()).hexdigest()  # noqa: S324 - what Redis names a script by
        names[digest] = f"{path.relative_to(ROOT).parts[0]}/{path.stem}"
    return names


@asynccontextmanager
async def watched(redis: Any) -> AsyncIterator[list[Trip]]:
    """Everything that clients send meanwhile; what scripts do inside is left out."""
    names, trips = names_of_scripts(), list[Trip]()

    async def listen() -> None:
        async with redis.monitor() as monitor:
            async for told in monitor.listen():
                if told["client_type"] != "lua":
                    trips.append(
                        Trip(
                            float(told["time"]),
                            f"{told['client_address']}:{told['client_port']}",
                            text(told["command"], names),
                        )
                    )

    task = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    try:
        yield trips
        await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def text(command: str, names: dict[str, str]) -> str:
    """A command without its data."""
    words = command.split(" ")
    if words[0].upper() == "EVALSHA":
        return f"EVALSHA {names.get(words[1], words[1][:8])}"
    return " ".join(words[:2])[:60]


def told_since(trips: list[Trip], began: float) -> list[str]:
    """Lines for people: milliseconds since a moment, and the command."""
    return [f"{(trip.at - began) * 1000:7.1f} ms  {trip.text}" for trip in trips if trip.at >= began - 0.002]
