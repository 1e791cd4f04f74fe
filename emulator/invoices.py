"""crm.invoice.get and crm.invoice.list: an old API that answers in strings and forgives bad filters."""

import re
from collections.abc import Callable, Iterator

from emulator.errors import RestError
from emulator.execution import Context, Outcome
from emulator.idset import MAX_ID, IdSet
from emulator.php import Params, Value, as_array, to_int, to_text
from emulator.records import Record

PAGE = 50
# A filter on anything but the id walks the records; a portal with every id would never end.
SCAN_LIMIT = 100_000

_OPERATION = re.compile(r"^(!@|@|><|>=|<=|>|<|!%|%|!=|!|=|)([A-Z_]+)$")
_FIELDS = (
    "ID",
    "ACCOUNT_NUMBER",
    "PAYED",
    "DATE_PAYED",
    "EMP_PAYED_ID",
    "STATUS_ID",
    "DATE_STATUS",
    "EMP_STATUS_ID",
    "PAY_SYSTEM_ID",
    "PAY_VOUCHER_NUM",
    "PAY_VOUCHER_DATE",
    "PRICE",
    "CURRENCY",
    "DATE_INSERT",
    "DATE_UPDATE",
    "ORDER_TOPIC",
    "PERSON_TYPE_ID",
    "RESPONSIBLE_ID",
    "XML_ID",
    "COMMENTS",
    "REASON_MARKED",
)


async def get_invoice(ctx: Context, params: Params, _start: int) -> Outcome:
    """crm.invoice.get: refusals have an empty code and status 400."""
    number = to_int(params.get("id", params.get("ID")))
    record = ctx.portal.invoices.find(number)
    if record is None:
        raise RestError("", "Not found.")
    if record.unreadable or not ctx.who.rights.can_read:
        raise RestError("", "Access denied.")
    row = {"ID": "1", "ORDER_ID": str(number), "PRODUCT_NAME": "Service", "PRICE": "100.00", "QUANTITY": "1.0000"}
    return Outcome({**fields_of(ctx, number, record), "INVOICE_PROPERTIES": [], "PRODUCT_ROWS": [dict(row)]})


def fields_of(ctx: Context, number: int, record: Record) -> Params:
    """An invoice's readable fields, all of them strings."""
    date = ctx.portal.date
    payer = "" if record.paid_by is None else str(record.paid_by)
    return {
        "ID": str(number),
        "ACCOUNT_NUMBER": str(number),
        "PAYED": "Y" if record.paid else "N",
        "DATE_PAYED": date(record.paid_at),
        "EMP_PAYED_ID": payer,
        "STATUS_ID": _status(record),
        "DATE_STATUS": date(record.paid_at),
        "EMP_STATUS_ID": payer,
        "PAY_SYSTEM_ID": str(_own_system(ctx)),
        "PAY_VOUCHER_NUM": "",
        "PAY_VOUCHER_DATE": date(record.voucher_at),
        "PRICE": "100.00",
        "CURRENCY": "EUR",
        "DATE_INSERT": date(0.0),
        "DATE_UPDATE": date(record.updated_at or 0.0),
        "ORDER_TOPIC": f"Invoice {number}",
        "PERSON_TYPE_ID": "1",
        "RESPONSIBLE_ID": "1",
        "XML_ID": "",
        "COMMENTS": "",
        "REASON_MARKED": record.marked,
    }


def _status(record: Record) -> str:
    if record.canceled:
        return "D"
    return "P" if record.paid else "N"


def _own_system(ctx: Context) -> int:
    # The invoice's own pay system, which paying by another one does not change.
    systems = ctx.portal.settings.pay_systems
    return next((item.id for item in systems if item.registry == "CRM_INVOICE"), 0)


async def list_invoices(ctx: Context, params: Params, start: int) -> Outcome:
    """crm.invoice.list: unknown fields and operations of a filter are dropped without a word."""
    wanted = _selection(_either(params, "select"))
    tests = _tests(_either(params, "filter") or {})
    direction = (_either(params, "order") or {}).get("ID")
    ids, rest = _id_range(ctx, tests)
    found = _matching(ctx, ids, rest, descending=direction != "ASC")
    offset = max(start, 0)
    page = [item for _, item in zip(range(offset + PAGE), found, strict=False)][offset:]
    rows: list[Value] = [{name: item[name] for name in wanted} for item in page]
    if start == -1:
        return Outcome(rows)
    total = (
        len(ids)
        if not rest and ctx.who.rights.can_read and _all_readable(ctx)
        else offset + len(page) + sum(1 for _ in found)
    )
    following = offset + PAGE if total > offset + PAGE else None
    return Outcome(rows, total, following)


def _either(params: Params, name: str) -> Params | None:
    # Only all-lower and all-upper are known here, unlike in the pay methods.
    return as_array(params.get(name, params.get(name.upper())))


def _selection(select: Params | None) -> tuple[str, ...]:
    if not select:
        return _FIELDS
    names = {to_text(item) for item in select.values()}
    chosen = tuple(name for name in _FIELDS if name in names or "*" in names)
    if not chosen:
        raise RestError("", "Inadmissible fields for selection")
    return chosen


Test = tuple[str, str, list[str]]  # operation, field, operands


def _tests(given: Params) -> list[Test]:
    found = []
    for name, value in given.items():
        parsed = _OPERATION.match(name)
        if parsed and parsed[2] in _FIELDS:
            array = as_array(value)
            operands = [to_text(value)] if array is None else [to_text(item) for item in array.values()]
            found.append((parsed[1], parsed[2], operands))
    return found


def _id_range(ctx: Context, tests: list[Test]) -> tuple[IdSet, list[Test]]:
    settings = ctx.portal.invoices.settings
    low, high, rest = 1, MAX_ID, []
    listed: set[int] | None = None
    for operation, name, operands in tests:
        number = to_int(operands[0]) if operands else 0
        if name != "ID" or operation not in ("", "=", "@", ">", ">=", "<", "<="):
            rest.append((operation, name, operands))
        elif operation in ("", "=", "@"):
            ids = {to_int(item) for item in operands}
            listed = ids if listed is None else listed & ids
        else:
            low = max(low, number + (operation == ">")) if operation[0] == ">" else low
            high = min(high, number - (operation == "<")) if operation[0] == "<" else high
    if listed is None:
        return settings.exist.between(low, high), rest
    chosen = sorted(item for item in listed if low <= item <= high and item in settings.exist)
    return IdSet(tuple((item, item) for item in chosen)), rest


def _all_readable(ctx: Context) -> bool:
    store = ctx.portal.invoices
    states = (store.settings.missing, store.settings.unreadable)
    return not any(states) and not any(row.missing or row.unreadable for row in store.rows.values())


def _matching(ctx: Context, ids: IdSet, tests: list[Test], *, descending: bool) -> Iterator[Params]:
    if not ctx.who.rights.can_read:
        return
    walk = ids.walk(descending=descending)
    for number in (item for _, item in zip(range(SCAN_LIMIT), walk, strict=False)):
        record = ctx.portal.invoices.find(number)
        if record is None or record.unreadable:
            continue
        item = fields_of(ctx, number, record)
        if all(_passes(test, to_text(item[test[1]])) for test in tests):
            yield item


_PREDICATES: dict[str, Callable[[str, list[str]], bool]] = {
    "": lambda value, operands: value in operands,
    "=": lambda value, operands: value in operands,
    "@": lambda value, operands: value in operands,
    "!": lambda value, operands: value not in operands,
    "!=": lambda value, operands: value not in operands,
    "!@": lambda value, operands: value not in operands,
    "%": lambda value, operands: any(item in value for item in operands),
    "!%": lambda value, operands: not any(item in value for item in operands),
    ">": lambda value, operands: _order(value) > _order(operands[0]),
    ">=": lambda value, operands: _order(value) >= _order(operands[0]),
    "<": lambda value, operands: _order(value) < _order(operands[0]),
    "<=": lambda value, operands: _order(value) <= _order(operands[0]),
    "><": lambda value, operands: _order(operands[0]) <= _order(value) <= _order(operands[-1]),
}


def _passes(test: Test, value: str) -> bool:
    operation, _, operands = test
    return not operands or _PREDICATES[operation](value, operands)


def _order(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), ""
    except ValueError:
        return 1, 0.0, value
