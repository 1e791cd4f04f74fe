"""What a short command costs before its first word, told in what it imports: seconds would depend on the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.connections import async_redis_client
from ledger.redis import RedisLedger
from tests.house import ROOT

# Each takes between 30 ms and 0.3 s to import.
HEAVY = ("aiohttp", "asyncio", "celery", "cryptography.fernet", "pydantic", "redis", "rich", "structlog", "yarl")
CODE = """
import json, sys
from cli.main import run
code = run(sys.argv[2:])
print(file=sys.stderr)
json.dump([code, [name for name in sys.argv[1].split() if name in sys.modules]], sys.stderr)
"""


def imported(directory: Path, redis_url: str, *arguments: str, given: str = "") -> list[str]:
    """The heavy modules that a command has imported when it ends; it must end with 0."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": redis_url, "B24PAY_LOG_LEVEL": "info"}
    command = [sys.executable, "-c", CODE, " ".join(HEAVY), *arguments]
    told = subprocess.run(command, env=environ, cwd=directory, input=given, capture_output=True, text=True, check=True)
    code, names = json.loads(told.stderr.splitlines()[-1])
    assert code == 0
    return [str(name) for name in names]


@pytest.fixture
async def known_portal(redis_url: str) -> str:
    """A server whose ledger has one lane."""
    async with async_redis_client(redis_url, max_connections=1, decode_responses=True) as client:
        ledger = RedisLedger(client, lease_s=75, retention_s=3600, max_attempts=5, quiet_s=120)
        await ledger.add_lane("acme")
    return redis_url


@pytest.mark.parametrize(
    "verb", [[], ["import"], ["stats"], ["portal"], ["portal", "add"], ["doctor"], ["doubts"], ["keys", "rotate"]]
)
def test_help_imports_nothing_heavy(tmp_path: Path, verb: list[str]):
    """Neither the list of verbs nor a verb's own page."""
    assert imported(tmp_path, "", *verb, "--help") == []


@pytest.mark.parametrize("verb", [["stats"], ["list"], ["import", "-"]])
async def test_a_command_for_scripts_imports_the_client_and_no_more(tmp_path: Path, known_portal: str, verb: list[str]):
    """What checks settings, draws tables, makes log lines or speaks to portals is not needed."""
    given = "invoice_id,pay_system_id,portal\n1,1,acme\n"
    assert imported(tmp_path, known_portal, *verb, "--json", given=given) == ["asyncio", "redis"]


async def test_a_table_costs_the_tables(tmp_path: Path, known_portal: str):
    """For people, rich comes on top."""
    assert imported(tmp_path, known_portal, "stats") == ["asyncio", "redis", "rich"]
