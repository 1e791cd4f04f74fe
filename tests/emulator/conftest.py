"""A farm on free ports, a caller and the admin handle."""

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from emulator import Handle, RunningEmulator, running_emulator
from tests.emulator.portal_caller import Caller


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with running_emulator({"template": {"plan": "none"}}, any_loopback=0, addresses=()) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as opened:
        yield opened


@pytest.fixture
def portal(emulator: RunningEmulator, session: aiohttp.ClientSession) -> Caller:
    return Caller(session, emulator.authority)


@pytest.fixture
def tell(emulator: RunningEmulator, portal: Caller) -> Callable[..., None]:
    """Change the portal's settings."""
    return lambda **settings: emulator.farm.patch(portal.authority, settings) and None


@pytest.fixture
async def handle(emulator: RunningEmulator) -> AsyncIterator[Handle]:
    async with Handle.connect(emulator.authority) as connected:
        yield connected
