"""Tokens on a real server: made once, kept as a hash, ended at once, of no use where a row cannot be understood."""

import asyncio
import json
from typing import Any

import pytest

from access.gate import CACHE_S, Gate, NotAdmitted, Reason
from access.roles import Principal, Role
from access.tokens import Standing, TokenExists, Tokens, UnknownToken
from tests.bearers import a_token
from tests.canaries import BEARER_SECRET

ROWS = "b24pay:{0}:tokens"


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


async def refusal(gate: Gate, text: str) -> Reason | None:
    """Why a text is not admitted; None where it is."""
    try:
        await gate.admit(text)
    except NotAdmitted as error:
        return error.reason
    return None


async def test_what_is_stored_is_a_hash(redis: Any):
    """Neither the row nor anything that is printed has the token in it."""
    issued = await a_token(redis, "shop", Role.PRODUCER, portals=["globex", "acme", "acme"])
    [row] = (await redis.hgetall(ROWS)).values()
    shown = [row.decode(), repr(issued), repr(issued.token), str(issued), repr(await Tokens(redis).list())]
    assert [BEARER_SECRET in text for text in shown] == [False] * 5
    assert "hash=" not in repr(issued.token)
    [found] = await Tokens(redis).list()
    assert (found.name, found.role, found.portals, found.expires_at) == ("shop", "producer", ("acme", "globex"), None)


async def test_a_token_opens_and_no_other_text_does(redis: Any):
    """Its secret under another id, another secret under its id, and half of it open nothing."""
    tokens, gate = Tokens(redis), Gate(Tokens(redis))
    one = await tokens.create("one", Role.VIEWER)
    other = await tokens.create("other", Role.OPERATOR, portals=["acme"])
    assert (await gate.admit(one.text)).principal == Principal("one", Role.VIEWER, None, one.token.id)
    assert (await gate.admit(other.text)).principal.portals == frozenset({"acme"})
    prefix, token_id, secret = one.text.split("_")
    wrong = [
        f"{prefix}_{other.token.id}_{secret}",
        f"{prefix}_{token_id}_{other.text.split('_')[2]}",
        f"{prefix}_{'0' * 12}_{secret}",
        one.text[:-1],
        one.token.hash,
        f"{prefix}_{token_id}_{one.token.hash}",
        "",
    ]
    assert [await refusal(gate, text) for text in wrong] == [Reason.UNKNOWN] * len(wrong)


async def test_a_revoked_token_is_refused_within_two_seconds(redis: Any):
    """A process believes a row no longer than that, also when it is asked all the time."""
    clock = Clock()
    tokens, gate = Tokens(redis), Gate(Tokens(redis), clock=clock)
    issued = await a_token(redis, "shop", Role.PRODUCER)
    assert await refusal(gate, issued.text) is None
    await tokens.revoke(issued.token.id)
    for _ in range(3):
        clock.now += CACHE_S / 4
        await refusal(gate, issued.text)
    clock.now += CACHE_S / 4
    assert CACHE_S <= 2
    assert await refusal(gate, issued.text) is Reason.REVOKED
    assert await refusal(Gate(tokens), issued.text) is Reason.REVOKED


async def test_a_token_ends_by_the_clock_of_the_server(redis: Any):
    """Also between two looks; whoever has not its secret is not told that it existed."""
    clock = Clock()
    issued = await a_token(redis, "short", Role.VIEWER, lives_s=0.9)
    gate = Gate(Tokens(redis), clock=clock)
    assert await refusal(gate, issued.text) is None
    clock.now += 1.0
    assert await refusal(gate, issued.text) is Reason.EXPIRED
    assert await refusal(gate, issued.text[:-1] + "x") is Reason.UNKNOWN
    now = await Tokens(redis).now()
    assert issued.token.standing(now + 1) is Standing.EXPIRED


async def test_strangers_do_not_make_it_grow(redis: Any):
    """Ids that do not exist are not remembered."""
    gate = Gate(Tokens(redis))
    for number in range(50):
        await refusal(gate, f"b24t_{number:012x}_{BEARER_SECRET}")
    assert len(gate._known) == len(gate._noted) == 0


async def test_what_was_right_before_is_remembered_without_a_look(redis: Any):
    """So an address that is throttled may still use the token that this process knows."""
    gate = Gate(Tokens(redis))
    issued = await a_token(redis, "shop", Role.PRODUCER)
    assert not gate.remembers(issued.text)
    await gate.admit(issued.text)
    assert gate.remembers(issued.text)
    assert not gate.remembers(issued.text[:-1] + "x")
    assert not gate.remembers("")


async def test_a_name_belongs_to_one_token_until_that_is_revoked(redis: Any):
    """Fifty at once: one is made. After it was revoked the name is free again."""
    made = await asyncio.gather(*(a_token(redis, "shop", Role.VIEWER) for _ in range(50)), return_exceptions=True)
    [issued] = [each for each in made if not isinstance(each, Exception)]
    assert all(isinstance(each, TokenExists) for each in made if each is not issued)
    tokens = Tokens(redis)
    assert len(await tokens.list()) == 1
    with pytest.raises(TokenExists):
        await tokens.require_free("shop")
    revoked = await tokens.revoke(issued.token.id)
    assert (await tokens.revoke(issued.token.id)).revoked_at == revoked.revoked_at
    again = await a_token(redis, "shop", Role.OPERATOR)
    assert (await tokens.find("shop")).id == again.token.id
    assert (await tokens.find(issued.token.id)).revoked_at is not None
    with pytest.raises(UnknownToken):
        await tokens.find("nobody")
    with pytest.raises(UnknownToken):
        await tokens.revoke("0" * 12)


async def test_a_row_of_a_newer_version_opens_nothing_here_and_keeps_its_fields(redis: Any):
    """It may limit what this version does not know; revoking it works all the same, and loses none of it."""
    tokens, gate = Tokens(redis), Gate(Tokens(redis), clock=(clock := Clock()))
    issued = await a_token(redis, "shop", Role.OPERATOR)
    row = json.loads(await redis.hget(ROWS, issued.token.id))
    for change in ({"v": 3, "hours": "9-17"}, {"role": "auditor"}):
        await redis.hset(ROWS, issued.token.id, json.dumps({**row, **change}))
        clock.now += CACHE_S
        assert await refusal(gate, issued.text) is Reason.UNREADABLE
        assert not await tokens.any_usable()
    await redis.hset(ROWS, issued.token.id, json.dumps({**row, "v": 3, "hours": "9-17"}))
    await tokens.revoke(issued.token.id)
    assert json.loads(await redis.hget(ROWS, issued.token.id))["hours"] == "9-17"
    await redis.hset(ROWS, "0" * 12, "no JSON")
    assert [each.standing(0) for each in await tokens.list() if each.id == "0" * 12] == [Standing.UNREADABLE]


async def test_the_last_use_is_noted_and_costs_one_write_a_minute(redis: Any):
    """A thousand requests are one write."""
    clock = Clock()
    tokens, gate = Tokens(redis), Gate(Tokens(redis), clock=clock)
    issued = await a_token(redis, "shop", Role.PRODUCER)
    [before] = await tokens.list()
    assert before.used_at is None
    for _ in range(100):
        await gate.admit(issued.text)
    calls = (await redis.info("commandstats"))["cmdstat_hset"]["calls"]
    clock.now += 59
    await gate.admit(issued.text)
    assert (await redis.info("commandstats"))["cmdstat_hset"]["calls"] == calls
    clock.now += 2
    await gate.admit(issued.text)
    assert (await redis.info("commandstats"))["cmdstat_hset"]["calls"] == calls + 1
    [after] = await tokens.list()
    assert after.used_at is not None
    assert abs(after.used_at - await tokens.now()) < 60


async def test_once_there_was_a_token_the_gate_is_never_open_again(redis: Any):
    """Revoking the last one closes every door instead of opening all."""
    clock = Clock()
    gate = Gate(Tokens(redis), clock=clock)
    assert await gate.is_open()
    issued = await a_token(redis, "shop", Role.OPERATOR)
    clock.now += CACHE_S
    assert not await gate.is_open()
    await Tokens(redis).revoke(issued.token.id)
    assert not await gate.is_open()
    assert not await Gate(Tokens(redis)).is_open()
    assert not await Tokens(redis).any_usable()
