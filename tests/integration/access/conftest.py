"""A server, and a terminal that is connected with it; no worker, no portal."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from cli.main import run
from config.connections import async_redis_client
from ledger.redis import RedisLedger
from tests.conftest import SECRET_KEY
from tests.saying import Said


@dataclass(frozen=True)
class Terminal:
    """Gives commands in this process."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Said:
        """Give one command."""
        self.capsys.readouterr()
        with ThreadPoolExecutor(1) as thread:  # the test's own loop may be running, and a command begins another
            code = thread.submit(run, arguments).result()
        return Said(code, *self.capsys.readouterr())

    def json(self, *arguments: str) -> Said:
        """The same with --json."""
        return self(*arguments, "--json")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    """A connection to an empty server."""
    async with async_redis_client(redis_url, max_connections=16, decode_responses=False) as client:
        yield client


@pytest.fixture
def terminal(redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A terminal on an empty server."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("B24PAY_SECRET_KEYS", SECRET_KEY)
    return Terminal(capsys)


@pytest.fixture
async def acme(redis: Any) -> str:
    """A lane."""
    ledger = RedisLedger(redis, lease_s=75, retention_s=3600, max_attempts=1, quiet_s=0)
    await ledger.add_lane("acme")
    return "acme"
