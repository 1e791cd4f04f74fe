"""The official SDK, untouched, pays on the emulator as on a portal.

It builds https addresses only, so the emulator opens a TLS listener, and the SDK's `requests` is told to trust its
certificate through REQUESTS_CA_BUNDLE. Nothing of the SDK is replaced.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from b24pysdk import errors
from b24pysdk.credentials import BitrixWebhook

from emulator import RunningEmulator, running_emulator
from tests.emulator.portal_caller import INVOICE

PAY = {"PAY_SYSTEM_ID": 1}
# One try: its own retries wait for seconds, and the emulator's first answer is what is tested.
ONCE: dict[str, Any] = {"max_retries": 1}


@pytest.fixture
async def secured(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningEmulator]:
    async with running_emulator({"template": {"plan": "none"}}, tls=["127.0.0.1:0"]) as emulator:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.ca_file))
        yield emulator


@pytest.fixture
def webhook(secured: RunningEmulator) -> BitrixWebhook:
    return BitrixWebhook(domain=secured.tls[0], webhook_token="1/emulator-secret")


async def run(work: Callable[..., Any], *arguments: object, **options: object) -> Any:
    return await asyncio.to_thread(work, *arguments, **options)


async def test_a_single_call_pays(secured: RunningEmulator, webhook: BitrixWebhook) -> None:
    """The SDK's call returns `true` and the invoice reads paid."""
    answer = await run(webhook.call_method, INVOICE, PAY | {"INVOICE_ID": 7}, **ONCE)
    assert answer["result"] is True
    assert answer["time"]["operating"] >= 0
    read = await run(webhook.call_method, "crm.invoice.get", {"id": 7}, **ONCE)
    assert read["result"]["PAYED"] == "Y"
    assert secured.farm.effects(secured.tls[0]).counts == {7: 1}


async def test_the_typed_client_reads_the_profile(webhook: BitrixWebhook) -> None:
    """The SDK's own objects understand the emulator's replies."""
    client = webhook.get_client(prefer_version=1)
    profile = await run(lambda: client.profile().result)
    assert profile["ID"] == "1"


async def test_a_batch_pays_each_command(secured: RunningEmulator, webhook: BitrixWebhook) -> None:
    """Results and errors come back under the caller's keys."""
    methods = {f"j{n}": (INVOICE, PAY | {"INVOICE_ID": n}) for n in (1, 2)} | {"bad": (INVOICE, PAY)}
    answer = (await run(webhook.call_batch, methods, **ONCE))["result"]
    assert answer["result"] == {"j1": True, "j2": True}
    assert answer["result_error"]["bad"]["error"] == "ERROR_CHECK_FAILURE"
    assert set(answer["result_time"]) == {"j1", "j2"}
    assert secured.farm.effects(secured.tls[0]).counts == {1: 1, 2: 1}


async def test_lists_are_fetched_page_by_page(secured: RunningEmulator, webhook: BitrixWebhook) -> None:
    """The SDK's list walks `next` to the end."""
    secured.farm.patch(secured.tls[0], {"invoices": {"exist": [[1, 130]]}})
    answer = await run(webhook.call_list, "crm.invoice.list", {"select": ["ID"]}, **ONCE)
    assert sorted(int(item["ID"]) for item in answer["result"]) == list(range(1, 131))


@pytest.mark.parametrize(
    ("settings", "params", "error"),
    [
        ({}, {}, errors.BitrixAPIBadRequest),
        ({"webhooks": {}}, {"INVOICE_ID": 1}, errors.BitrixAPIInvalidCredentials),
        ({"webhooks": {"1/emulator-secret": {"scopes": []}}}, {"INVOICE_ID": 1}, errors.BitrixAPIInsufficientScope),
        ({"webhooks": {"1/emulator-secret": {"can_pay": False}}}, {"INVOICE_ID": 1}, errors.BitrixAPIAccessDenied),
        ({"overload_hold": True}, {"INVOICE_ID": 1}, errors.BitrixAPIOverloadLimit),
        ({"rate": {"burst": 1, "per_s": 0}}, {"INVOICE_ID": 1}, errors.BitrixAPIQueryLimitExceeded),
        (
            {"operating_limit_s": 1, "operating_cost_s": {INVOICE: 2}},
            {"INVOICE_ID": 1},
            errors.BitrixAPIOperationTimeLimit,
        ),
    ],
)
async def test_refusals_become_the_sdks_own_exceptions(
    secured: RunningEmulator, webhook: BitrixWebhook, settings: dict[str, object], params: Any, error: type[Exception]
) -> None:
    """Each code and status is recognised by the SDK's table."""
    secured.farm.patch(secured.tls[0], settings)

    async def call_twice() -> None:
        # The limits let the first call pass.
        await run(webhook.call_method, INVOICE, PAY | params, **ONCE)
        await run(webhook.call_method, INVOICE, PAY | params, **ONCE)

    with pytest.raises(error):
        await call_twice()


async def test_its_retries_outlive_the_rate_limit(secured: RunningEmulator, webhook: BitrixWebhook) -> None:
    """Left to itself the SDK asks again until the bucket has drained."""
    secured.farm.patch(secured.tls[0], {"rate": {"burst": 1, "per_s": 5}})
    for number in (1, 2):
        answer = await run(webhook.call_method, INVOICE, PAY | {"INVOICE_ID": number}, initial_retry_delay=0.3)
        assert answer["result"] is True
    assert secured.farm.effects(secured.tls[0]).tally.doubles == 0
    assert secured.farm.counters().rate_limited >= 1


async def test_it_learns_a_renamed_portals_host(secured: RunningEmulator, webhook: BitrixWebhook) -> None:
    """A 302 makes the SDK take the new host; it drops the port, so on loopback the repeat finds nobody."""
    secured.farm.patch(secured.tls[0], {"redirect": "127.9.9.9:8443"})
    with pytest.raises(errors.BitrixRequestError):
        await run(webhook.call_method, INVOICE, PAY | {"INVOICE_ID": 3}, **ONCE)
    assert webhook.domain == "127.9.9.9"
    assert secured.farm.effects().tally.effects == 0


async def test_pages_instead_of_json_are_its_decode_errors(secured: RunningEmulator, webhook: BitrixWebhook) -> None:
    """A 500 page of the front end is seen as such."""
    from emulator.faults import read_fault

    secured.farm.faults.add(read_fault({"kind": "500_html", "place": "after"}))
    with pytest.raises(errors.BitrixResponse500JSONDecodeError):
        await run(webhook.call_method, INVOICE, PAY | {"INVOICE_ID": 3}, **ONCE)
    assert secured.farm.effects(secured.tls[0]).counts == {3: 1}
