"""A storm of kills over single messages of a stock producer: each ends as one payment and one result."""

from collections.abc import Iterator

import pytest

from benchmarks.stock_celery import Plan, run_ours
from tests.house import House, a_house


@pytest.fixture
def house() -> Iterator[House]:
    """A house without workers; the storm brings its own."""
    with a_house() as house:
        yield house


def test_a_storm_of_kills_loses_no_message(house: House) -> None:
    """600 messages, 8 SIGKILLs in the middle of them: nothing lost, nothing paid twice, everybody reads "paid"."""
    outcome = run_ours(house, Plan(payments=600, kills=8, seed=2, seconds=60, patience_s=40))
    assert outcome.kills == 8
    assert (outcome.sent, outcome.paid, outcome.lost) == (600, 600, 0)
    assert (outcome.twice, outcome.repeats, outcome.without_result) == (0, 0, 0)
