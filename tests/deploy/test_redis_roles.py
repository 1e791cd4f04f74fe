"""deploy/redis/users.acl: each role does its whole work under its user, and nothing beside it."""

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from hashlib import sha1
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch

import pytest

from bitrix24.secret import Secret
from callbacks.signing import SigningSecrets
from cli.main import run
from config.connections import async_redis_client
from ledger.redis.scripts import load_scripts
from tests.canaries import SECRET_KEY, SIGNING_SECRET
from tests.deploy.redis_business import CALLED, Business, operate, outage, produce, serve, trouble
from tests.deploy.redis_roles import (
    ADMIN,
    OPERATOR,
    PRODUCER,
    ROLES,
    ROOT,
    STEPS,
    WEB,
    WORKER,
    RoleServer,
    Watch,
    a_role_server,
    reached,
    refusals,
    rights,
    written_in,
)
from tests.house import QUICK, House, _start_emulator, wait_for
from tests.integration.callbacks.receiver import receiving
from tests.integration.web.conftest import Street

pytestmark = pytest.mark.whole

_CONNECTIONS: Final = {"select": "a database other than 0", "ping": "a connection that was idle is looked at"}
# Rights that a day does not show, each with the moment that needs it.
SELDOM: Final[Mapping[str, Mapping[str, str]]] = {
    PRODUCER: {
        **_CONNECTIONS,
        "script|load": "a server that was started anew",
        "unsubscribe": "a result that is given up",
    },
    WORKER: {
        **_CONNECTIONS,
        "punsubscribe": "the end of remote control",
        "unsubscribe": "a subscription that is made anew",
        "script|exists": "several steps at once on a server that was started anew",
        "blmove": "a quiet queue",
    },
    WEB: {**_CONNECTIONS, "script|load": "a server that was started anew"},
    OPERATOR: {**_CONNECTIONS},
}
# A refusal that is meant: the command also shows passwords, and doctor says what it could not see.
MEANT: Final = ["b24pay-operator needs +config|get"]


class RoleHouse(House):
    """Its workers have the worker's user."""

    server: RoleServer

    @property
    def environment(self) -> dict[str, str]:
        """What every process is started with."""
        return {**super().environment, "REDIS_URL": self.server.url_of(WORKER)}


def command(url: str) -> Callable[..., list[Any]]:
    """Gives an operator's commands, in this process."""
    environ = {
        "REDIS_URL": url,
        "B24PAY_SECRET_KEYS": SECRET_KEY,
        "B24PAY_ALLOW_INSECURE_PORTALS": "1",
        "B24PAY_WEB_URL": "http://127.0.0.1:1",
    }

    def give(*words: str, text: str = "") -> list[Any]:
        out, err, stdin = io.StringIO(), io.StringIO(), io.TextIOWrapper(io.BytesIO(text.encode()))
        with patch.dict(os.environ, environ), patch("sys.stdin", stdin), redirect_stdout(out), redirect_stderr(err):
            code = run(words)
        assert code == 0, (words, code, err.getvalue())
        return [json.loads(line) for line in out.getvalue().splitlines()]

    return give


@contextmanager
def business(server: RoleServer) -> Iterator[Business]:
    """A worker, a web process and an operator, each with its user, at emulated portals."""
    with TemporaryDirectory(prefix="b24pay-roles-") as name, receiving(CALLED) as receiver:
        emulator, ready = _start_emulator(Path(name))
        house = RoleHouse(server, ready, Path(name), {**QUICK, "B24PAY_CALLBACK_HOSTS": CALLED})
        street = Street(house, [])
        try:
            give = command(server.url_of(OPERATOR))
            [token] = give("token", "create", "ops", "--role", "operator", "--json")
            wait_for(_signing(server.url))
            worker = house.start_worker()
            web = street.start("web", REDIS_URL=server.url_of(WEB))
            bearer = f"Bearer {token['token']}"
            yield Business(house, server, worker, web.address, give, receiver.url, house.add_portal(), bearer)
        finally:
            street.close()
            house.close()
            emulator.terminate()
            emulator.wait()


async def _signing(url: str) -> None:
    async with async_redis_client(url, max_connections=2, decode_responses=False) as client:
        await SigningSecrets(client, [SECRET_KEY]).put(CALLED, Secret(SIGNING_SECRET))


@pytest.fixture(scope="module")
def seen() -> Iterator[tuple[Watch, list[str]]]:
    """A day's work of all roles, what of it reached the server, and what the server refused."""
    with a_role_server() as server:
        watch = Watch(server)
        watch.start()
        with business(server) as on:
            for work in (produce, serve, trouble, operate):
                work(on)
            watch.stop()
            outage(on)
            yield watch, refusals(server)


def test_nothing_was_refused(seen: tuple[Watch, list[str]]):
    """A new command or key of the code shows here, as the words that deploy/redis/users.acl lacks."""
    assert [each for each in seen[1] if each not in MEANT] == []


def test_the_steps_of_each_role_are_known(seen: tuple[Watch, list[str]]):
    """STEPS, by which the rights are judged without a server, has what was run here."""
    names = {script.sha: name for name, script in load_scripts().items()}
    for role in ROLES:
        ran = {names[sha] for sha in seen[0].scripts[role] if sha in names}
        assert ran - set(STEPS[role]) == set(), f"add these to STEPS of {role}"


@pytest.mark.parametrize("role", ROLES)
def test_no_right_is_left_over(seen: tuple[Watch, list[str]], role: str):
    """What is granted was used, stands in a step of the role, or has its moment in SELDOM."""
    watch, _ = seen
    others = {sha1(text.encode(), usedforsecurity=False).hexdigest(): text for text in _others()}
    known = watch.commands[role].union(*(reached(step) for step in STEPS[role]))
    known |= {call for sha in watch.scripts[role] if sha in others for call in written_in(others[sha])}
    # Of connections that were gone before the server was asked whose they are.
    known |= {
        command for user, commands in watch.commands.items() if user not in (*ROLES, ADMIN) for command in commands
    }
    granted = {rule[1:] for rule in rights()[role] if rule.startswith("+")}
    assert granted - known - set(SELDOM[role]) == set(), f"take these from {role} in deploy/redis/users.acl"


def _others() -> Iterator[str]:
    return (
        file.read_text() for folder in ("access", "bitrix24", "worker/lua") for file in (ROOT / folder).glob("*.lua")
    )
