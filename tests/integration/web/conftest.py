"""A house without workers, web processes as the Procfile starts them, and portals that install an application."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from access.roles import Role
from bitrix24.credentials import OAuth
from bitrix24.doors import Doors
from bitrix24.portal import Portal
from bitrix24.registry import PortalRegistry
from bitrix24.secret import Secret
from cli.guarded import KILL_GROUP, Guarded
from config.connections import async_redis_client
from config.settings import Settings
from emulator import Handle
from tests.conftest import SECRET_KEY
from tests.eventually import eventually_sync
from tests.house import ROOT, EmulatedPortal, House, a_house, procfile_command, wait_for
from tests.integration.web.pages_house import Browser, Lobby, a_lobby

T = TypeVar("T")
APPLICATION = {"client_id": "local.emulator", "client_secret": "emulator-client-secret"}
Form = dict[str, str]


def access_token(portal: Portal | None) -> Secret:
    """The token that is stored."""
    assert portal is not None
    assert isinstance(portal.credential, OAuth)
    return portal.credential.access_token


def refused(answer: Any, status: int, name: str) -> None:
    """A refusal has a cause and a next step."""
    assert answer.status == status, answer.body
    assert answer.body["type"] == f"urn:b24pay:problem:{name}"
    assert answer.body["detail"]
    assert answer.body["next_step"]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    def without_id(self) -> tuple[int, dict[str, Any], dict[str, str]]:
        """What two answers that tell nothing apart have in common."""
        varying = ("X-Request-ID", "Date", "Content-Length")
        return (
            self.status,
            {name: value for name, value in self.body.items() if name != "request_id"},
            {name: value for name, value in self.headers.items() if name not in varying},
        )


@dataclass
class Web:
    """One web process."""

    guarded: Guarded
    address: str
    log: Path

    def events(self) -> list[dict[str, Any]]:
        """Its lines; one that is not JSON fails the test."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self, within_s: float = 30.0) -> int:
        """SIGTERM, as a deploy does; the exit code."""
        self.guarded.process.send_signal(signal.SIGTERM)
        return self.guarded.process.wait(within_s)

    def ask(self, method: str, url: str, **options: Any) -> Answer:
        """One request; `url` may be a path."""
        return wait_for(request(method, url if "://" in url else f"{self.address}{url}", **options))


async def request(method: str, url: str, **options: Any) -> Answer:
    """One request with a JSON answer."""
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as came:
        text = await came.text()
        return Answer(came.status, json.loads(text) if text else {}, came.headers)


@dataclass
class Place:
    """A house, one web process, and what a test does there."""

    house: House
    web: Web
    portals: int = 0

    def portal(self, **oauth: object) -> "Applicant":
        """A portal at the emulator that nobody knows yet."""
        self.portals += 1
        port = self.house.emulator.partition(":")[2]
        applicant = Applicant(self, f"app-{self.portals}", f"127.30.{self.portals}.1:{port}")
        applicant.emulator(lambda handle, name: handle.put(name))
        # Application tokens are never the same; nor are member ids.
        applicant.emulator(lambda handle, name: handle.oauth(name, application_token=f"app-token-{name}", **oauth))
        return applicant

    def stored(self, key: str) -> Portal | None:
        """The portal in the registry, None where there is none."""

        async def read(redis: Any) -> Portal | None:
            known = {each.key for each in await PortalRegistry(redis, [SECRET_KEY]).list()}
            return await PortalRegistry(redis, [SECRET_KEY]).newest(key) if key in known else None

        return self.redis(read)

    def redis(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with the server."""

        async def done() -> T:
            async with async_redis_client(self.house.server.url, max_connections=4, decode_responses=False) as client:
                return await work(client)

        return asyncio.run(done())

    def doors(self, work: Callable[[Doors], Awaitable[T]]) -> T:
        """Do something with the doors."""
        return self.redis(lambda redis: work(Doors(redis, [SECRET_KEY])))

    def lane(self, key: str) -> Any:
        """The lane of a key, None where there is none."""
        from tests.house import open_ledger

        async def look() -> Any:
            async with open_ledger(self.house.server.url) as (ledger, _):
                return next(iter(await ledger.lanes([key])), None)

        return wait_for(look())

    def command(self, *words: str, stdin: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
        """Give a `b24pay` command as a process."""
        environ = {**self.house.environment, "PYTHONPATH": str(ROOT), "B24PAY_WEB_URL": self.web.address, **settings}
        command = [sys.executable, "-c", "from cli.main import main; main()", *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, env=environ, cwd=ROOT, check=False)


@dataclass
class Applicant:
    """A portal whose application is to be installed."""

    place: Place
    key: str
    authority: str

    def invite(self, **description: object) -> str:
        """An operator's invitation; the address to enter in Bitrix24."""
        told = json.dumps({**APPLICATION, **description})
        done = self.place.command("portal", "invite", self.key, "--json", stdin=told)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["url"])

    def emulator(self, question: Callable[[Handle, str], Awaitable[T]]) -> T:
        """Ask the emulator about this portal."""

        async def asked() -> T:
            async with Handle.connect(self.place.house.emulator) as handle:
                return await question(handle, self.authority)

        return asyncio.run(asked())

    def send(self, url: str, event: str = "ONAPPINSTALL", **fields: object) -> Answer:
        """Let the portal send an event; `fields` are members of `auth`, or `ts`."""
        changed = {name if name == "ts" else f"auth[{name}]": value for name, value in fields.items()}
        sent = self.emulator(lambda handle, name: handle.send_event(name, url, event=event, fields=changed))
        return Answer(sent.status, json.loads(sent.body), {})

    def form(self, **oauth: object) -> Form:
        """An installation event with a new chain, as a form that a test posts itself."""
        told = self.emulator(lambda handle, name: handle.credential(name, **oauth))
        [last] = self.emulator(lambda handle, name: handle.issued(name))[-1:]
        until = float(str(last["access_until"]))
        return {
            "event": "ONAPPINSTALL",
            "ts": str(int(until) - 3600),
            "auth[access_token]": told["access_token"],
            "auth[refresh_token]": told["refresh_token"],
            "auth[expires]": str(int(until)),
            "auth[expires_in]": "3600",
            "auth[scope]": "pay_system,crm",
            "auth[domain]": self.authority,
            "auth[server_endpoint]": f"http://{self.authority}/rest/",
            "auth[client_endpoint]": f"http://{self.authority}/rest/",
            "auth[member_id]": "a223c6b3710f85df22e9377d6c4f" + f"{self.place.portals:04d}",
            "auth[application_token]": f"app-token-{self.authority}",
        }

    def post(self, url: str, form: Form, web: Web | None = None, **options: Any) -> Answer:
        """Post a form, each portal from an address of its own."""
        headers = {"X-Forwarded-For": f"198.51.100.{self.place.portals % 250}"}
        return (web or self.place.web).ask("POST", url, data=form, headers=headers, **options)


@dataclass
class Street:
    """Starts web processes in a house."""

    house: House
    started: list[Web]

    def start(self, name: str, **settings: str) -> Web:
        """Start a web process as the Procfile does, and wait until it listens."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        address, log = f"http://127.0.0.1:{port}", self.house.directory / f"{name}.log"
        ours = {"B24PAY_WEB_LISTEN": f"127.0.0.1:{port}", "B24PAY_WEB_URL": address, **settings}
        with log.open("wb") as out:
            guarded = Guarded(
                procfile_command("web"), KILL_GROUP, environ={**self.house.environment, **ours}, cwd=ROOT, out=out
            )
        web = Web(guarded, address, log)
        self.started.append(web)
        eventually_sync(lambda: any(each["event"] == "web.started" for each in web.events()))
        return web

    def close(self) -> None:
        """End every process that was started."""
        for web in self.started:
            if web.guarded.process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    web.stop(10)
            web.guarded.dismiss()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Server and emulator."""
    with a_house() as house:
        yield house


@pytest.fixture(scope="module")
def street(house: House) -> Iterator[Street]:
    """Web processes, ended with the module."""
    street = Street(house, [])
    yield street
    street.close()


@pytest.fixture(scope="module")
def place(house: House, street: Street) -> Place:
    """The house with one web process; it believes X-Forwarded-For, so that tests do not share one bucket."""
    return Place(house, street.start("web", B24PAY_WEB_PROXIES="127.0.0.0/8"))


@pytest.fixture(scope="module")
def web(place: Place) -> Web:
    """One web process."""
    return place.web


@pytest.fixture
def portal(house: House) -> EmulatedPortal:
    """A portal of this test's own."""
    return house.add_portal()


@pytest.fixture
async def lobby(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Lobby]:
    """The dashboard, with a lane."""
    settings = a_settings(REDIS_URL=redis_url, B24PAY_CALLBACK_HOSTS="shop.example")
    async with a_lobby(settings) as lobby:
        await lobby.parts.ledger.add_lane("acme")
        yield lobby


@pytest.fixture
async def operator(lobby: Lobby) -> Browser:
    """Somebody who may change things."""
    return await lobby.signed_in(Role.OPERATOR)
