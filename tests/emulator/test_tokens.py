"""The token server: chains, rotation, lifetimes on a clock of their own, refusals, counters."""

import asyncio
import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from emulator import Handle, RunningEmulator
from emulator.handle import AdminError
from tests.emulator.application import Client, install
from tests.emulator.portal_caller import Caller

DAY_S = 86400


async def test_a_credential_is_what_portal_add_reads(portal: Caller, handle: Handle) -> None:
    """Six names; endpoint and token address are those of the portal unless another server is set."""
    credential = await handle.credential(portal.authority)
    assert set(credential) == {"client_id", "client_secret", "access_token", "refresh_token", "endpoint", "oauth_url"}
    assert credential["endpoint"] == f"http://{portal.authority}/rest/"
    assert credential["oauth_url"] == f"http://{portal.authority}/oauth/token/"
    named = await handle.credential(portal.authority, server="oauth.example", secure=True)
    assert named["oauth_url"] == "https://oauth.example/oauth/token/"
    assert await handle.newest_credential(portal.authority) == named
    assert len(credential["access_token"]) == 70


async def test_the_emulator_in_this_process_gives_credentials_too(
    emulator: RunningEmulator, portal: Caller, handle: Handle
) -> None:
    """Each call begins a chain; chains live beside each other."""
    first, second = (Client(portal.session, emulator.credential()) for _ in range(2))
    await first.refresh()
    assert [await client.outcome() for client in (first, second)] == ["ok", "ok"]
    assert (await handle.token_counters()).granted == 2


@pytest.mark.parametrize("http_method", ["POST", "GET"])
async def test_a_refresh_answers_the_full_reply(portal: Caller, handle: Handle, http_method: str) -> None:
    """POST and GET do the same; the journal tells which of them carried secrets in its address."""
    client = await install(handle, portal, user=7)
    answered = await client.ask(http_method)
    reply = answered.json
    assert answered.status == 200
    assert set(reply) == {
        "access_token",
        "expires",
        "expires_in",
        "scope",
        "domain",
        "server_endpoint",
        "status",
        "client_endpoint",
        "member_id",
        "user_id",
        "refresh_token",
    }
    assert reply["expires_in"] == 3600
    assert reply["client_endpoint"] == client.credential["endpoint"]
    assert reply["user_id"] == 7
    assert (await client.call(access=reply["access_token"])).json["result"]["ID"] == "7"
    (entry,) = await handle.token_requests(portal=portal.authority)
    assert entry.carriers == (("body",) if http_method == "POST" else ("url",))
    assert (entry.grant, entry.pair, entry.issued, entry.status) == ("refresh_token", 1, 2, 200)
    assert (await handle.token_counters()).secrets_in_url == (http_method == "GET")


async def test_a_refresh_token_is_good_once(portal: Caller, handle: Handle) -> None:
    """The chain goes on with the new token; the used one is refused and takes nothing with it."""
    client = await install(handle, portal)
    for _ in range(3):
        assert (await client.refresh()).status == 200
    again = await client.ask(refresh_token=client.used[0])
    assert again.error[:2] == (400, "invalid_grant")
    assert (await client.refresh()).status == 200
    counters = await handle.token_counters(portal.authority)
    assert (counters.requests, counters.refreshed, counters.refused) == (5, 4, 1)
    assert counters.codes == {"invalid_grant": 1}
    assert counters.statuses == {200: 4, 400: 1}


async def test_of_refreshes_at_the_same_time_one_is_first(portal: Caller, handle: Handle) -> None:
    """Eight that send the same token get one pair and seven refusals."""
    client = await install(handle, portal, latency_s=0.05)
    answers = await asyncio.gather(*(client.ask() for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 7
    assert (await handle.token_counters()).refreshed == 1


async def test_within_the_grace_a_used_token_gets_the_same_pair_again(portal: Caller, handle: Handle) -> None:
    """A repeat is no second branch; after the grace it is refused."""
    client = await install(handle, portal, rotation="grace", grace_s=60)
    first, second = (await client.ask()).json, (await client.ask()).json
    assert (first["access_token"], first["refresh_token"]) == (second["access_token"], second["refresh_token"])
    counters = await handle.token_counters()
    assert (counters.refreshed, counters.replayed) == (1, 1)
    await handle.advance_tokens(61)
    assert (await client.ask()).error[1] == "invalid_grant"


async def test_a_server_may_keep_the_refresh_token(portal: Caller, handle: Handle) -> None:
    """Only the access token is new, as often as one asks."""
    client = await install(handle, portal, rotation="fixed")
    replies = [(await client.ask()).json for _ in range(3)]
    assert {reply["refresh_token"] for reply in replies} == {client.credential["refresh_token"]}
    assert len({reply["access_token"] for reply in replies}) == 3
    assert (await handle.token_counters()).refreshed == 3


async def test_tokens_live_by_a_clock_of_their_own(portal: Caller, handle: Handle) -> None:
    """An hour for access and 180 days for refresh pass on the token server; the portal's limits see no time pass."""
    await handle.patch(portal.authority, rate={"burst": 9, "per_s": 1})
    client = await install(handle, portal)
    await handle.advance_tokens(3599)
    assert await client.outcome() == "ok"
    await handle.advance_tokens(1)
    assert (await client.call()).error == (401, "expired_token", "The access token provided has expired")
    assert (await client.refresh()).status == 200
    assert await client.outcome() == "ok"
    await handle.advance_tokens(180 * DAY_S)
    assert (await client.refresh()).error[1] == "invalid_grant"
    await handle.patch(portal.authority, rate={"burst": 3, "per_s": 0})
    assert (await client.call()).error[1] == "QUERY_LIMIT_EXCEEDED"


async def test_lifetimes_can_be_set(portal: Caller, handle: Handle) -> None:
    """Shorter lives are told in the reply; the farm's clock moves tokens too."""
    client = await install(handle, portal, access_s=5, refresh_s=100)
    assert (await client.refresh()).json["expires_in"] == 5
    await handle.advance(5)
    assert await client.outcome() == "expired_token"
    await handle.advance(95)
    assert (await client.refresh()).error[1] == "invalid_grant"


async def test_access_can_be_ended_by_hand(portal: Caller, handle: Handle) -> None:
    """An expiry at once is mended by a refresh, a revocation by nothing."""
    client = await install(handle, portal)
    assert await client.outcome() == "ok"
    assert await handle.expire(portal.authority) == 1
    assert await client.outcome() == "expired_token"
    await client.refresh()
    assert await client.outcome() == "ok"
    assert await handle.revoke(portal.authority) == 2
    assert await client.outcome() == "invalid_token"
    assert (await client.refresh()).error[1] == "invalid_grant"
    what = [change.what for change in await handle.changes(portal=portal.authority)]
    assert what == ["token.granted", "token.expired", "token.refreshed", "token.revoked"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"client_id": "stranger"}, 200, "wrong_client"),
        ({"client_secret": "guess"}, 400, "invalid_client"),
        ({"refresh_token": "guess"}, 400, "invalid_grant"),
        ({"refresh_token": None}, 400, "invalid_request"),
        ({"client_id": None}, 400, "invalid_request"),
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "invalid_request"),
    ],
)
async def test_wrong_requests_are_refused_as_the_server_does(
    *, portal: Caller, handle: Handle, changes: dict[str, str | None], status: int, code: str
) -> None:
    """Each mistake has its code, and the token that was right stays good."""
    client = await install(handle, portal)
    answered = await client.ask(**changes)
    assert (answered.status, answered.json["error"]) == (status, code)
    assert (await client.refresh()).status == 200


async def test_a_wrong_client_is_a_bare_code_on_200_and_a_missing_token_is_named(
    portal: Caller, handle: Handle
) -> None:
    """The two texts that clients are known to look at."""
    client = await install(handle, portal)
    assert (await client.ask(client_id="stranger")).json == {"error": "wrong_client"}
    assert (await client.ask(refresh_token=None)).error[2] == 'No "refresh_token" parameter found'


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("wrong_client", 200),
        ("invalid_client", 400),
        ("invalid_grant", 400),
        ("invalid_request", 400),
        ("bad_verification_code", 400),
        ("invalid_scope", 403),
        ("insufficient_scope", 403),
        ("NOT_INSTALLED", 401),
        ("PAYMENT_REQUIRED", 401),
        ("PORTAL_NOT_FOUND", 404),
        ("something_new", 400),
    ],
)
async def test_every_refusal_can_be_asked_for_and_taken_back(
    portal: Caller, handle: Handle, code: str, status: int
) -> None:
    """The server may be in any mood; the chain is as it was when that has passed."""
    client = await install(handle, portal, refresh_failure=code)
    answered = await client.refresh()
    assert (answered.status, answered.json["error"]) == (status, code)
    await handle.oauth(portal.authority, refresh_failure=None)
    assert (await client.refresh()).status == 200


async def test_disputed_statuses_follow_the_profile(portal: Caller, handle: Handle) -> None:
    """Sources that saw 401 for a spent token are served by the `docs` profile."""
    await handle.patch(portal.authority, status_profile="docs")
    client = await install(handle, portal)
    await client.refresh()
    assert (await client.ask(refresh_token=client.used[0])).error[:2] == (401, "invalid_grant")


async def test_every_token_ever_issued_can_be_listed(portal: Caller, handle: Handle) -> None:
    """A search for leaked secrets needs them all; the journal tells none of them."""
    client = await install(handle, portal)
    first = dict(client.credential)
    await client.refresh()
    await client.call()
    pairs = await handle.issued(portal.authority)
    assert [pair["access_token"] for pair in pairs] == [first["access_token"], client.credential["access_token"]]
    assert [pair["refresh_token"] for pair in pairs] == [first["refresh_token"], client.credential["refresh_token"]]
    told = json.dumps((await portal.send("/_emulator/journal", "GET")).json)
    assert not any(str(pair[name]) in told for pair in pairs for name in ("access_token", "refresh_token"))


async def test_settings_of_the_application_are_checked_and_kept_apart(
    emulator: RunningEmulator, handle: Handle
) -> None:
    """A typo is refused; a portal changes one key and inherits the others from the template."""
    name = emulator.loopback(4)
    with pytest.raises(AdminError, match=r"oauth\.rotation: expected one of one_time, grace, fixed"):
        await handle.oauth(name, rotation="never")
    with pytest.raises(AdminError, match="did you mean 'access_s'"):
        await handle.oauth(name, acces_s=1)
    with pytest.raises(AdminError, match="about one portal"):
        await handle.credential("*")
    await handle.oauth("*", client_id="local.mine", access_s=10)
    await handle.oauth(name, access_s=20)
    settings = (await handle.settings(name))["oauth"]
    assert isinstance(settings, dict)
    assert (settings["client_id"], settings["access_s"]) == ("local.mine", 20)


async def test_forgetting_a_portal_forgets_its_chains(portal: Caller, handle: Handle) -> None:
    """After a reset an old token is unknown."""
    client = await install(handle, portal)
    await handle.reset(portal.authority)
    assert await client.outcome() == "invalid_token"
    assert (await client.ask()).json == {"error": "wrong_client"}
    await handle.reset()
    assert (await handle.token_counters()).requests == 0


async def test_the_token_server_has_one_path(portal: Caller, handle: Handle) -> None:
    """With or without the last slash; others are pages."""
    client = await install(handle, portal)
    parts = urlsplit(client.credential["oauth_url"])
    assert parse_qsl(parts.query) == []
    client.credential["oauth_url"] = client.credential["oauth_url"].rstrip("/")
    assert (await client.refresh()).status == 200
    assert (await portal.send("/oauth/authorize/")).status == 404
