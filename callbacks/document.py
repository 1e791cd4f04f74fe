"""A callback as the terminal and the HTTP API show it."""

from callbacks.letter import type_of
from ledger.callbacks import Callback
from tasks.result import instant


def document_of(callback: Callback) -> dict[str, object]:
    """Everything but the body; the address without its query, which may be a secret of the receiver's."""
    address, mark, _ = callback.to.url.partition("?")
    return {
        "id": callback.id,
        "state": callback.state.value,
        "type": type_of(callback),
        "payment": callback.payment.id,
        "handle": callback.handle,
        "portal": callback.payment.portal,
        "invoice_id": callback.payment.invoice_id,
        "host": callback.to.host,
        "url": f"{address}?***" if mark else address,
        "created_at": instant(callback.created_at),
        "tries": callback.tries,
        "tried_at": instant(callback.tried_at),
        "due_at": instant(callback.due_at),
        "remark": callback.remark,
    }
