"""Addresses that are not for us: however they are written, and wherever a name leads, nothing inside is connected to.

Connections are counted where the event loop makes them. Every name leads inside here unless a test says otherwise.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from yarl import URL

from bitrix24.client import Client
from bitrix24.credentials import Webhook
from bitrix24.errors import NotSent
from bitrix24.hosts import is_oauth_host, is_public, new_endpoint
from bitrix24.portal import InvalidPortal, Portal, parse_portal
from bitrix24.resolver import PublicResolver
from bitrix24.secret import Secret
from bitrix24.transport import Call, Lost, Transport
from tests.integration.bitrix24.raw_portal import a_pay
from tests.integration.bitrix24.url_tricks import INSIDE_4, INSIDE_6, tricks

OUTSIDE = "8.8.8.8"
CLOUD = "acme.bitrix24.com"
CODE = "canarycanary9secret"


class Net:
    """What the process has looked up and connected to; nothing really leaves."""

    def __init__(self) -> None:
        self.connects: list[str] = []
        self.lookups: list[str] = []
        self.answers: dict[str, list[Sequence[str]]] = {}
        self._inside = itertools.cycle(["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "64:ff9b::7f00:1"])

    async def sock_connect(self, _: socket.socket, address: tuple[Any, ...]) -> None:
        """In the place of the loop's."""
        self.connects.append(address[0])
        raise ConnectionRefusedError

    async def getaddrinfo(self, host: str, port: int, **_: object) -> list[Any]:
        """In the place of the loop's: numbers in any notation are themselves, as the C library has them."""
        self.lookups.append(host)
        with contextlib.suppress(OSError, UnicodeError):
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        script = self.answers.get(host, [])
        found = (script.pop(0) if len(script) > 1 else script[0]) if script else [next(self._inside)]
        return [entry for text in found for entry in socket.getaddrinfo(text, port, type=socket.SOCK_STREAM)]


@pytest.fixture
async def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    """The loop of this test, without a network."""
    made, loop = Net(), asyncio.get_running_loop()
    monkeypatch.setattr(loop, "sock_connect", made.sock_connect)
    monkeypatch.setattr(loop, "getaddrinfo", made.getaddrinfo)
    return made


def a_portal(endpoint: str) -> Portal:
    """A portal as if it had been stored so: nobody has looked at its address."""
    return Portal(key="inside", endpoint=endpoint, credential=Webhook(1, Secret(CODE)))


async def paid(client: Client, portal: Portal) -> str:
    """Try to pay; the reason why it was not sent."""
    with pytest.raises(NotSent) as caught:
        await client.pay(portal, [a_pay()])
    return str(caught.value)


async def test_the_net_sees_connections(net: Net):
    """The control: where insecure portals are allowed, and for public addresses, connections are made and counted."""
    async with Client(http_total_s=5, allow_insecure=True) as client:
        await paid(client, a_portal("https://127.0.0.1/rest/"))
        await paid(client, a_portal("https://somewhere.example/rest/"))
    net.answers[CLOUD] = [[OUTSIDE]]
    async with Client(http_total_s=5) as client:
        await paid(client, a_portal(f"https://{CLOUD}/rest/"))
        await paid(client, a_portal("https://[2001:4860:4860::8888]/rest/"))
    assert net.connects == ["127.0.0.1", "127.0.0.1", OUTSIDE, "2001:4860:4860::8888"]


async def test_no_trick_leads_inside(net: Net):
    """Several hundred addresses at four doors: a description, a stored record, a bare call and a redirect."""
    given = tricks()
    assert len(given) >= 200
    old = f"https://{CLOUD}/rest/"
    async with Client(http_total_s=5) as client, Transport(http_total_s=5, allow_insecure=False, connections=9) as bare:
        for trick in given:
            with contextlib.suppress(InvalidPortal):
                await paid(client, parse_portal("x", {"webhook": f"{trick}rest/1/{CODE}/"}))
            with contextlib.suppress(ValueError):
                await paid(client, a_portal(f"{trick}rest/"))
            for encoded in (False, True):
                with contextlib.suppress(ValueError):
                    call = Call(portal="x", url=URL(f"{trick}rest/", encoded=encoded), body=b"{}")
                    came = await bare.send(call)
                    assert isinstance(came, Lost), trick
                    assert not came.left, trick
            moved = new_endpoint(old, f"{trick}rest/1/{CODE}/", allow_insecure=False)
            assert moved is None or moved == f"https://{CLOUD}/rest/", trick
            with contextlib.suppress(ValueError):
                assert not is_oauth_host(URL(trick), allow_insecure=False), trick
            assert net.connects == [], trick


async def test_a_name_is_judged_by_all_its_addresses(net: Net):
    """Of several addresses only public ones are tried."""
    net.answers[CLOUD] = [["127.0.0.1", OUTSIDE, "10.0.0.1", "::1", "64:ff9b::a00:1", "2002:7f00:1::"]]
    async with Client(http_total_s=5) as client:
        await paid(client, a_portal(f"https://{CLOUD}/rest/"))
    assert net.connects == [OUTSIDE]


async def test_a_name_that_turns_inside_is_refused_then(net: Net):
    """A second lookup is judged like the first; no connection is made to an address that was not looked at."""
    net.answers[CLOUD] = [[OUTSIDE], ["127.0.0.1"]]
    for _ in range(3):
        async with Client(http_total_s=5) as client:
            told = await paid(client, a_portal(f"https://{CLOUD}/rest/"))
    assert "leads to a private address" in told
    assert net.connects == [OUTSIDE]
    assert net.lookups == [CLOUD] * 3


async def test_the_last_look_is_at_the_connection(net: Net, monkeypatch: pytest.MonkeyPatch):
    """Should a lookup be believed that must not be, the connection is refused all the same."""

    async def lying(_: PublicResolver, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        each = {"hostname": host, "port": port, "proto": 0, "flags": 0}
        return [
            {**each, "host": "127.0.0.1", "family": socket.AF_INET},
            {**each, "host": "::ffff:127.0.0.1", "family": socket.AF_INET6},
        ]

    monkeypatch.setattr(PublicResolver, "resolve", lying)
    async with Client(http_total_s=5) as client:
        told = await paid(client, a_portal(f"https://{CLOUD}/rest/"))
    assert "leads to a private address" in told
    assert net.connects == []


@pytest.mark.parametrize("host", [*INSIDE_4, *INSIDE_6, "64:ff9b::10.0.0.1", "2002:7f00:1::", "::127.0.0.1", "0x7f.1"])
def test_inside_hosts(host: str):
    """Every range that is not for the public, in IPv6 also where it only carries an IPv4 address."""
    assert not is_public(host)


@pytest.mark.parametrize(
    "host", [OUTSIDE, "2001:4860:4860::8888", "[2a00:1450::1]", "64:ff9b::808:808", "::ffff:8.8.8.8", "crm.1c.example"]
)
def test_public_hosts(host: str):
    """A network that has IPv6 alone reaches the public through NAT64."""
    assert is_public(host)
