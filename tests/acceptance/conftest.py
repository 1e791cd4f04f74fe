"""One house with one worker for each module; tests that kill workers start their own."""

from collections.abc import Iterator

import pytest
from celery import Celery

from tests.house import House, a_house


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Server, emulator and one worker."""
    with a_house() as house:
        house.start_worker()
        yield house


@pytest.fixture(scope="module")
def celery(house: House) -> Celery:
    """A producer that has none of our code."""
    return house.celery()
