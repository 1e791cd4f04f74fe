"""Faults of the token server: what the client sees, and whether the pair was rotated behind its back."""

import asyncio
from typing import Any

import aiohttp
import pytest

from emulator import Handle
from tests.emulator.application import install
from tests.emulator.portal_caller import Caller
from tests.eventually import eventually


@pytest.mark.parametrize(("place", "repeat"), [("before", 200), ("after", 400)])
@pytest.mark.parametrize("kind", ["reset", "close", "cut_body"])
async def test_a_reply_can_be_lost_before_or_after_the_rotation(
    *, portal: Caller, handle: Handle, kind: str, place: str, repeat: int
) -> None:
    """A broken connection may stand for a token that is still good or for one that is spent."""
    client = await install(handle, portal)
    await handle.add_fault(kind, method="oauth.token", place=place, count=1)
    with pytest.raises(aiohttp.ClientError):
        await client.refresh()
    assert (await handle.token_counters()).refreshed == (place == "after")
    assert (await client.refresh()).status == repeat
    first, _ = await handle.token_requests()
    assert first.fault == f"{kind}/{place}"
    assert (await handle.token_counters()).faults == 1


async def test_a_lost_reply_is_made_good_within_the_grace(portal: Caller, handle: Handle) -> None:
    """The retry gets the pair that was lost."""
    client = await install(handle, portal, rotation="grace")
    await handle.add_fault("reset", method="oauth.token", place="after", count=1)
    with pytest.raises(aiohttp.ClientError):
        await client.refresh()
    assert (await client.refresh()).status == 200
    assert client.credential == await handle.newest_credential(portal.authority)


@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_server_can_hang_while_it_rotates(portal: Caller, handle: Handle, place: str) -> None:
    """The client gives up; the rotation is done anyway, at once or in the end."""
    client = await install(handle, portal)
    await handle.add_fault("hang", method="oauth.token", place=place, seconds=0.4, count=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.refresh(), 0.2)
    assert (await handle.token_counters()).refreshed == (place == "after")

    async def rotated() -> bool:
        counters = await handle.token_counters()
        return counters.refreshed == 1 and counters.client_gone == 1

    await eventually(rotated)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "rule", "status", "start"),
    [
        ("empty", {}, 200, ""),
        ("truncated", {}, 200, "{"),
        ("wrong_type", {}, 200, "{"),
        ("list", {}, 200, "["),
        ("502_html", {}, 502, "<html>"),
        ("503_html", {}, 503, "<html>"),
        ("reply", {"status": 200, "body": "null", "content_type": "application/json"}, 200, "null"),
        ("error", {"code": "invalid_grant", "status": 401}, 401, '{"error":"invalid_grant"'),
    ],
)
async def test_a_server_can_talk_rubbish(
    *, portal: Caller, handle: Handle, kind: str, rule: dict[str, Any], status: int, start: str, place: str
) -> None:
    """Every reply that a portal can spoil the token server can spoil too."""
    client = await install(handle, portal)
    await handle.add_fault(kind, method="oauth.token", place=place, **rule)
    answered = await client.ask()
    assert (answered.status, answered.text[: len(start)]) == (status, start)
    assert (await handle.token_counters()).refreshed == (place == "after")


async def test_the_rotation_may_come_after_the_answer(portal: Caller, handle: Handle) -> None:
    """A 504 goes out at once and the token is spent a moment later."""
    client = await install(handle, portal)
    await handle.add_fault("504_html", method="oauth.*", place="during", late_s=0.1)
    assert (await client.ask()).status == 504

    async def rotated() -> bool:
        return (await handle.token_counters()).refreshed == 1

    await eventually(rotated)


async def test_portals_and_the_token_server_are_struck_apart(portal: Caller, handle: Handle) -> None:
    """A rule for all requests of portals leaves refreshes alone, and the other way round."""
    client = await install(handle, portal)
    await handle.add_fault("502_html")
    assert (await client.refresh()).status == 200
    assert (await client.call()).status == 502
    await handle.clear_faults()
    await handle.add_fault("502_html", method="oauth.token", portal=portal.authority)
    assert (await client.refresh()).status == 502
    assert (await client.call()).status == 200
