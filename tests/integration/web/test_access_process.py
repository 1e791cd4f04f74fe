"""Access as a process has it: how it starts, and that it needs no restart."""

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from access.roles import Role
from cli.embedded import EmbeddedServer
from tests.bearers import a_token, bearing
from tests.eventually import eventually_sync
from tests.house import ROOT, House, procfile_command
from tests.integration.web.conftest import Place, Street


@pytest.fixture
def alone(own_server: EmbeddedServer, house: House, street: Street) -> Iterator[Place]:
    """A web process on a server of its own."""
    web = street.start(f"web-{time.monotonic_ns()}", REDIS_URL=own_server.url)
    yield Place(House(own_server, house.emulator, house.directory, house.settings), web)
    web.stop()


def started_on(listen: str, house: House) -> "subprocess.Popen[str]":
    """A web process that listens somewhere."""
    environ = {**house.environment, "B24PAY_WEB_LISTEN": listen}
    return subprocess.Popen(
        procfile_command("web"), cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_where_others_reach_it_a_process_refuses_to_start_without_a_usable_token(alone: Place):
    """78 and the command that mends it; a revoked token does not count, a usable one does."""
    for made in (False, True):
        if made:
            alone.redis(_a_revoked_token)
        process = started_on("0.0.0.0:0", alone.house)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 78, out
        assert "B24PAY_WEB_LISTEN: " in err
        assert "b24pay token create NAME --role operator" in err
        assert "web.started" not in out
    alone.redis(lambda redis: a_token(redis, "ops", Role.OPERATOR))
    process = started_on("0.0.0.0:0", alone.house)
    try:
        assert process.stdout is not None
        assert "web.started" in process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def _a_revoked_token(redis: Any) -> None:
    from access.tokens import Tokens

    issued = await a_token(redis, "gone", Role.OPERATOR)
    await Tokens(redis).revoke(issued.token.id)


def test_on_this_machine_it_warns_once_and_says_what_to_do(alone: Place):
    """One line at the start, whatever is asked."""
    for _ in range(3):
        alone.web.ask("GET", "/healthz")
    lines = [each for each in alone.web.events() if each["event"] == "web.unprotected"]
    assert [each["level"] for each in lines] == ["warning"]
    assert "b24pay token create" in lines[0]["remedy"]


def test_a_process_waits_for_a_redis_that_is_away_and_lets_nobody_in(house: House, street: Street):
    """It starts off loopback too: without Redis there is no way in that could stand open."""
    process = started_on("0.0.0.0:0", House(_away(house), house.emulator, house.directory, house.settings))
    try:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        assert "web.ledger_away" in first
        assert "web.started" in second
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _away(house: House) -> Any:
    """A server at an address where nobody listens."""

    class Away:
        url = "redis://127.0.0.1:1/0"

    return Away()


def test_no_token_is_on_a_command_line_or_in_a_log(alone: Place):
    """The search behind all tests looks at both; here is what it looks for."""
    issued = alone.redis(lambda redis: a_token(redis, "ops", Role.OPERATOR))
    asked = alone.web.ask("GET", "/nothing", headers=bearing(issued))
    assert asked.status == 404
    assert alone.web.ask("GET", "/v1/portals", headers=bearing(issued)).status == 200
    # So that what was handed in is known by its bearer.
    eventually_sync(lambda: [each for each in alone.web.events() if each.get("who") == "ops"])
    eventually_sync(lambda: [each for each in alone.web.events() if each.get("status") == 404])
    assert issued.text.split("_")[2] not in alone.web.log.read_text()
