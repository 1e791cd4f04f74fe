"""What a portal makes of access tokens: carriers, its memory of the token server, moods, a new address."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator import Handle, RunningEmulator
from tests.emulator.application import install
from tests.emulator.portal_caller import INVOICE, Caller


async def test_a_payment_by_token_is_the_users(portal: Caller, handle: Handle) -> None:
    """The invoice is paid by the user who installed the application; the journal names the pair that was used."""
    client = await install(handle, portal, user=42)
    await client.refresh()
    assert (await client.call(INVOICE, INVOICE_ID=3, PAY_SYSTEM_ID=1)).json["result"] is True
    record = await handle.record(portal.authority, 3)
    assert record is not None
    assert record.paid_by == 42
    (entry,) = await handle.requests()
    assert (entry.user, entry.pair) == (42, 2)


@pytest.mark.parametrize(
    ("options", "carriers"),
    [
        ({"headers": {"Authorization": "Bearer TOKEN"}}, ("header",)),
        ({"json": {"auth": "TOKEN"}}, ("body",)),
        ({"data": {"access_token": "TOKEN"}}, ("body",)),
        ({"params": {"auth": "TOKEN"}}, ("url",)),
        ({"params": {"access_token": "TOKEN"}, "headers": {"Authorization": "Bearer TOKEN"}}, ("header", "url")),
        ({"params": {"auth": "TOKEN"}, "json": {"auth": "TOKEN"}}, ("body", "url")),
    ],
)
async def test_the_journal_tells_where_a_token_came_in(
    portal: Caller, handle: Handle, options: Any, carriers: tuple[str, ...]
) -> None:
    """Every carrier is accepted; one in the address is counted, so a test can prove there was none."""
    client = await install(handle, portal)

    def with_token(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_token(item) for key, item in value.items()}
        return value.replace("TOKEN", client.credential["access_token"])

    assert (await portal.send("/rest/profile", **with_token(options))).status == 200
    (entry,) = await handle.requests()
    assert entry.carriers == carriers
    assert (await handle.counters(portal.authority)).tokens_in_url == ("url" in carriers)


async def test_webhooks_come_in_the_path(portal: Caller, handle: Handle) -> None:
    """A webhook is no token in the address."""
    await portal.call("profile")
    (entry,) = await handle.requests()
    assert (entry.carriers, (await handle.counters()).tokens_in_url) == (("path",), 0)


async def test_a_portal_remembers_tokens_until_they_expire(portal: Caller, handle: Handle) -> None:
    """A token it has seen is good after a refresh; one it has not seen, or that it must ask about anew, is not."""
    client = await install(handle, portal)
    seen = client.credential["access_token"]
    assert await client.outcome() == "ok"
    await client.refresh()
    unseen = client.credential["access_token"]
    await client.refresh()
    assert await client.outcome(access=seen) == "ok"
    assert await client.outcome(access=unseen) == "invalid_token"
    await handle.advance_tokens(3600)
    assert await client.outcome(access=seen) == "invalid_token"


async def test_a_portal_without_memory_refuses_a_rotated_token_at_once(portal: Caller, handle: Handle) -> None:
    """The other reading of the protocol: the old access token dies with its refresh token."""
    client = await install(handle, portal, token_cache_s=0)
    seen = client.credential["access_token"]
    assert await client.outcome() == "ok"
    await client.refresh()
    assert (await client.call(access=seen)).error == (401, "invalid_token", "Unable to get application by token")


async def test_a_portal_that_cannot_reach_the_server_knows_what_it_remembers(
    portal: Caller, handle: Handle, tell: Callable[..., None]
) -> None:
    """CONNECTION_ERROR is for tokens it would have to ask about."""
    client = await install(handle, portal)
    seen = client.credential["access_token"]
    assert await client.outcome() == "ok"
    await client.refresh()
    tell(oauth_unreachable=True)
    assert await client.outcome(access=seen) == "ok"
    assert await client.outcome() == "CONNECTION_ERROR"
    tell(oauth_unreachable=False)
    assert await client.outcome() == "ok"


@pytest.mark.parametrize(
    ("oauth", "status", "code", "refreshed"),
    [
        ({"failure": "PAYMENT_REQUIRED"}, 401, "PAYMENT_REQUIRED", 200),
        ({"failure": "NOT_INSTALLED"}, 401, "NOT_INSTALLED", 200),
        ({"failure": "ERROR_OAUTH"}, 401, "ERROR_OAUTH", 200),
        ({"failure": "invalid_token"}, 401, "invalid_token", 200),
        ({"installed": False}, 401, "APPLICATION_NOT_FOUND", 401),
        ({"dismissed": True}, 401, "authorization_error", 200),
        ({"app_access": False}, 401, "user_access_error", 200),
        ({"scopes": ["crm"]}, 401, "insufficient_scope", 200),
        ({"can_pay": False}, 403, "ACCESS_DENIED", 200),
    ],
)
async def test_moods_of_the_application_come_and_go(
    *, portal: Caller, handle: Handle, oauth: dict[str, object], status: int, code: str, refreshed: int
) -> None:
    """Each shows at once, on a token that was good a moment ago; a refresh mends none of them."""
    client = await install(handle, portal)
    assert (await client.call(INVOICE, INVOICE_ID=3, PAY_SYSTEM_ID=1)).status == 200
    before = (await handle.settings(portal.authority))["oauth"]
    assert isinstance(before, dict)
    await handle.oauth(portal.authority, **oauth)
    assert (await client.call(INVOICE, INVOICE_ID=4, PAY_SYSTEM_ID=1)).error[:2] == (status, code)
    assert (await client.refresh()).status == refreshed
    assert (await client.call(INVOICE, INVOICE_ID=4, PAY_SYSTEM_ID=1)).error[:2] == (status, code)
    await handle.oauth(portal.authority, **{name: before[name] for name in oauth})
    assert (await client.call(INVOICE, INVOICE_ID=4, PAY_SYSTEM_ID=1)).status == 200


async def test_checks_of_a_token_follow_the_portals_order(portal: Caller, handle: Handle) -> None:
    """Taking away the first obstacle shows the next one."""
    client = await install(handle, portal, scopes=["crm"], dismissed=True, app_access=False, installed=False)
    await handle.oauth(portal.authority, failure="PAYMENT_REQUIRED")
    await handle.expire(portal.authority)
    await handle.patch(portal.authority, overload_hold=True, plan_blocked=True)

    async def outcome() -> tuple[int, str]:
        answered = await client.call(INVOICE, INVOICE_ID=3, PAY_SYSTEM_ID=1)
        return answered.status, answered.json.get("error", "ok")

    assert await outcome() == (401, "PAYMENT_REQUIRED")
    await handle.oauth(portal.authority, failure=None)
    assert await outcome() == (401, "OVERLOAD_LIMIT")
    await handle.patch(portal.authority, overload_hold=False)
    assert await outcome() == (401, "ACCESS_DENIED")
    await handle.patch(portal.authority, plan_blocked=False)
    assert await outcome() == (401, "APPLICATION_NOT_FOUND")
    await handle.oauth(portal.authority, installed=True)
    assert await outcome() == (401, "expired_token")
    assert (await client.refresh()).status == 200
    assert await outcome() == (401, "insufficient_scope")
    await handle.oauth(portal.authority, scopes=["pay_system"])
    assert await outcome() == (401, "authorization_error")
    await handle.oauth(portal.authority, dismissed=False)
    assert await outcome() == (401, "user_access_error")
    await handle.oauth(portal.authority, app_access=True)
    assert await outcome() == (200, "ok")


async def test_health_methods_speak_of_the_application(portal: Caller, handle: Handle) -> None:
    """scope, profile and app.info tell what a check of a credential wants to know."""
    client = await install(handle, portal, client_id="local.mine", user=8, can_configure=False, scopes=["crm"])
    assert (await client.call("scope")).json["result"] == ["crm"]
    profile = (await client.call("profile")).json["result"]
    assert (profile["ID"], profile["ADMIN"]) == ("8", False)
    info = (await client.call("app.info")).json["result"]
    assert (info["CODE"], info["INSTALLED"], info["PAYMENT_EXPIRED"]) == ("local.mine", True, "N")


async def test_a_token_is_good_on_its_own_portal_only(
    emulator: RunningEmulator, portal: Caller, handle: Handle
) -> None:
    """Another portal of the farm does not know it."""
    client = await install(handle, portal)
    client.credential["endpoint"] = f"http://{emulator.loopback(5)}/rest/"
    assert await client.outcome() == "invalid_token"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_renamed_portal_takes_everything_along(
    emulator: RunningEmulator, portal: Caller, handle: Handle, status: int
) -> None:
    """The old address redirects and executes nothing; tokens, webhooks and payments are known at the new one."""
    client, old, new = await install(handle, portal), portal.authority, emulator.loopback(6)
    await client.call(INVOICE, INVOICE_ID=3, PAY_SYSTEM_ID=1)
    await handle.rename(old, new, status=status)
    answered = await client.call(INVOICE, INVOICE_ID=4, PAY_SYSTEM_ID=1)
    assert (answered.status, answered.headers["Location"]) == (status, f"http://{new}/rest/{INVOICE}")
    client.credential["endpoint"] = f"http://{new}/rest/"
    assert (await client.call(INVOICE, INVOICE_ID=4, PAY_SYSTEM_ID=1)).status == 200
    assert (await handle.effects(new)).counts == {3: 1, 4: 1}
    assert (await handle.effects(old)).counts == {}
    reply = (await client.refresh()).json
    assert reply["client_endpoint"] == f"http://{new}/rest/"
    assert (await Caller(portal.session, new).call("profile")).status == 200


async def test_a_rename_keeps_the_member_id(emulator: RunningEmulator, portal: Caller, handle: Handle) -> None:
    """It is what a store of portals can go by."""
    client, new = await install(handle, portal), emulator.loopback(6)
    before = (await client.refresh()).json["member_id"]
    await handle.rename(portal.authority, new)
    # The old address is another portal now, but the token server of the farm is still reached through it.
    assert (await client.refresh()).json["member_id"] == before


@pytest.mark.parametrize(
    ("redirect", "location"), [("/auth/", "/auth/"), ("", None), ("http://login.example/x", "http://login.example/x")]
)
async def test_other_redirects_lead_elsewhere(
    portal: Caller, tell: Callable[..., None], redirect: str, location: str | None
) -> None:
    """A path of the same host, nowhere at all, a foreign place: none of them is a rename."""
    tell(redirect=redirect)
    answered = await portal.call("profile")
    assert (answered.status, answered.headers.get("Location")) == (302, location)
