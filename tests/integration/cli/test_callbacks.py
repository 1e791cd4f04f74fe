"""`b24pay callback`: secrets that are shown once, what is pending and failed, and sending again."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from cli.main import run
from ledger.callbacks import GivenUp
from tests.canaries import SEARCH, SECRET_KEY
from tests.conformance.ledger.calling import OTHER, SHOP
from tests.conformance.ledger.world import PAID, PORTAL, an_ask
from tests.integration.callbacks.post_office import PostOffice, a_post_office
from tests.integration.cli.conftest import Said

T = TypeVar("T")
Give = Callable[..., Said]


@pytest.fixture
def give(redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Give:
    """Give commands to an empty ledger; receivers of shop.example are allowed."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("B24PAY_SECRET_KEYS", SECRET_KEY)
    monkeypatch.setenv("B24PAY_CALLBACK_HOSTS", "shop.example")

    def given(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(arguments)
        return Said(code, *capsys.readouterr())

    return given


@pytest.fixture
def at_office(redis_url: str) -> Callable[[Callable[[PostOffice], Awaitable[T]]], T]:
    """Do something with the ledger behind the commands."""

    def done(work: Callable[[PostOffice], Awaitable[T]]) -> T:
        async def inside() -> T:
            async with a_post_office(redis_url, hosts=()) as office:
                return await work(office)

        return asyncio.run(inside())

    return done


async def two_ends(office: PostOffice) -> list[str]:
    """One callback that is pending and one that was given up; their ids."""
    await office.ledger.add_lane(PORTAL)
    for n, to in enumerate((SHOP, OTHER), start=1):
        await office.ledger.open([an_ask(f"h{n}", invoice_id=n, callback=to)])
    [lease], _ = await office.ledger.take("test", 1)
    from ledger.verdict import Decision

    payments = (await office.ledger.claim(lease, 2)).payments
    await office.ledger.settle(lease, [Decision(each, PAID) for each in payments])
    taken, _ = await office.ledger.callbacks.take(9, per_host=9, lease_s=0.001, rooms={"shop.example": 0})
    await office.ledger.callbacks.told(taken[0], GivenUp("410"))
    [pending] = await office.listed()
    return [pending.id, taken[0].id]


async def stored(office: PostOffice) -> dict[bytes, bytes]:
    """The records of all secrets."""
    found: dict[bytes, bytes] = await office.client.hgetall("b24pay:{0}:callback_secrets")
    return found


def test_a_secret_is_shown_once_and_stored_sealed(give: Give, at_office: Any):
    """A second one is refused; with --rotate it is made, and the one before signs on for a day."""
    first = give("callback", "secret", "SHOP.example", "--json")
    assert first.code == 0, first.err
    SEARCH.plant("signing secret of callbacks", first.document["secret"].removeprefix("whsec_").rstrip("="))
    assert first.document["host"] == "shop.example"
    again = give("callback", "secret", "shop.example")
    assert (again.code, again.out) == (1, "")
    assert "--rotate" in again.err
    foretold = give("callback", "secret", "shop.example", "--rotate", "--dry-run", "--json")
    assert foretold.document["secret"] is None
    records = at_office(stored)
    assert SEARCH.text("stored records", repr(records)) == []
    rotated = give("callback", "secret", "shop.example", "--rotate", "--json")
    assert rotated.code == 0
    SEARCH.plant("signing secret of callbacks", rotated.document["secret"].removeprefix("whsec_").rstrip("="))
    record = json.loads(at_office(stored)[b"shop.example"])
    assert {"secret", "former", "former_until"} <= set(record)
    listed = give("callback", "hosts", "--json")
    assert (listed.document["host"], listed.document["allowed"]) == ("shop.example", True)


@pytest.mark.parametrize(
    "host", ["https://shop.example", "shop.example:443", "*.example", "shop.example,b.example", ""]
)
def test_a_secret_belongs_to_one_host(give: Give, host: str):
    """Neither to an address nor to a pattern."""
    said = give("callback", "secret", host)
    assert (said.code, said.out) == (2, "")


def test_there_is_nothing_to_rotate_before_the_first(give: Give):
    """The next step says what to do instead."""
    said = give("callback", "secret", "shop.example", "--rotate")
    assert said.code == 1
    assert "b24pay callback secret shop.example" in said.err


def test_secrets_move_to_a_new_key(give: Give, monkeypatch: pytest.MonkeyPatch, at_office: Any):
    """`keys rotate` seals them anew as it does credentials."""
    made = give("callback", "secret", "shop.example", "--json")
    SEARCH.plant("signing secret of callbacks", made.document["secret"].removeprefix("whsec_").rstrip("="))
    before = at_office(stored)
    new = "bmV3LWtleS1vZi10aGlydHktdHdvLWJ5dGVzLWxvbmc="
    monkeypatch.setenv("B24PAY_SECRET_KEYS", f"{new},{SECRET_KEY}")
    said = give("keys", "rotate", "--json")
    assert (said.code, said.document["sealed_anew"]) == (0, 1)
    assert at_office(stored) != before


def test_lists_tell_everything_but_the_query_of_an_address(give: Give, at_office: Any):
    """By state, host and time; people see a table."""
    pending, failed = at_office(two_ends)
    said = give("callback", "list", "--json")
    assert [each["id"] for each in said.documents] == [pending, failed]
    assert said.documents[0]["url"] == "https://shop.example/paid?***"
    assert said.documents[1]["remark"] == "410"
    assert [each["id"] for each in give("callback", "list", "--state", "failed", "--json").documents] == [failed]
    assert [each["id"] for each in give("callback", "list", "--host", "SHOP.example", "--json").documents] == [pending]
    assert give("callback", "list", "--since", "2099-01-01", "--json").documents == []
    shown = give("callback", "list")
    assert pending in shown.out
    assert "1 pending, 1 failed" in shown.err
    assert give("callback", "list", "--since", "yesterday").code == 2


def test_failed_ones_are_sent_again(give: Give, at_office: Any):
    """By id or all of a host; first it is said what would happen."""
    pending, failed = at_office(two_ends)
    foretold = give("callback", "resend", "--host", "other.example", "--since", "1h", "--dry-run", "--json")
    assert [(each["id"], each["resent"]) for each in foretold.documents] == [(failed, False)]
    assert give("callback", "list", "--state", "failed", "--json").documents != []
    said = give("callback", "resend", "--host", "other.example", "--since", "1h", "--json")
    assert [(each["id"], each["resent"]) for each in said.documents] == [(failed, True)]
    assert give("callback", "list", "--state", "failed", "--json").documents == []
    assert give("callback", "resend", pending, "evt_unknown").code == 4
    assert give("callback", "resend", "evt_unknown").code == 1
    assert give("callback", "resend", "--host", "other.example").code == 2
    assert give("callback", "resend").code == 2


def test_a_payment_asks_to_be_told_of(give: Give, at_office: Any):
    """An address that is not allowed is refused before anything is accepted."""
    at_office(lambda office: office.ledger.add_lane(PORTAL))
    words = ("pay", "7", "--portal", PORTAL, "--pay-system", "31")
    refused = give(*words, "--callback", "https://evil.example/")
    assert refused.code == 2
    assert "B24PAY_CALLBACK_HOSTS" in refused.err
    foretold = give(*words, "--callback", "https://shop.example/told", "--dry-run", "--json")
    assert foretold.document["callback"] == "https://shop.example/told"
    assert give(*words, "--callback", "https://shop.example/told").code == 0

    async def wishes(office: PostOffice) -> list[bytes]:
        [key] = [key async for key in office.client.scan_iter("b24pay:{0}:w:*")]
        found: list[bytes] = await office.client.hvals(key)
        return found

    assert at_office(wishes) == [b"shop.example https://shop.example/told"]
