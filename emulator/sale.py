"""Pay systems and payments as the portal lists them."""

from collections.abc import Mapping

from emulator.errors import RestError, no_rights
from emulator.execution import Context, Outcome
from emulator.paying import order_system, rest_handlers
from emulator.php import Params, Value, as_array, to_int, to_text, upper_keys
from emulator.records import Record
from emulator.settings import PaySystem

PAGE = 50


async def list_pay_systems(ctx: Context, params: Params, _start: int) -> Outcome:
    """sale.paysystem.list: the rows a preflight needs to see whether a pay system really pays."""
    _may_configure(ctx)
    given = upper_keys(params)
    wanted = as_array(given.get("FILTER")) or {}
    select = [to_text(item) for item in (as_array(given.get("SELECT")) or {}).values()]
    rows = [_system_row(item) for item in ctx.portal.settings.pay_systems]
    found = [row for row in rows if _fits(row, wanted)]
    return Outcome([{k: v for k, v in row.items() if not select or k in select or "*" in select} for row in found])


def _system_row(item: PaySystem) -> Params:
    return {
        "ID": str(item.id),
        "PAY_SYSTEM_ID": str(item.id),
        "PERSON_TYPE_ID": "1",
        "NAME": item.name,
        "PSA_NAME": item.name,
        "CODE": "",
        "SORT": str(item.id * 100),
        "DESCRIPTION": "",
        "ACTION_FILE": item.action_file,
        "ACTIVE": "Y" if item.active else "N",
        "NEW_WINDOW": "N",
        "PS_MODE": "",
        "IS_CASH": "N",
        "ENTITY_REGISTRY_TYPE": item.registry,
        "XML_ID": f"emulator_{item.id}",
    }


def _fits(row: Mapping[str, Value], wanted: Params) -> bool:
    known = {name.lstrip("=@"): value for name, value in wanted.items() if name.lstrip("=@") in row}
    for name, value in known.items():
        array = as_array(value)
        operands = [value] if array is None else list(array.values())
        if row[name] not in [to_text(item) for item in operands]:
            return False
    return True


async def list_handlers(ctx: Context, _params: Params, _start: int) -> Outcome:
    """sale.paysystem.handler.list: the codes of REST handlers."""
    _may_configure(ctx)
    rows: list[Value] = [
        {"ID": str(index + 1), "NAME": code, "CODE": code, "SORT": "100", "SETTINGS": {}}
        for index, code in enumerate(sorted(rest_handlers(ctx)))
    ]
    return Outcome(rows)


def _may_configure(ctx: Context) -> None:
    if not ctx.who.rights.can_configure:
        raise no_rights()


async def get_payment(ctx: Context, params: Params, _start: int) -> Outcome:
    """sale.payment.get: a payment of an order."""
    if params.get("id") is None:
        raise RestError(100, "Could not find value for parameter {id}")
    number = to_int(params["id"])
    record = ctx.portal.payments.find(number)
    if not ctx.who.rights.can_read or (record is not None and record.unreadable):
        raise RestError(200040300010, "Access Denied")
    if record is None:
        raise RestError(200640400001, "payment is not exists")
    return Outcome({"payment": _payment(ctx, number, record)})


async def list_payments(ctx: Context, params: Params, start: int) -> Outcome:
    """sale.payment.list: by id, fifty to a page."""
    if not ctx.who.rights.can_read:
        raise RestError(200040300010, "Access Denied")
    wanted = as_array(params.get("filter")) or {}
    listed = next((wanted[name] for name in ("@id", "=id", "id") if name in wanted), None)
    array = as_array(listed)
    settings = ctx.portal.payments.settings
    if listed is None:
        numbers = [number for _, number in zip(range(PAGE * 20), settings.exist.walk(descending=False), strict=False)]
    else:
        numbers = sorted({to_int(item) for item in ([listed] if array is None else array.values())})
    found = [(number, record) for number in numbers if (record := ctx.portal.payments.find(number)) is not None]
    offset = max(start, 0)
    rows: list[Value] = [_payment(ctx, number, record) for number, record in found[offset : offset + PAGE]]
    following = offset + PAGE if len(found) > offset + PAGE and start != -1 else None
    return Outcome({"payments": rows}, None if start == -1 else len(found), following)


async def get_item_payment(ctx: Context, params: Params, _start: int) -> Outcome:
    """crm.item.payment.get: the shorter view of the same payment."""
    if params.get("id") is None:
        raise RestError(100, "Could not find value for parameter {id}")
    number = to_int(params["id"])
    record = ctx.portal.payments.find(number)
    if record is None or record.unreadable or not ctx.who.rights.can_read:
        raise RestError(0, "Insufficient permissions")
    full = _payment(ctx, number, record)
    names = ("id", "accountNumber", "paid", "datePaid", "empPaidId", "paySystemId", "sum", "currency", "paySystemName")
    return Outcome({name: full[name] for name in names})


def _payment(ctx: Context, number: int, record: Record) -> Params:
    system, stamps = order_system(ctx), record.stamps or {}
    return {
        "id": number,
        "orderId": number,
        "accountNumber": f"{number}/1",
        "paid": "Y" if record.paid else "N",
        "datePaid": ctx.portal.date(record.paid_at) or None,
        "empPaidId": record.paid_by,
        "paySystemId": 0 if system is None else system.id,
        "paySystemName": "" if system is None else system.name,
        "sum": 100,
        "currency": "EUR",
        "psInvoiceId": stamps.get("PS_INVOICE_ID"),
        "psStatus": "Y" if record.response_at else None,
        "psStatusCode": stamps.get("PS_STATUS_CODE", "Y") if record.response_at else None,
        "psResponseDate": ctx.portal.date(record.response_at) or None,
        "payVoucherDate": ctx.portal.date(record.voucher_at) or None,
        "dateUpdate": ctx.portal.date(record.updated_at) or None,
    }
