"""Results: the ledger owes one until the result backend has it, whatever happens in between."""

from collections.abc import Sequence

import pytest

from tests.conformance.ledger.memory import MemoryWorld
from tests.conformance.ledger.world import PAID, PORTAL, REFUSED, an_ask, ended
from worker.results import Meta, Results
from worker.sweeper import OLDER_THAN_S, Sweeper


class Shelf:
    """A result backend that may be away."""

    def __init__(self) -> None:
        self.away = False
        self.kept: dict[str, str] = {}

    async def put(self, metas: Sequence[Meta], *, only_new: bool) -> None:
        """Keep the states by handle."""
        if self.away:
            raise ConnectionError
        self.kept |= {handle: state for handle, state, _ in metas if not (only_new and handle in self.kept)}


@pytest.fixture
def world() -> MemoryWorld:
    """An empty ledger whose time passes on request."""
    return MemoryWorld()


@pytest.fixture
def shelf() -> Shelf:
    """An empty result backend."""
    return Shelf()


async def test_a_result_that_was_not_stored_is_still_owed(world: MemoryWorld, shelf: Shelf) -> None:
    """A result backend that is away costs time and no result."""
    await ended(world, PAID)
    results = Results(shelf, world.ledger)
    shelf.away = True
    assert not await results.deliver(await world.ledger.undelivered(10, 0))
    assert len(await world.ledger.undelivered(10, 0)) == 1
    shelf.away = False
    assert await results.deliver(await world.ledger.undelivered(10, 0))
    assert shelf.kept == {"h1": "SUCCESS"}
    assert await world.ledger.undelivered(10, 0) == []


async def test_a_sweep_delivers_what_was_left(world: MemoryWorld, shelf: Shelf) -> None:
    """Whoever settled it may be dead; what is younger is left to it."""
    await ended(world, REFUSED)
    sweeper = Sweeper(world.ledger, Results(shelf, world.ledger))
    assert await sweeper.deliver_left() == 0
    await world.pass_time(OLDER_THAN_S)
    assert await sweeper.deliver_left() == 1
    assert shelf.kept == {"h1": "FAILURE"}


async def test_a_sweep_makes_a_forgotten_lane_due(world: MemoryWorld, shelf: Shelf) -> None:
    """A lane with work that no driver would be given is put back."""
    await ended(world, PAID)
    await world.ledger.open([an_ask("h2", invoice_id=2)])
    await world.lose_due(PORTAL)
    assert (await world.ledger.take("driver", 1))[0] == []
    await Sweeper(world.ledger, Results(shelf, world.ledger)).find_forgotten()
    assert len((await world.ledger.take("driver", 1))[0]) == 1
