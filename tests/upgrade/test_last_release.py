"""What the last release left in Redis - rows, messages, results - is read, paid and finished by today's processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from access.audit import Audit, Outcome
from access.bearer import spelled
from access.gate import Gate
from access.tokens import Tokens
from bitrix24.doors import Doors
from callbacks.signing import SigningSecrets
from config.connections import async_redis_client, redis_client
from ledger.callbacks import CallbackState
from ledger.payment import State
from ledger.redis import RedisLedger
from limiter.limiter import Limits
from limiter.redis import RedisLimiter
from tasks.result import result_of
from tests.canaries import BEARER_SECRET, SECRET_KEY
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, a_house, open_ledger, wait_for
from tests.upgrade.release import known, portals_of, restore
from worker.parked import ParkedMessages

OPEN = {name for name, said in known().payments.items() if said["status"] in ("queued", "sending", "in_doubt")}
WAITING = {*(f"waiting-{n}" for n in range(4)), *(f"waiting-bulk-{n}" for n in range(3))}
# What the portal refuses when it is read as unpaid; everything else that is open is paid.
ENDS_FAILED = {"if-unpaid"}
PAID_HERE = {"portal-1": len(WAITING), "portal-4": len(OPEN - ENDS_FAILED - {"joined", "behind-hold"}), "portal-5": 1}


@dataclass(frozen=True)
class Upgraded:
    """A house that the last release worked in, with a worker of today."""

    house: House
    portals: dict[str, EmulatedPortal]


@pytest.fixture(scope="module", params=[True, pytest.param(False, marks=pytest.mark.whole)], ids=["here", "elsewhere"])
def upgraded(request: pytest.FixtureRequest) -> Iterator[Upgraded]:
    """Everything has ended that ends by itself: on the server of the release, or on one that a copy was put back to,
    where whatever is open is read before it is sent."""
    with a_house() as house:
        restore(house.server.url, same_server=request.param)
        upgraded = Upgraded(house, portals_of(house))
        house.start_worker()
        eventually_sync(lambda: _open(upgraded) == 0, within_s=60)
        yield upgraded


def _open(upgraded: Upgraded) -> int:
    rows = wait_for(_found(upgraded.house.server.url, [*OPEN, *WAITING]))
    return sum(row is None or row.state in (State.QUEUED, State.SENDING, State.IN_DOUBT) for row in rows)


async def _found(url: str, names: list[str]) -> list[Any]:
    async with open_ledger(url) as (ledger, _):
        return await ledger.find(names)


@pytest.fixture
async def redis(redis_url: str) -> Any:
    """A client of a server as the release left it; nobody works there."""
    restore(redis_url)
    async with async_redis_client(redis_url, max_connections=4, decode_responses=False) as client:
        yield client


def a_ledger(redis: Redis) -> RedisLedger:
    return RedisLedger(redis, lease_s=75, retention_s=3600, max_attempts=5, quiet_s=135)


async def test_every_row_is_read_as_it_was_written(redis: Redis) -> None:
    """Each payment under each of its names, field by field; every lane; the schema."""
    ledger = a_ledger(redis)
    await ledger.check_schema()
    names = sorted(known().payments)
    read = await ledger.find(names)
    for name, row in zip(names, read, strict=True):
        assert row is not None, name
        error = [row.error.code, row.error.text] if row.error else None
        told = {**result_of(row), "error": error}
        assert {key: told[key] for key in known().payments[name]} == known().payments[name], name
    lanes = {lane.portal: lane for lane in await ledger.lanes()}
    assert [lane.held.code for lane in lanes.values() if lane.held] == ["INVALID_CREDENTIALS", "OVERLOAD_LIMIT"]
    [suspect, retried] = await ledger.find(["suspect", "retried"])
    assert suspect is not None
    assert retried is not None
    assert (suspect.deaths, retried.after) == (2, None)


async def test_requests_join_what_the_release_accepted(redis: Redis) -> None:
    """By name, by key, by invoice; and what it knows as paid is not paid again."""
    from tests.conformance.ledger.world import an_ask

    ledger = a_ledger(redis)
    same = {"portal": "portal-4", "invoice_id": 7, "pay_system_id": 1}
    paid = {"portal": "portal-2", "invoice_id": 1, "pay_system_id": 1}
    asks = [
        an_ask("by-invoice", **same),
        an_ask("by-key", **same, idempotency_key="key-queued"),
        an_ask("joined", **same, idempotency_key="key-joined"),
        an_ask("again", **paid),
    ]
    opened = await ledger.open(asks)
    assert [each.payment.id for each in opened] == ["queued", "queued", "queued", "paid-read"]  # type: ignore[union-attr]
    assert opened[3].payment.duplicate  # type: ignore[union-attr]


async def test_what_stands_beside_the_ledger_is_read(redis: Redis) -> None:
    """Tokens, audit, doors, signing secrets, parked messages, credentials."""
    tokens = {each.name: each for each in await Tokens(redis).list()}
    admitted = await Gate(Tokens(redis)).admit(spelled(tokens["shop"].id, BEARER_SECRET))
    assert (admitted.name, admitted.portals, tokens["gone"].revoked_at is not None) == ("shop", ("portal-1",), True)
    entries = [entry async for entry in Audit(redis, retention_s=1e9).entries(1e9)]
    assert [(entry.what, entry.outcome) for entry in entries] == [
        ("portal.hold", Outcome.UNFINISHED),
        ("portal.hold", Outcome.DONE),
    ]
    assert await Doors(redis, [SECRET_KEY]).find("invited", "not its name") is None
    assert set((await Doors(redis, [SECRET_KEY]).reseal(dry_run=True)).values())
    assert [each.host for each in await SigningSecrets(redis, [SECRET_KEY]).hosts()] == ["shop.example"]
    assert (await SigningSecrets(redis, [SECRET_KEY]).signer("shop.example")) is not None
    [parked] = await ParkedMessages(redis).all()
    assert (parked.misfit.head, parked.misfit.queue) == (b"no message at all", "payments")


async def test_callbacks_go_on_where_they_were(redis: Redis) -> None:
    """What was delivered or given up stays so; what was due or being sent is due."""
    outbox = a_ledger(redis).callbacks
    counts = await outbox.counts()
    assert (counts.pending, counts.failed, counts.delivered) == (3, 1, 1)
    taken, _ = await outbox.take(10, per_host=10, lease_s=30, rooms={})
    assert "told-due" in {each.handle for each in taken}
    page = await outbox.page(CallbackState.FAILED)
    assert [each.remark for each in page.callbacks] == ["410 Gone"]


@pytest.mark.parametrize("portal", ["known", "refused", "out", "spent", "slow"])
async def test_what_was_learnt_of_a_portals_pace_is_still_known(redis: Redis, portal: str) -> None:
    """How long a command takes; and a permit is granted or its wait is told, whatever was going on."""
    limiter = RedisLimiter(redis)
    pace = await limiter.pace(portal, Limits())
    assert pace.command_s is not None
    assert pace.command_s > 0
    permit = await limiter.acquire(portal, Limits())
    assert permit.granted or permit.wait_s > 0


def test_everything_that_was_open_is_paid_once(upgraded: Upgraded) -> None:
    """What was queued, sending, in doubt, suspect, held, waiting in the broker or in a dead consumer's hands."""
    names = sorted({*OPEN, *WAITING})
    for name, row in zip(names, wait_for(_found(upgraded.house.server.url, names)), strict=True):
        assert row.state is (State.FAILED if name in ENDS_FAILED else State.PAID), name
    for key, count in PAID_HERE.items():
        tally = upgraded.portals[key].tally
        assert (tally.effects, tally.paid, tally.doubles, tally.overlaps) == (count, count, 0, 0), key
    assert upgraded.portals["portal-2"].tally.pays == 0


def test_results_are_there_under_the_old_names(upgraded: Upgraded) -> None:
    """Those that the release stored, those that it still owed, and those of its messages."""
    celery = upgraded.house.celery()
    for name, state in known().tasks.items():
        assert celery.AsyncResult(name).state == state, name
    owed = ["paid-read", "failed", "cancelled", "decided", "told-0", *WAITING, *(OPEN - ENDS_FAILED)]
    for name in owed:
        wanted = "FAILURE" if name in ("failed", "cancelled") else "SUCCESS"
        eventually_sync(lambda name=name, wanted=wanted: celery.AsyncResult(name).state == wanted)  # type: ignore[misc]


def test_nothing_is_left_over(upgraded: Upgraded) -> None:
    """The broker is empty, nothing is owed, and the lane that only a person resumes waits for one."""
    eventually_sync(lambda: _left(upgraded) == (0, 0, 0))
    assert upgraded.portals["portal-6"].held() == "OVERLOAD_LIMIT"
    assert upgraded.portals["portal-5"].held() is None


def _left(upgraded: Upgraded) -> tuple[int, int, int]:
    with redis_client(upgraded.house.server.url, decode_responses=False) as client:
        return client.llen("payments"), client.hlen("payments.unacked"), client.zcard("b24pay:{0}:out")
