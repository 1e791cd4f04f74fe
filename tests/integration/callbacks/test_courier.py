"""Callbacks from a real ledger to real receivers: signed, tried again, never lost, and nobody in anybody's way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bitrix24.secret import Secret
from callbacks.courier import PER_HOST
from callbacks.schedule import WAITS_S as REAL_WAITS_S
from callbacks.signing import OVERLAP_S, NoSigningSecret, SigningSecrets
from cli.embedded import EmbeddedServer
from ledger.callbacks import CallbackState
from tests.canaries import SEARCH, SECRET_KEY, SIGNING_SECRET
from tests.conformance.ledger.world import REFUSED
from tests.eventually import eventually
from tests.integration.callbacks.post_office import PostOffice, a_post_office
from tests.integration.callbacks.receiver import Receiver, Reply, receiving


@pytest.fixture
async def office(redis_url: str) -> AsyncIterator[PostOffice]:
    """A ledger without payments."""
    async with a_post_office(redis_url) as office:
        yield office


@pytest.fixture
def shop() -> Iterator[Receiver]:
    """A receiver."""
    with receiving("127.0.0.1") as receiver:
        yield receiver


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Another host's."""
    with receiving("127.0.0.2") as receiver:
        yield receiver


async def test_a_callback_is_what_the_reference_library_accepts(office: PostOffice, shop: Receiver):
    """Headers, signature and body; the body is the payment's result with its kind, its id and its time."""
    [payment] = await office.end(shop, query="?token=of-the-receiver")
    async with office.courier():
        await eventually(office.all_told)
    [letter] = shop.letters
    told = letter.read()
    assert letter.path == "/told?token=of-the-receiver"
    assert letter.headers["content-type"] == "application/json"
    assert (told["type"], told["id"]) == ("payment.paid", letter.id)
    assert told["data"]["id"] == told["data"]["handle"] == payment.id
    assert (told["data"]["status"], told["data"]["evidence"]) == ("paid", "read_back")
    assert told["data"]["error"] is None
    assert told["timestamp"] == told["data"]["finished_at"]
    [delivered] = await office.listed(CallbackState.DELIVERED)
    assert (delivered.id, delivered.remark, delivered.tries) == (letter.id, "200", 1)


async def test_a_failure_is_told_with_its_reason(office: PostOffice, shop: Receiver):
    """The portal's own code and text."""
    await office.end(shop, verdict=REFUSED)
    async with office.courier():
        await eventually(office.all_told)
    told = shop.letters[0].read()
    assert told["type"] == "payment.failed"
    assert told["data"]["error"] == {
        "code": "ERROR_CHECK_FAILURE",
        "description": "Pay system with ID=99 not found",
    }


async def test_what_is_not_confirmed_is_told_again_under_its_id(office: PostOffice, shop: Receiver):
    """Errors, redirects, a broken connection, silence: the same body and the same id until the receiver says yes."""
    shop.script += [Reply(500), Reply(302, {"Location": shop.url}), Reply(lost=True), Reply(held=True)]
    await office.end(shop)
    async with office.courier(total_s=0.3):
        await eventually(office.all_told)
    assert len(shop.letters) == 5
    assert len(set(shop.ids)) == 1
    assert len({letter.body for letter in shop.letters}) == 1
    for letter in shop.letters:
        letter.read()
    assert [each.tries for each in await office.listed(CallbackState.DELIVERED)] == [5]


async def test_redirects_are_not_followed(office: PostOffice, shop: Receiver, other: Receiver):
    """Whatever kind they are of: the other place hears nothing."""
    shop.script += [Reply(status, {"Location": other.url}) for status in (301, 307, 308)]
    await office.end(shop)
    async with office.courier():
        await eventually(office.all_told)
    assert len(shop.letters) == 4
    assert other.letters == []


async def test_after_the_last_attempt_it_is_kept_as_failed_and_can_be_sent_again(office: PostOffice, shop: Receiver):
    """With the last answer; sent again it has all its attempts."""
    shop.usual = Reply(503)
    await office.end(shop)
    async with office.courier(waits_s=(0.02, 0.02)):
        await eventually(office.all_told)
        [failed] = await office.listed(CallbackState.FAILED)
        assert (failed.tries, failed.remark) == (3, "503; 3 attempts")
        shop.usual = Reply()
        assert await office.ledger.callbacks.resend([failed.id]) == [True]
        await eventually(lambda: office.listed(CallbackState.DELIVERED))
    assert set(shop.ids) == {failed.id}


async def test_gone_ends_it_at_once(office: PostOffice, shop: Receiver):
    """410: the receiver wants no more of it."""
    shop.usual = Reply(410)
    await office.end(shop)
    async with office.courier():
        await eventually(office.all_told)
    assert len(shop.letters) == 1
    [failed] = await office.listed(CallbackState.FAILED)
    assert failed.remark is not None
    assert failed.remark.startswith("410")


async def test_retry_after_is_heeded(office: PostOffice, shop: Receiver):
    """The next attempt comes no sooner than the receiver asks."""
    shop.usual = Reply(429, {"Retry-After": "120"})
    await office.end(shop)
    async with office.courier():
        await eventually(lambda: shop.letters)
        [waiting] = await eventually(_waiting(office))
    assert waiting.due_at - datetime.now(UTC) > timedelta(seconds=100)


def _waiting(office: PostOffice):
    async def look():
        return [each for each in await office.listed() if each.remark]

    return look


async def test_a_body_without_end_is_not_read(office: PostOffice, shop: Receiver):
    """The answer is its status."""
    shop.script.append(Reply(endless=True))
    await office.end(shop)
    async with office.courier():
        await eventually(office.all_told)
    assert len(shop.letters) == 1


async def test_a_receiver_that_hangs_stops_nobody_else(office: PostOffice, shop: Receiver, other: Receiver):
    """Hundreds are due at one host that never answers; another one is told of everything meanwhile."""
    shop.usual = Reply(held=True)
    await office.end(shop, count=200)
    async with office.courier(total_s=30):
        await eventually(lambda: shop.letters)
        await office.end(other, count=50)
        await eventually(lambda: len(other.letters) == 50)
        assert len(shop.letters) == shop.most_at_once == PER_HOST
    assert shop.most_at_once == PER_HOST


async def test_a_host_that_was_silent_gets_one_attempt_at_a_time(office: PostOffice, shop: Receiver):
    """Until it answers: then it has its pace again."""
    shop.usual = Reply(held=True)
    await office.end(shop, count=30)
    async with office.courier(total_s=0.2, waits_s=(0.01,) * 500):
        await eventually(lambda: len(shop.letters) > PER_HOST + 2)
        shop.most_at_once = 0
        seen = len(shop.letters)
        await eventually(lambda: len(shop.letters) > seen + 3)
        assert shop.most_at_once <= 2  # the one before may still be noticing that we have gone
        shop.usual = Reply()
        shop.let_go()
        await eventually(office.all_told)
    assert len(set(shop.ids)) == 30


async def test_two_processes_tell_everything_once(office: PostOffice, shop: Receiver):
    """A callback is leased by one of them."""
    await office.end(shop, count=100)
    async with office.courier(), office.courier():
        await eventually(office.all_told)
    assert len(shop.ids) == len(set(shop.ids)) == 100


async def test_nothing_is_sent_unsigned(redis_url: str, shop: Receiver):
    """Without a secret it waits, and says what to do; it goes out when there is one."""
    async with a_post_office(redis_url, hosts=()) as office:
        await office.end(shop)
        async with office.courier(waits_s=(0.1,) * 100):
            [waiting] = await eventually(_waiting(office))
            assert "b24pay callback secret 127.0.0.1" in (waiting.remark or "")
            assert shop.letters == []
            await office.secrets.put("127.0.0.1", Secret(SIGNING_SECRET))
            await eventually(office.all_told)
        shop.letters[0].read()


async def test_while_a_secret_changes_both_sign(office: PostOffice, shop: Receiver):
    """A receiver that has the one or the other accepts; after the overlap only the new one signs."""
    made = await office.secrets.make("127.0.0.1", rotate=True)
    SEARCH.plant("signing secret of callbacks", made.reveal().removeprefix("whsec_").rstrip("="))
    await office.end(shop)
    async with office.courier():
        await eventually(office.all_told)
    [letter] = shop.letters
    assert letter.read(SIGNING_SECRET) == letter.read(made.reveal())
    assert len(letter.headers["webhook-signature"].split()) == 2
    now = datetime.now(UTC).timestamp()
    later = SigningSecrets(office.client, [SECRET_KEY], now=lambda: now + OVERLAP_S + 1)
    assert (await later.signer("127.0.0.1")).secrets == (made,)


async def test_a_secret_is_stored_sealed_and_for_its_host_alone(office: PostOffice):
    """A record that was copied to another host opens nothing."""
    stored = await office.client.hget("b24pay:{0}:callback_secrets", "127.0.0.1")
    assert SEARCH.text("a stored record", stored) == []
    await office.client.hset("b24pay:{0}:callback_secrets", "evil.example", stored)
    with pytest.raises(Exception, match="no key of B24PAY_SECRET_KEYS opens"):
        await office.secrets.signer("evil.example")
    with pytest.raises(NoSigningSecret):
        await office.secrets.signer("unheard.example")


async def test_nothing_is_lost_when_redis_restarts(own_server: EmbeddedServer, shop: Receiver):
    """It goes away while answers are under way; what was not written down is told again under its id."""
    async with a_post_office(own_server.url) as office:
        shop.usual = Reply(held=True)
        await office.end(shop, count=20)
        async with office.courier(lease_s=1.0, total_s=30):
            await eventually(lambda: shop.at_once == PER_HOST)
            own_server.kill()
            shop.let_go()
            await asyncio.sleep(0.3)
            own_server.start()
            await eventually(office.all_told)
        assert len(set(shop.ids)) == 20


def test_attempts_spread_over_three_days():
    """At least eight, the last one after about three days."""
    assert len(REAL_WAITS_S) + 1 >= 8
    assert timedelta(hours=70) < timedelta(seconds=sum(REAL_WAITS_S)) <= timedelta(hours=72)
    assert list(REAL_WAITS_S) == sorted(REAL_WAITS_S)
