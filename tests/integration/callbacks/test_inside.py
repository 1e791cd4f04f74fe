"""A producer names an address: whatever it is, nothing inside is connected to."""

import contextlib
import itertools
import socket
from collections.abc import Callable
from typing import Any

import pytest

from callbacks.schedule import Silence
from callbacks.sending import Names, Sender
from config.callbacks import BadCallback, CallbackRules, read_callback
from ledger.payment import Destination
from tests.integration.bitrix24.test_inside_addresses import OUTSIDE, Net, net
from tests.integration.bitrix24.url_tricks import tricks

__all__ = ["net"]

SHOP = "shop.example"
INSIDE = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "localhost", "0x7f.1", "metadata.google.internal")
RULES = CallbackRules((SHOP, "*.shops.example", *INSIDE), allow_insecure=False)
LEADING_INSIDE = itertools.cycle(["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "64:ff9b::7f00:1"])


def a_lookup(*answers: str) -> Callable[..., list[Any]]:
    """A name server: the answers in turn, the last one for ever; without any, everything leads inside."""
    script = list(answers)

    def lookup(host: str, port: int, *_: Any) -> list[Any]:
        with contextlib.suppress(OSError, UnicodeError):  # numbers in any notation are themselves
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        text = next(LEADING_INSIDE) if not script else script.pop(0) if len(script) > 1 else script[0]
        return socket.getaddrinfo(text, port, type=socket.SOCK_STREAM)

    return lookup


async def told(sender: Sender, host: str, url: str) -> str:
    """Why it was not told."""
    came = await sender.post(Destination(host, url), "{}", {})
    assert isinstance(came, Silence)
    return came.reason


async def test_public_hosts_are_connected_to(net: Net):
    """The control: where nothing is inside, a connection is made and counted."""
    async with Sender(RULES, lookup=a_lookup(OUTSIDE)) as sender:
        assert "unreachable" in await told(sender, SHOP, f"https://{SHOP}/told")
    assert net.connects == [OUTSIDE]


async def test_a_name_that_leads_inside_is_not_connected_to(net: Net):
    """Also where the operator has allowed the name, or the address itself by mistake."""
    async with Sender(RULES, lookup=a_lookup()) as sender:
        for host in (SHOP, "deep.shops.example", *INSIDE):
            address = f"[{host}]" if ":" in host else host
            await told(sender, host, f"https://{address}/")
            await told(sender, host, f"https://{address}:8443/told?a=b")
    assert net.connects == []


async def test_a_name_that_turns_inside_later_is_refused_then(net: Net):
    """DNS rebinding: every attempt looks anew, and connects to what it has looked at."""
    async with Sender(RULES, lookup=a_lookup(OUTSIDE, "127.0.0.1")) as sender:
        for _ in range(3):
            reason = await told(sender, SHOP, f"https://{SHOP}/told")
    assert reason == "the host leads to a private address"
    assert net.connects == [OUTSIDE]


async def test_the_last_look_is_at_the_connection(net: Net, monkeypatch: pytest.MonkeyPatch):
    """Should a lookup be believed that must not be, the connection is refused all the same."""

    async def lying(_: Names, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr(Names, "resolve", lying)
    async with Sender(RULES) as sender:
        assert await told(sender, SHOP, f"https://{SHOP}/") == "the host leads to a private address"
    assert net.connects == []


async def test_what_was_accepted_elsewhere_is_looked_at_again(net: Net):
    """A record that was edited, or the settings of another process: nothing leaves that is not allowed here."""
    async with Sender(RULES, lookup=a_lookup(OUTSIDE)) as sender:
        assert "not allowed" in await told(sender, "evil.example", "https://evil.example/")
        assert "another host" in await told(sender, "deep.shops.example", f"https://{SHOP}/")
        assert "not https" in await told(sender, SHOP, f"http://{SHOP}/")
    async with Sender(CallbackRules((), allow_insecure=False), lookup=a_lookup(OUTSIDE)) as sender:
        assert "no host is allowed" in await told(sender, SHOP, f"https://{SHOP}/")
    assert net.connects == []


@pytest.mark.parametrize("end", ["", "told"])
def test_no_trick_is_accepted(end: str):
    """The list that portals' addresses are tried with: none is an allowed host."""
    given = tricks()
    assert len(given) >= 200
    rules = CallbackRules((SHOP, "*.shops.example"), allow_insecure=True)
    for trick in given:
        with pytest.raises(BadCallback):
            read_callback(f"{trick}{end}", rules)
