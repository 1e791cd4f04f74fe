"""Ledger against portal: each kind of difference made for real, and nothing else ever taken for one."""

from emulator.records import Change
from reconciling.findings import Counts, Kind
from tests.conformance.ledger.world import an_ask
from tests.integration.reconciling.conftest import Scene


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
