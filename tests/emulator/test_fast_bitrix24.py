"""fast-bitrix24, a client made for speed, works against plain http://127.0.0.1 with nothing replaced."""

import aiohttp
import pytest
from fast_bitrix24 import BitrixAsync
from fast_bitrix24.server_response import ErrorInServerResponseException

from emulator import RunningEmulator
from emulator.faults import read_fault
from tests.emulator.portal_caller import INVOICE, pay_command


@pytest.fixture
def bitrix(emulator: RunningEmulator) -> BitrixAsync:
    return BitrixAsync(emulator.webhook(), verbose=False)


def params(number: int) -> dict[str, int]:
    return {"INVOICE_ID": number, "PAY_SYSTEM_ID": 1}


async def test_a_single_call_pays(emulator: RunningEmulator, bitrix: BitrixAsync) -> None:
    """One call, one payment, one effect."""
    assert (await bitrix.call(INVOICE, params(7), raw=True))["result"] is True
    assert emulator.farm.effects(emulator.authority).counts == {7: 1}


async def test_lists_of_calls_become_batches(emulator: RunningEmulator, bitrix: BitrixAsync) -> None:
    """Its own batching of 120 calls makes three requests and pays each invoice once."""
    await bitrix.call(INVOICE, [params(number) for number in range(1, 121)])
    effects, counters = emulator.farm.effects(emulator.authority), emulator.farm.counters()
    assert effects.counts == dict.fromkeys(range(1, 121), 1)
    assert (counters.requests, counters.batches, counters.commands) == (3, 3, 120)


async def test_a_batch_of_its_users_pays(emulator: RunningEmulator, bitrix: BitrixAsync) -> None:
    """`call_batch` returns the results by key."""
    answered = await bitrix.call_batch({"halt": 0, "cmd": {f"j{n}": pay_command(n) for n in (1, 2)}})
    assert answered == {"j1": True, "j2": True}
    assert emulator.farm.effects(emulator.authority).counts == {1: 1, 2: 1}


async def test_errors_of_commands_are_raised(bitrix: BitrixAsync) -> None:
    """A refused command inside a batch becomes its exception, with the code."""
    with pytest.raises(ErrorInServerResponseException, match="ERROR_CHECK_FAILURE"):
        await bitrix.call_batch({"halt": 0, "cmd": {"a": pay_command(0)}})


async def test_refused_calls_are_http_errors(bitrix: BitrixAsync) -> None:
    """A wrong parameter is a 400 to it."""
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await bitrix.call(INVOICE, params(0), raw=True)
    assert refused.value.status == 400


async def test_everything_is_fetched_over_the_pages(emulator: RunningEmulator, bitrix: BitrixAsync) -> None:
    """`get_all` learns total and page size from the first reply and batches the rest."""
    emulator.farm.patch(emulator.authority, {"invoices": {"exist": [[1, 230]]}})
    found = await bitrix.get_all("crm.invoice.list", {"select": ["ID"]})
    assert sorted(int(item["ID"]) for item in found) == list(range(1, 231))


async def test_invoices_are_fetched_by_id(bitrix: BitrixAsync) -> None:
    """`get_by_ID` puts the ids into batch keys and finds its answers under them."""
    found = await bitrix.get_by_ID("crm.invoice.get", [5, 6])
    assert {key: item["PAYED"] for key, item in found.items()} == {"5": "N", "6": "N"}


async def test_it_recovers_from_the_rate_limit(emulator: RunningEmulator, bitrix: BitrixAsync) -> None:
    """A 503 makes it ask again later, and in the end every invoice is paid once."""
    emulator.farm.patch(emulator.authority, {"rate": {"burst": 1, "per_s": 4}})
    for number in (1, 2, 3):
        await bitrix.call(INVOICE, params(number), raw=True)
    assert emulator.farm.counters().rate_limited >= 1
    assert emulator.farm.effects(emulator.authority).counts == {1: 1, 2: 1, 3: 1}


async def test_its_blind_retry_after_a_lost_reply_is_harmless_one_after_another(
    emulator: RunningEmulator, bitrix: BitrixAsync
) -> None:
    """A reply lost after the work makes it pay again; a sequential repeat has no second effect."""
    emulator.farm.faults.add(read_fault({"kind": "502_html", "place": "after", "count": 1}))
    await bitrix.call(INVOICE, params(9), raw=True)
    tally = emulator.farm.effects().tally
    assert (tally.effects, tally.repeats, tally.doubles) == (1, 1, 0)
