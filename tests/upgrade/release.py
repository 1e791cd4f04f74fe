"""The last release as a test has it: the rows and messages it left, its steps, its code where the history has it."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from bitrix24.registry import PortalRegistry
from config.connections import async_redis_client, redis_client
from ledger.redis.scripts import Script, load_scripts, read_scripts
from tests.canaries import SECRET_KEY
from tests.house import ROOT, EmulatedPortal, House, wait_for

COMMIT = "88ca4c5"
# What its processes are made of; the rest would only be looked through for secrets, and tests have some.
BOXES = ("access", "bitrix24", "callbacks", "cli", "config", "ledger", "limiter", "metrics", "tasks", "web", "worker")
FOLDER = Path(__file__).parent / "fixtures" / f"release-{COMMIT}"


@dataclass(frozen=True, slots=True)
class Known:
    """What the release said of its payments and tasks, by every name of theirs."""

    payments: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[str, str]
    made_at: float = field(default=0.0)
    server: str = ""


@cache
def known() -> Known:
    """As it was written down."""
    return Known(**json.loads((FOLDER / "known.json").read_text()))


def rows() -> list[dict[str, Any]]:
    """Each key with its type, its expiry and what it holds."""
    return [json.loads(line) for line in (FOLDER / "rows.jsonl").read_text().splitlines()]


def restore(url: str, *, same_server: bool = True) -> None:
    """Write the rows into an empty server. `same_server`: it is the one that the release wrote to, so that no epoch
    begins; else it looks like a copy that was put back."""
    with redis_client(url, decode_responses=False) as client:
        assert client.dbsize() == 0
        for row in rows():
            _write(client, row)
        if same_server:
            told = client.info()
            client.hset("b24pay:{0}:epoch", "server", f"{told['run_id']}-{told['master_replid']}")


def _write(client: Redis, row: Mapping[str, Any]) -> None:
    key, value = _bytes(row["key"]), row["value"]
    match row["type"]:
        case "string":
            client.set(key, _bytes(value))
        case "hash":
            client.hset(key, mapping={_bytes(name): _bytes(each) for name, each in value.items()})
        case "list":
            client.rpush(key, *map(_bytes, value))
        case "set":
            client.sadd(key, *map(_bytes, value))
        case "zset":
            client.zadd(key, {_bytes(name): score for name, score in value})
        case "stream":
            for at, fields in value:
                client.xadd(key, {_bytes(name): _bytes(each) for name, each in fields.items()}, id=at)
        case kind:
            raise AssertionError(f"a {kind} was not thought of")
    if row["ttl_ms"] is not None:
        client.pexpire(key, max(row["ttl_ms"], 1))


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def portals_of(house: House) -> dict[str, EmulatedPortal]:
    """The release's portals at the house's emulator, which listens elsewhere; stored by today's code."""

    async def moved() -> dict[str, str]:
        port, found = house.emulator.partition(":")[2], {}
        async with async_redis_client(house.server.url, max_connections=2, decode_responses=False) as redis:
            registry = PortalRegistry(redis, [SECRET_KEY])
            for stored in await registry.list():
                portal = await registry.newest(stored.key)
                authority = re.sub(r":\d+$", f":{port}", portal.host)
                await registry.put(
                    replace(portal, endpoint=f"http://{authority}/rest/"), moved=True, over=portal.version
                )
                found[stored.key] = authority
        return found

    portals = {key: EmulatedPortal(house, key, authority) for key, authority in wait_for(moved()).items()}
    for portal in portals.values():
        portal.change(plan="none")
    return portals


def former_steps() -> dict[str, Script]:
    """The ledger's steps of the release, to the letter; those it did not have are today's."""
    return {**load_scripts(), **read_scripts(FOLDER / "steps" / "ledger")}


def checkout(directory: Path) -> Path:
    """The release's processes in a directory of their own; the test is skipped where the history does not have them."""
    if shutil.which("git") is None:
        pytest.skip("there is no git here: old and new code were not run side by side")
    packed = subprocess.run(["git", "archive", COMMIT, *BOXES, "Procfile"], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"the history has no {COMMIT}: old and new code were not run side by side")
    subprocess.run(["tar", "x", "-C", str(directory)], input=packed.stdout, check=True)
    return directory


def age_s() -> float:
    """How long ago the release wrote its rows, by this machine's clock."""
    return time.time() - known().made_at
