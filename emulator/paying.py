"""Methods that pay: invoices, payments of orders, and payments of CRM items."""

import asyncio

from emulator.errors import RestError, check_failure, no_rights
from emulator.execution import Context, Outcome
from emulator.php import Params, Value, is_empty, to_int, to_text, upper_keys
from emulator.records import Record, RecordStore
from emulator.settings import PaySystem, SystemKind

_STAMPS = (
    "PS_INVOICE_ID",
    "PS_STATUS_CODE",
    "PS_STATUS_DESCRIPTION",
    "PS_STATUS_MESSAGE",
    "PS_SUM",
    "PS_CURRENCY",
    "PS_RECURRING_TOKEN",
    "PS_CARD_NUMBER",
)
_TEXTS = {
    "en": {
        "missing": "Order #{n} does not exist",
        "canceled": "Order #{n} canceled",
        "vendor": "Payment ID was not found in the request",
    },
    "ru": {
        "missing": "Заказ №{n} не существует",
        "canceled": "Заказ №{n} отменён",
        "vendor": "Номер оплаты в запросе не найден",
    },
    "de": {
        "missing": "Auftrag #{n} existiert nicht",
        "canceled": "Auftrag #{n} wurde storniert",
        "vendor": "Zahlungs-ID wurde in der Anfrage nicht gefunden",
    },
}


async def pay_invoice(ctx: Context, params: Params, _start: int) -> Outcome:
    """sale.paysystem.pay.invoice: nine checks in the portal's order, then the pay system's turn."""
    given = upper_keys(params)
    _check_invoice_params(ctx, given)
    number = to_int(given["INVOICE_ID"])
    if ctx.portal.invoices.find(number) is None:
        raise RestError("ERROR_INTERNAL_INVOICE_NOT_FOUND", f"Invoice #{to_text(given['INVOICE_ID'])} not found")
    system = _system_for_invoice(ctx, given)
    if system is None:
        raise RestError("ERROR_PROCESS_REQUEST_RESULT", "Pay system not found")
    await process(ctx, ctx.portal.invoices, number, system, given)
    return Outcome(value=True)


def _check_invoice_params(ctx: Context, given: Params) -> None:
    settings = ctx.portal.settings
    handler, system = given.get("BX_REST_HANDLER"), given.get("PAY_SYSTEM_ID")
    if not settings.crm_module:
        raise RestError("ERROR_INVOICE_NO_SUPPORTED", "Pay invoice is not supported!")
    if not ctx.who.rights.can_pay:
        raise no_rights()
    if handler is None and system is None:
        raise check_failure("Empty field BX_REST_HANDLER and PAY_SYSTEM_ID")
    if system is not None and _system_by_id(ctx, system) is None:
        raise check_failure(f"Pay system with ID={to_text(system)} not found")
    if handler is not None and to_text(handler) not in rest_handlers(ctx):
        raise check_failure("Incorrect rest handler code")
    if is_empty(given.get("INVOICE_ID")):
        raise check_failure("Empty field INVOICE_ID!")


def rest_handlers(ctx: Context) -> set[str]:
    """Codes of the REST handlers registered on the portal."""
    settings = ctx.portal.settings
    kinds = (SystemKind.REST, SystemKind.SWALLOWING)
    return {*settings.rest_handlers, *(item.action_file for item in settings.pay_systems if item.kind in kinds)}


def _system_by_id(ctx: Context, number: Value) -> PaySystem | None:
    wanted = to_int(number)
    return next((item for item in ctx.portal.settings.pay_systems if item.id == wanted), None)


def _system_for_invoice(ctx: Context, given: Params) -> PaySystem | None:
    # PAY_SYSTEM_ID wins; a handler code takes the first row, active or not.
    number, handler = given.get("PAY_SYSTEM_ID"), given.get("BX_REST_HANDLER")
    for item in ctx.portal.settings.pay_systems:
        fits = item.id == to_int(number) if number is not None else item.action_file == to_text(handler)
        if fits and item.registry == "CRM_INVOICE":
            return item
    return None


async def pay_payment(ctx: Context, params: Params, _start: int) -> Outcome:
    """sale.paysystem.pay.payment: the same for a payment of an order."""
    given = upper_keys(params)
    if not ctx.who.rights.can_pay:
        raise no_rights()
    if is_empty(given.get("PAY_SYSTEM_ID")):
        raise check_failure("Empty field PAY_SYSTEM_ID!")
    system = _system_by_id(ctx, given["PAY_SYSTEM_ID"])
    if system is None:
        raise check_failure("Pay system not found")
    if is_empty(given.get("PAYMENT_ID")):
        raise check_failure("Empty field PAYMENT_ID")
    number = to_int(given["PAYMENT_ID"])
    if ctx.portal.payments.find(number) is None or system != order_system(ctx):
        raise check_failure(f"Payment with ID={number} and PAY_SYSTEM_ID={system.id} not found")
    await process(ctx, ctx.portal.payments, number, system, given)
    return Outcome(value=True)


def order_system(ctx: Context) -> PaySystem | None:
    """The pay system all payments of orders belong to."""
    return next((item for item in ctx.portal.settings.pay_systems if item.registry == "ORDER"), None)


async def pay_item_payment(ctx: Context, params: Params, _start: int) -> Outcome:
    """crm.item.payment.pay: sets PAID without asking the pay system; a repeat changes nothing."""
    if params.get("id") is None:
        raise RestError(100, "Could not find value for parameter {id}")
    number, store = to_int(params["id"]), ctx.portal.payments
    record = store.find(number)
    if record is None or not ctx.who.rights.can_pay:
        raise RestError(0, "Insufficient permissions")
    if not record.paid:
        await _save(ctx, store, number, {}, swallow=False)
    return Outcome(value=True)


async def process(ctx: Context, store: RecordStore, number: int, system: PaySystem, given: Params) -> None:
    """Let the pay system process the request; returning means `true`, which is no proof of a payment."""
    if system.kind is SystemKind.PAPER:
        store.tally.no_ops += 1
        return
    if system.kind is SystemKind.VENDOR:
        store.row(number).marked = _text(ctx, "vendor", number)
        ctx.note("record.marked", number)
        raise _refused(ctx, "vendor", number)
    record = store.find(number)
    if record is None or number in store.settings.unloadable:
        raise _refused(ctx, "missing", number)
    if record.canceled:
        raise _refused(ctx, "canceled", number)
    swallow = system.kind is SystemKind.SWALLOWING or number in store.settings.swallowing
    await _save(ctx, store, number, given, swallow=swallow)


async def _save(ctx: Context, store: RecordStore, number: int, given: Params, *, swallow: bool) -> None:
    loaded = store.find(number)
    first = loaded is not None and not loaded.paid
    store.begin(number)
    try:
        # Nothing locks the record between load and save: a second call in this window has also seen it unpaid.
        await asyncio.sleep(ctx.portal.settings.pay_s)
    finally:
        store.end(number)
    if swallow:
        store.tally.swallowed += 1
        ctx.note("record.save_swallowed", number)
        return
    now = ctx.portal.now()
    late = ctx.gone()
    row = store.save_paid(number, first=first, at=now, today=ctx.portal.today(), user=ctx.who.user, late=late)
    _stamp(row, given)
    ctx.note("record.paid" if first else "record.repaid", number, "late" if late else "")


def _stamp(row: Record, given: Params) -> None:
    stamps = {name: given[name] for name in _STAMPS if name in given}
    if stamps:
        row.stamps = {**(row.stamps or {}), **stamps}


def _refused(ctx: Context, why: str, number: int) -> RestError:
    return RestError("ERROR_PROCESS_REQUEST_RESULT", _text(ctx, why, number))


def _text(ctx: Context, why: str, number: int) -> str:
    return _TEXTS[ctx.portal.settings.language][why].format(n=number)
