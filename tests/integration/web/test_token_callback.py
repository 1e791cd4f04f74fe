"""Payments that a token with a callback hands in are told to its address, unless they name another."""

import json
from typing import Any

import pytest

from access.roles import Role
from access.tokens import Tokens
from config.connections import async_redis_client
from ledger.callbacks import CallbackState
from tests.canaries import SEARCH
from tests.house import EmulatedPortal, open_ledger, wait_for
from tests.integration.web.api_house import PAYMENTS, a_payment, lines, streamed
from tests.integration.web.conftest import Place, Street, Web, refused

ADDRESS, OWN = "https://shop.example/told?key=of-the-receiver", "https://own.example/told"
HOSTS = "shop.example,own.example"


@pytest.fixture(scope="module")
def shop(house: Any, street: Street) -> tuple[Web, dict[str, str]]:
    """A web process that may tell both hosts, and the headers of a token with a callback."""
    web = street.start("telling", B24PAY_CALLBACK_HOSTS=HOSTS)
    done = Place(house, web).command(
        *("token", "create", "shop", "--role", "producer", "--callback", ADDRESS, "--json"),
        B24PAY_CALLBACK_HOSTS=HOSTS,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["callback"] == "https://shop.example/told?***"
    SEARCH.plant("bearer token", told["token"].split("_")[2])
    return web, {"Authorization": f"Bearer {told['token']}"}


def told_of(portal: EmulatedPortal, *ids: str) -> dict[str, list[str]]:
    """Who is to be told of each payment's end, once it has one."""

    async def withdrawn() -> dict[str, list[str]]:
        async with open_ledger(portal.house.server.url) as (ledger, _):
            for each in ids:
                await ledger.cancel(each)
            page = await ledger.callbacks.page(CallbackState.PENDING)
            return {name: [each.to.url for each in page.callbacks if each.handle == name] for name in ids}

    done: dict[str, list[str]] = wait_for(withdrawn())
    return done


def test_every_door_tells_the_tokens_address(portal: EmulatedPortal, shop: tuple[Web, dict[str, str]]):
    """One payment, an array and a stream; a payment's own callback counts before it."""
    web, headers = shop
    single = web.ask("POST", PAYMENTS, json=a_payment(portal, 1), headers=headers).body["id"]
    array = [a_payment(portal, 2), a_payment(portal, 3, callback=OWN)]
    [two, three] = [each["id"] for each in web.ask("POST", PAYMENTS, json=array, headers=headers).body["results"]]
    _, [four, five, _] = streamed(web, lines([a_payment(portal, 4), a_payment(portal, 5, callback=OWN)]), headers)
    assert told_of(portal, single, two, three, four["id"], five["id"]) == {
        single: [ADDRESS],
        two: [ADDRESS],
        three: [OWN],
        four["id"]: [ADDRESS],
        five["id"]: [OWN],
    }


def test_the_same_request_again_is_told_once(portal: EmulatedPortal, shop: tuple[Web, dict[str, str]]):
    """A retry after a lost answer joins the payment and its callback."""
    web, headers = shop
    keyed = {**headers, "Idempotency-Key": "order-1"}
    first, again = [web.ask("POST", PAYMENTS, json=a_payment(portal, 1), headers=keyed) for _ in range(2)]
    assert (first.status, again.status) == (202, 202)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert told_of(portal, first.body["id"]) == {first.body["id"]: [ADDRESS]}


def test_a_host_that_is_not_allowed_any_more_is_a_refusal(
    portal: EmulatedPortal, shop: tuple[Web, dict[str, str]], street: Street
):
    """Accepting what nobody would be told of breaks the token's promise; a payment with its own callback goes on."""
    _, headers = shop
    strict = street.start("strict", B24PAY_CALLBACK_HOSTS="own.example")
    answer = strict.ask("POST", PAYMENTS, json=a_payment(portal, 1), headers=headers)
    refused(answer, 422, "invalid")
    assert "shop.example, which is not allowed" in answer.body["detail"]
    assert "of-the-receiver" not in json.dumps(answer.body)
    _, [line, end] = streamed(strict, lines([a_payment(portal, 1)]), headers)
    assert (line["error"]["status"], end["refused"]) == (422, 1)
    own = strict.ask("POST", PAYMENTS, json=a_payment(portal, 1, callback=OWN), headers=headers)
    assert own.status == 202


def test_only_allowed_hosts_and_only_for_who_hands_in(place: Place):
    """Refused before a token is made, with the setting in the text."""
    words = ("token", "create", "other", "--callback", "https://elsewhere.example/", "--role")
    done = place.command(*words, "producer", B24PAY_CALLBACK_HOSTS=HOSTS)
    assert (done.returncode, done.stdout) == (2, "")
    assert "B24PAY_CALLBACK_HOSTS" in done.stderr
    assert place.command(*words, "viewer", B24PAY_CALLBACK_HOSTS="elsewhere.example").returncode == 2


def test_a_process_that_does_not_know_callbacks_of_tokens_refuses_them(place: Place):
    """Its form is newer than theirs: they would accept payments and tell nobody."""

    async def made() -> tuple[dict[str, Any], dict[str, Any]]:
        async with async_redis_client(place.house.server.url, max_connections=1, decode_responses=False) as redis:
            tokens = Tokens(redis)
            await tokens.create("plain", Role.PRODUCER)
            await tokens.create("telling", Role.PRODUCER, callback=OWN)
            rows = [json.loads(row) for row in (await redis.hgetall("b24pay:{0}:tokens")).values()]
            return tuple({row["name"]: row for row in rows}[name] for name in ("plain", "telling"))  # type: ignore[return-value]

    plain, telling = wait_for(made())
    assert (plain["v"], "callback" in plain) == (1, False)
    assert (telling["v"], telling["callback"]) == (2, OWN)
