"""Paying: the checks in their order, what a pay system does, and what is written."""

import asyncio
from collections.abc import Callable

import pytest

from emulator import Handle, RunningEmulator
from emulator.records import Change
from tests.emulator.portal_caller import INVOICE, Caller

CHECK = "ERROR_CHECK_FAILURE"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, (400, CHECK, "Empty field BX_REST_HANDLER and PAY_SYSTEM_ID")),
        ({"PAY_SYSTEM_ID": None, "INVOICE_ID": 1}, (400, CHECK, "Empty field BX_REST_HANDLER and PAY_SYSTEM_ID")),
        ({"PAY_SYSTEM_ID": 99, "BX_REST_HANDLER": "x"}, (400, CHECK, "Pay system with ID=99 not found")),
        ({"PAY_SYSTEM_ID": "", "INVOICE_ID": 1}, (400, CHECK, "Pay system with ID= not found")),
        ({"PAY_SYSTEM_ID": 1, "BX_REST_HANDLER": "x"}, (400, CHECK, "Incorrect rest handler code")),
        ({"PAY_SYSTEM_ID": 1}, (400, CHECK, "Empty field INVOICE_ID!")),
        ({"PAY_SYSTEM_ID": 1, "INVOICE_ID": "0"}, (400, CHECK, "Empty field INVOICE_ID!")),
        ({"PAY_SYSTEM_ID": 5, "INVOICE_ID": 77}, (400, "ERROR_INTERNAL_INVOICE_NOT_FOUND", "Invoice #77 not found")),
        ({"PAY_SYSTEM_ID": 5, "INVOICE_ID": 1}, (400, "ERROR_PROCESS_REQUEST_RESULT", "Pay system not found")),
        ({"PAY_SYSTEM_ID": 1, "INVOICE_ID": 8}, (400, "ERROR_PROCESS_REQUEST_RESULT", "Order #8 canceled")),
        ({"PAY_SYSTEM_ID": 1, "INVOICE_ID": 9}, (400, "ERROR_PROCESS_REQUEST_RESULT", "Order #9 does not exist")),
    ],
)
async def test_the_checks_come_in_the_portals_order(
    portal: Caller, tell: Callable[..., None], params: dict[str, object], expected: tuple[object, ...]
) -> None:
    """Each wrong parameter has its own code and text, and an earlier check hides a later one."""
    tell(invoices={"missing": [77], "canceled": [8], "unloadable": [9]})
    assert (await portal.call(INVOICE, **params)).error == expected


async def test_missing_module_and_missing_rights_come_first(portal: Caller, tell: Callable[..., None]) -> None:
    """Without the crm module, or without rights, parameters are not looked at."""
    tell(webhooks={"1/emulator-secret": {"can_pay": False}})
    assert (await portal.call(INVOICE)).error == (403, "ACCESS_DENIED", "Access denied!")
    tell(crm_module=False)
    assert (await portal.call(INVOICE)).error == (400, "ERROR_INVOICE_NO_SUPPORTED", "Pay invoice is not supported!")


async def test_keys_are_read_in_any_case(portal: Caller, handle: Handle) -> None:
    """`invoice_id` pays as well as `INVOICE_ID`, and a handler code as well as an id."""
    answered = await portal.call(INVOICE, invoice_id=3, bx_rest_handler="emulator_rest")
    assert answered.json["result"] is True
    assert (await handle.effects(portal.authority)).counts == {3: 1}


async def test_paying_writes_the_payer_the_dates_and_the_status(portal: Caller, handle: Handle) -> None:
    """A paid invoice reads PAYED=Y, STATUS_ID=P and the user of the webhook."""
    assert (await portal.call(INVOICE, INVOICE_ID=3, PAY_SYSTEM_ID=1, ps_invoice_id="k1")).json["result"] is True
    invoice = (await portal.call("crm.invoice.get", id=3)).json["result"]
    assert (invoice["PAYED"], invoice["STATUS_ID"], invoice["EMP_PAYED_ID"]) == ("Y", "P", "1")
    assert invoice["DATE_PAYED"].endswith("+03:00")
    assert invoice["PAY_VOUCHER_DATE"].endswith("T00:00:00+03:00")
    record = await handle.record(portal.authority, 3)
    assert record is not None
    assert record.stamps == {"PS_INVOICE_ID": "k1"}


async def test_a_repeat_is_true_and_has_no_second_effect(portal: Caller, handle: Handle) -> None:
    """Paying a paid invoice one after another succeeds, and only cosmetic fields change."""
    await portal.pay(3)
    before = await handle.record(portal.authority, 3)
    assert (await portal.pay(3)).json["result"] is True
    after = await handle.record(portal.authority, 3)
    assert before is not None
    assert after is not None
    assert (after.effects, after.paid_at) == (1, before.paid_at)
    tally = (await handle.effects()).tally
    assert (tally.effects, tally.repeats, tally.doubles) == (1, 1, 0)


async def test_two_pays_at_once_double_the_effects(portal: Caller, tell: Callable[..., None], handle: Handle) -> None:
    """Two overlapping pays of one invoice both load it unpaid; the emulator counts the damage."""
    tell(pay_s=0.1)
    first, second = await asyncio.gather(portal.pay(3), portal.pay(3))
    assert first.json["result"] is second.json["result"] is True
    effects = await handle.effects(portal.authority)
    assert (effects.counts, effects.tally.doubles, effects.tally.overlaps) == ({3: 2}, 1, 1)
    assert effects.doubled == [(portal.authority, 3, 2)]


async def test_serial_execution_closes_the_race(portal: Caller, tell: Callable[..., None], handle: Handle) -> None:
    """A portal that runs one webhook's requests in a row pays once."""
    tell(pay_s=0.05, execution="serial")
    await asyncio.gather(portal.pay(3), portal.pay(3))
    tally = (await handle.effects()).tally
    assert (tally.effects, tally.repeats, tally.overlaps) == (1, 1, 0)


async def test_an_unpaid_invoice_may_be_paid_once_more(portal: Caller, handle: Handle) -> None:
    """A person's unpay allows one more effect without calling it a double."""
    await portal.pay(3)
    await handle.change(portal.authority, [3], Change.UNPAY)
    assert (await portal.call("crm.invoice.get", id=3)).json["result"]["PAYED"] == "N"
    await portal.pay(3)
    effects = await handle.effects(portal.authority)
    assert (effects.counts, effects.tally.doubles, effects.tally.paid) == ({3: 2}, 0, 1)


@pytest.mark.parametrize(("system", "field"), [(2, "no_ops"), (4, "swallowed")])
async def test_some_pay_systems_say_true_and_pay_nothing(
    portal: Caller, handle: Handle, system: int, field: str
) -> None:
    """A paper pay system and a failed save both answer `true` over an unpaid invoice."""
    assert (await portal.pay(3, system)).json["result"] is True
    assert (await portal.call("crm.invoice.get", id=3)).json["result"]["PAYED"] == "N"
    tally = (await handle.effects()).tally
    assert (getattr(tally, field), tally.effects) == (1, 0)


async def test_a_vendor_refuses_in_the_portals_language_and_marks(portal: Caller, tell: Callable[..., None]) -> None:
    """A foreign handler's refusal is localised and leaves a mark on the invoice."""
    tell(language="ru")
    status, code, text = (await portal.pay(3, 3)).error
    assert (status, code) == (400, "ERROR_PROCESS_REQUEST_RESULT")
    assert text == "Номер оплаты в запросе не найден"
    assert (await portal.call("crm.invoice.get", id=3)).json["result"]["REASON_MARKED"] == text


async def test_an_inactive_pay_system_pays_all_the_same(portal: Caller) -> None:
    """ACTIVE is not looked at."""
    assert (await portal.pay(3, 6)).json["result"] is True
    assert (await portal.call("crm.invoice.get", id=3)).json["result"]["PAYED"] == "Y"


async def test_work_goes_on_when_the_client_has_gone(
    emulator: RunningEmulator, portal: Caller, tell: Callable[..., None], handle: Handle
) -> None:
    """A call whose client hangs up is executed to the end, and counted as late."""
    tell(pay_s=0.3)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(portal.pay(3), 0.1)
    async with asyncio.timeout(5):
        while not (tally := (await handle.effects()).tally).effects:  # noqa: ASYNC110 -- another process's state
            await asyncio.sleep(0.02)
    assert (tally.late, tally.paid) == (1, 1)
    (entry,) = await handle.requests(portal=portal.authority)
    assert (entry.client_gone, entry.executed, entry.status) == (True, 1, 200)


async def test_payments_of_orders_are_paid_by_both_methods(portal: Caller, handle: Handle) -> None:
    """pay.payment stamps a readable PS_INVOICE_ID; crm.item.payment.pay needs no pay system."""
    pay = "sale.paysystem.pay.payment"
    assert (await portal.call(pay, PAYMENT_ID=4)).error == (400, CHECK, "Empty field PAY_SYSTEM_ID!")
    assert (await portal.call(pay, PAYMENT_ID=4, PAY_SYSTEM_ID=99)).error == (400, CHECK, "Pay system not found")
    assert (await portal.call(pay, PAY_SYSTEM_ID=5)).error == (400, CHECK, "Empty field PAYMENT_ID")
    wrong = await portal.call(pay, PAYMENT_ID=4, PAY_SYSTEM_ID=1)
    assert wrong.error == (400, CHECK, "Payment with ID=4 and PAY_SYSTEM_ID=1 not found")
    assert (await portal.call(pay, PAYMENT_ID=4, PAY_SYSTEM_ID=5, PS_INVOICE_ID="s")).json["result"] is True
    payment = (await portal.call("sale.payment.get", id=4)).json["result"]["payment"]
    assert (payment["paid"], payment["empPaidId"], payment["psInvoiceId"]) == ("Y", 1, "s")
    assert (await portal.call("crm.item.payment.pay", id=5)).json["result"] is True
    assert (await portal.call("crm.item.payment.pay", id=5)).json["result"] is True
    assert (await portal.call("crm.item.payment.get", id=5)).json["result"]["paid"] == "Y"
    listed = (await portal.call("sale.payment.list", filter={"@id": [4, 5, 6]})).json
    assert [item["paid"] for item in listed["result"]["payments"]] == ["Y", "Y", "N"]
    assert (await handle.effects(portal.authority, payments=True)).counts == {4: 1, 5: 1}


async def test_refusals_of_payments_have_numbers(portal: Caller, tell: Callable[..., None]) -> None:
    """The newer methods answer with numeric codes."""
    tell(payments={"exist": [[1, 10]]})
    assert (await portal.call("crm.item.payment.pay", id=11)).error == (400, 0, "Insufficient permissions")
    assert (await portal.call("crm.item.payment.pay")).error[:2] == (400, 100)
    assert (await portal.call("sale.payment.get", id=11)).error[:2] == (400, 200640400001)
    tell(webhooks={"1/emulator-secret": {"can_read": False}})
    assert (await portal.call("sale.payment.get", id=1)).error[:2] == (400, 200040300010)
