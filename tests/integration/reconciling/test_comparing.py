"""Ledger against portal: each kind of difference made for real, and nothing else ever taken for one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import pytest

from bitrix24.invoices import read_rows
from bitrix24.portal import Portal
from emulator.records import Change
from ledger.payment import Evidence, State
from ledger.verdict import Decision, Paid, Verdict
from reconciling.findings import Counts, Kind
from reconciling.period import Period
from tests.conformance.ledger.world import LOST, REFUSED, an_ask
from tests.eventually import eventually
from tests.integration.reconciling.conftest import Scene


@contextmanager
def patched(thing: object, name: str, by: object) -> Iterator[None]:
    """Something happens in the middle of a call that really is made."""
    was = getattr(thing, name)
    setattr(thing, name, by)
    try:
        yield
    finally:
        setattr(thing, name, was)


async def test_what_both_say_alike_is_no_difference(scene: Scene) -> None:
    """One request for fifty payments, and nothing is told."""
    await scene.pay(60)
    before = scene.shop.requests
    found, counts = await scene.compare()
    assert (found, counts) == ({}, Counts(agreed=60))
    assert scene.shop.requests - before == 2


async def test_each_kind_of_difference_is_told(scene: Scene) -> None:
    """Set back by somebody, deleted, hidden, paid by hand after a failure and after a withdrawal."""
    await scene.pay(6)
    await scene.shop.deps.ledger.open([an_ask(f"f{n}", invoice_id=n, pay_system_id=99) for n in (7, 8, 9)])
    await scene.drive()
    await scene.shop.deps.ledger.open([an_ask("c10", invoice_id=10), an_ask("c11", invoice_id=11)])
    for each in ("c10", "c11"):
        await scene.shop.deps.ledger.cancel(each)
    scene.by_hand(Change.UNPAY, 1)
    scene.by_hand(Change.DELETE, 2, 9)
    scene.by_hand(Change.HIDE, 3)
    scene.by_hand(Change.PAY, 7, 10)
    found, counts = await scene.compare()
    assert found == {
        1: Kind.UNPAID_THERE,
        2: Kind.GONE,
        3: Kind.UNREADABLE,
        7: Kind.PAID_THERE,
        10: Kind.PAID_THERE,
    }
    assert counts == Counts(agreed=6, differing=4, unreadable=1)


async def settle(scene: Scene, verdict: Verdict) -> None:
    """End the oldest queued payment as a driver does, whatever its portal would say."""
    ledger = scene.shop.deps.ledger
    [lease], _ = await ledger.take("test", 1)
    claimed = await ledger.claim(lease, 1)
    await ledger.settle(lease, [Decision(row, verdict) for row in claimed.payments])
    await ledger.release(lease, 0)


@pytest.mark.parametrize(
    ("evidence", "says"), [(Evidence.READ_BACK, "set it back"), (Evidence.RESPONSE, "or never paid")]
)
async def test_what_the_ledger_knew_is_said(scene: Scene, evidence: Evidence, says: str) -> None:
    """A proof that was seen tells who is to be asked; the portal's word alone does not."""
    await scene.shop.accept(1)
    await settle(scene, Paid(evidence))
    [page, *_] = await scene.pages(await scene.begin())
    [finding] = page.findings
    assert finding.kind is Kind.UNPAID_THERE
    assert says in finding.text


async def test_a_doubt_is_told_and_is_no_difference(scene: Scene) -> None:
    """The portal is not even asked about it: workers do that."""
    await scene.shop.accept(1)
    await settle(scene, LOST)
    before = scene.shop.requests
    assert await scene.compare() == ({1: Kind.IN_DOUBT}, Counts(in_doubt=1))
    assert scene.shop.requests == before


@pytest.mark.parametrize("state", [State.QUEUED, State.SENDING, State.IN_DOUBT])
async def test_an_invoice_with_a_payment_under_way_is_never_a_difference(scene: Scene, state: State) -> None:
    """It failed, and another payment may pay it this very moment: what the portal shows may be that one's doing."""
    ledger = scene.shop.deps.ledger
    await ledger.open([an_ask("known", invoice_id=2, pay_system_id=1)])
    await scene.drive()  # the portal's pace is known from here on
    await scene.shop.accept(1)
    await settle(scene, REFUSED)
    await ledger.open([an_ask("again", invoice_id=1, pay_system_id=1)])
    if state is State.SENDING:
        [lease], _ = await ledger.take("test", 1)
        await ledger.claim(lease, 1)
    elif state is State.IN_DOUBT:
        await settle(scene, LOST)
    scene.by_hand(Change.PAY, 1)
    assert (await scene.shop.payment("again")).state is state
    found, counts = await scene.compare()
    assert (found.get(1), counts.under_way) == (Kind.IN_DOUBT if state is State.IN_DOUBT else None, 1)


async def test_the_latest_payment_of_an_invoice_has_the_say(scene: Scene) -> None:
    """What failed and was paid by a later payment of ours is as it should be."""
    await scene.shop.accept(1)
    await settle(scene, REFUSED)
    await scene.shop.deps.ledger.open([an_ask("again", invoice_id=1, pay_system_id=1)])
    await scene.drive()
    assert await scene.compare() == ({}, Counts(agreed=1, later=1))


async def test_what_changes_at_the_portal_between_two_looks_is_not_told(scene: Scene) -> None:
    """Its first word is not believed until it has said it twice."""
    await scene.pay(2)
    scene.by_hand(Change.UNPAY, 1)
    asked = scene.shop.deps.client.look_again

    async def paid_meanwhile(portal: Portal, listed: Sequence[int], absent: Sequence[int]) -> object:
        scene.by_hand(Change.PAY, 1)
        return await asked(portal, listed, absent)

    with patched(scene.shop.deps.client, "look_again", paid_meanwhile):
        assert await scene.compare() == ({}, Counts(agreed=1, changed=1))


async def test_what_is_queued_again_while_the_portal_is_read_is_not_told(scene: Scene) -> None:
    """The ledger is asked last: a retry that came in between is seen."""
    await scene.shop.accept(1)
    await settle(scene, REFUSED)
    scene.by_hand(Change.PAY, 1)
    asked = scene.shop.deps.client.look_again

    async def retried_meanwhile(portal: Portal, listed: Sequence[int], absent: Sequence[int]) -> object:
        await scene.shop.deps.ledger.retry("h1")
        return await asked(portal, listed, absent)

    with patched(scene.shop.deps.client, "look_again", retried_meanwhile):
        assert await scene.compare() == ({}, Counts(changed=1))


async def test_a_list_that_leaves_an_invoice_out_is_not_believed(scene: Scene) -> None:
    """It is asked for alone before it is called gone."""
    await scene.pay(2)
    listed = scene.shop.deps.client.read_back

    async def forgetful(portal: Portal, ids: Sequence[int]) -> object:
        return {number: row for number, row in (await listed(portal, ids)).items() if number != 1}

    with patched(scene.shop.deps.client, "read_back", forgetful):
        assert await scene.compare() == ({}, Counts(agreed=2))


async def test_a_user_who_may_not_read_finds_nothing_gone(scene: Scene) -> None:
    """The portal's list is then empty, without a word; each invoice alone says why."""
    await scene.pay(3)
    scene.shop.emulator.farm.patch("*", {"webhooks": {"1/emulator-secret": {"can_read": False}}})
    found, counts = await scene.compare()
    assert (set(found.values()), counts) == ({Kind.UNREADABLE}, Counts(unreadable=3))


async def test_a_portal_that_ignores_what_it_is_asked_proves_nothing(scene: Scene) -> None:
    """A reply about other invoices is no reply."""
    await scene.pay(1)
    asked = scene.shop.deps.client.call

    async def others(_portal: Portal, ids: Sequence[int]) -> object:
        return read_rows([{"ID": "77", "PAYED": "N"}], ids) or await asked(_portal, "no.such.method")

    with patched(scene.shop.deps.client, "read_back", others):
        [page] = await scene.pages(await scene.begin())
    assert page.stop is not None
    assert page.findings == ()


async def test_a_period_is_half_open_and_by_the_ledgers_clock(scene: Scene) -> None:
    """A payment belongs to the period that begins with its end, and not to the one that ends with it."""
    await scene.pay(1)
    ended = (await scene.shop.payment()).finished_at
    assert ended is not None
    day = timedelta(days=1)
    assert (await scene.compare(Period(ended - day, ended)))[1] == Counts()
    assert (await scene.compare(Period(ended, ended + day)))[1] == Counts(agreed=1)


async def test_nothing_is_changed(scene: Scene) -> None:
    """Neither a row of the ledger nor an invoice, whatever is found; permits apart."""
    await scene.pay(3)
    scene.by_hand(Change.UNPAY, 1)
    scene.by_hand(Change.DELETE, 2)
    await eventually(lambda: results_are_delivered(scene))
    before = await rows_of(scene)
    await scene.compare()
    assert await rows_of(scene) == before
    changed = [entry.method for entry in scene.shop.emulator.farm.journal.requests() if "pay.invoice" in entry.method]
    assert scene.shop.effects == {1: 1, 2: 1, 3: 1}, changed


async def results_are_delivered(scene: Scene) -> bool:
    """The worker's part owes nobody anything."""
    return not await scene.redis.zcard("b24pay:{0}:out")


async def rows_of(scene: Scene) -> dict[bytes, object]:
    """All of the ledger, as it is stored."""
    rows = {}
    async for key in scene.redis.scan_iter():
        if b":limit:" not in key:
            rows[key] = await scene.redis.dump(key)
    return rows
