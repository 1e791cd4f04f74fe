"""A finding as JSON: the same at the terminal and over HTTP."""

from reconciling.findings import Finding
from tasks.result import instant


def document_of(finding: Finding) -> dict[str, object]:
    """Names and texts; instants are ISO 8601 in UTC."""
    row, invoice = finding.payment, finding.invoice
    return {
        "kind": finding.kind.value,
        "difference": finding.is_difference,
        "id": row.id,
        "invoice_id": row.invoice_id,
        "status": row.state.value,
        "evidence": row.evidence.value if row.evidence else None,
        "finished_at": instant(row.finished_at),
        "paid_there": invoice.paid if invoice else None,
        "paid_there_at": instant(invoice.paid_at) if invoice else None,
        "paid_there_by": invoice.paid_by if invoice else None,
        "read_at": instant(finding.read_at),
        "text": finding.text,
    }
