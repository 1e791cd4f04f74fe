"""The first byte of a call leaves within the call's own time, or never."""

import itertools

import pytest

from bitrix24.client import Client
from bitrix24.errors import Fate, NotSent
from bitrix24.facts import Pay
from bitrix24.portal import parse_portal
from emulator.server import running_emulator

HTTP_TOTAL_S = 5.0


async def test_after_a_standstill_nothing_leaves() -> None:
    """The process stood still between the start of the call and its first byte: the lease may be another's by now."""
    moments = itertools.chain([0.0], itertools.repeat(HTTP_TOTAL_S))
    async with (
        running_emulator() as emulator,
        Client(http_total_s=HTTP_TOTAL_S, allow_insecure=True, clock=lambda: next(moments)) as client,
    ):
        portal = parse_portal("acme", {"webhook": emulator.webhook()}, allow_insecure=True)
        with pytest.raises(NotSent) as raised:
            await client.pay(portal, [Pay(invoice_id=2, pay_system_id=1, bx_rest_handler=None)])
        assert raised.value.meaning.fate is Fate.NOT_RUN
        assert emulator.farm.counters().requests == 0
        assert emulator.farm.effects(emulator.authority).counts == {}
