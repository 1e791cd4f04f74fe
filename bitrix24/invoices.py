"""The read-back: how paid invoices are asked for and what a row proves. PAYED='Y' is the proof (`protocol.md` §3)."""

from collections.abc import Mapping, Sequence
from typing import Final

from bitrix24.facts import Invoice
from bitrix24.shapes import as_instant, as_int, as_rows

READ_METHOD: Final = "crm.invoice.list"
# One invoice; unlike the list it tells one that is not there from one that may not be read.
GET_METHOD: Final = "crm.invoice.get"
# The portal's page size; more ids would need a second request.
READ_MAX: Final = 50
_SELECT: Final = ("ID", "PAYED", "DATE_PAYED", "EMP_PAYED_ID")


def read_params(invoice_ids: Sequence[int]) -> dict[str, object]:
    """Parameters that ask for exactly these invoices; `start` -1 spares the portal the counting."""
    return {"filter": {"@ID": list(invoice_ids)}, "select": list(_SELECT), "order": {"ID": "ASC"}, "start": -1}


def read_command(invoice_ids: Sequence[int]) -> list[tuple[str, object]]:
    """The same as the flat pairs of a batch command."""
    ids: list[tuple[str, object]] = [(f"filter[@ID][{index}]", each) for index, each in enumerate(invoice_ids)]
    fields = [(f"select[{index}]", name) for index, name in enumerate(_SELECT)]
    return [*ids, *fields, ("order[ID]", "ASC"), ("start", -1)]


def read_rows(result: object, asked: Sequence[int]) -> Mapping[int, Invoice] | None:
    """The invoices that the rows of a reply prove something about; None where the reply cannot be about what was asked.

    A portal drops filters it does not know and then shows everything: one foreign id, and absence says nothing. Rows
    without a readable id or a PAYED of Y or N are left out, and so are rows that contradict each other.
    """
    if not isinstance(result, dict | list):
        return None
    found: dict[int, Invoice] = {}
    contradicted: set[int] = set()
    for row in as_rows(result):
        invoice_id = as_int(row.get("ID"))
        if invoice_id is None:
            continue
        if invoice_id not in asked:
            return None
        invoice = _invoice(invoice_id, row)
        if invoice is None or found.get(invoice_id, invoice).paid != invoice.paid:
            contradicted.add(invoice_id)
        else:
            found[invoice_id] = invoice
    return {invoice_id: invoice for invoice_id, invoice in found.items() if invoice_id not in contradicted}


def _invoice(invoice_id: int, row: Mapping[str, object]) -> Invoice | None:
    payed = row.get("PAYED")
    mark = payed.strip().upper() if isinstance(payed, str) else ""
    if mark not in ("Y", "N"):
        return None
    paid_by = as_int(row.get("EMP_PAYED_ID"))
    return Invoice(
        id=invoice_id,
        paid=mark == "Y",
        paid_at=as_instant(row.get("DATE_PAYED")),
        paid_by=str(paid_by) if paid_by else None,
    )
