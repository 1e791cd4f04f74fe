"""Events of the application: what a portal posts when it is installed or removed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from emulator import Handle
from emulator.handle import AdminError
from tests.emulator.application import Client
from tests.emulator.portal_caller import Caller


@asynccontextmanager
async def receiver(status: int = 200) -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """A door for events on a free port: its address and the forms it was sent."""
    forms: list[dict[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        assert request.content_type == "application/x-www-form-urlencoded"
        forms.append({name: str(value) for name, value in (await request.post()).items()})
        return web.Response(status=status, text="taken")

    application = web.Application()
    application.router.add_post("/install", take)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/install", forms
    finally:
        await runner.cleanup()


async def test_an_installation_tells_a_working_credential(portal: Caller, handle: Handle) -> None:
    """The form carries tokens, addresses and the application token; all of them are good."""
    await handle.oauth(portal.authority, application_token="app-token", scopes=["crm", "pay_system"])
    async with receiver() as (url, forms):
        sent = await handle.send_event(portal.authority, url)
    (form,) = forms
    assert (sent.status, sent.body) == (200, "taken")
    assert sent.credential is not None
    assert (form["event"], form["auth[application_token]"]) == ("ONAPPINSTALL", "app-token")
    assert form["auth[access_token]"] == sent.credential["access_token"]
    assert form["auth[refresh_token]"] == sent.credential["refresh_token"]
    assert form["auth[client_endpoint]"] == f"http://{portal.authority}/rest/"
    assert form["auth[server_endpoint]"] == f"http://{portal.authority}/rest/"
    assert (form["auth[domain]"], form["auth[expires_in]"]) == (portal.authority, "3600")
    assert form["auth[scope]"] == "crm,pay_system"
    client = Client(portal.session, sent.credential)
    assert await client.outcome() == "ok"
    assert (await client.refresh()).json["member_id"] == form["auth[member_id]"]


async def test_fields_of_an_event_can_be_falsified(portal: Caller, handle: Handle) -> None:
    """A wrong application token, a missing field: what a door must refuse."""
    async with receiver(403) as (url, forms):
        fields = {"auth[application_token]": "guess", "auth[refresh_token]": None}
        sent = await handle.send_event(portal.authority, url, fields=fields)
    assert sent.status == 403
    assert forms[0]["auth[application_token]"] == "guess"
    assert "auth[refresh_token]" not in forms[0]


async def test_a_removal_tells_no_tokens(portal: Caller, handle: Handle) -> None:
    """ONAPPUNINSTALL names the portal and the application token only."""
    async with receiver() as (url, forms):
        sent = await handle.send_event(portal.authority, url, event="OnAppUninstall")
    assert sent.credential is None
    assert forms[0]["event"] == "ONAPPUNINSTALL"
    assert not {"auth[access_token]", "auth[refresh_token]"} & set(forms[0])
    assert (await handle.token_counters()).granted == 0


@pytest.mark.parametrize(
    "to", ["http://example.com/", "https://127.0.0.1/", "ftp://127.0.0.1/", "127.0.0.1:80", "", "http://127.0.0.1:1/"]
)
async def test_events_stay_on_this_machine(portal: Caller, handle: Handle, to: str) -> None:
    """Only a listening http address on loopback is sent anything."""
    with pytest.raises(AdminError, match="to: "):
        await handle.send_event(portal.authority, to)
