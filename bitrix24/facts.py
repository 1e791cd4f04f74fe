"""What the far side said, as plain facts: the client states them, the worker's policy decides what they mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bitrix24.errors import PortalError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """One pay command: `sale.paysystem.pay.invoice` with these parameters."""

    invoice_id: int
    pay_system_id: int | None
    bx_rest_handler: str | None


@dataclass(frozen=True, slots=True)
class Claims:
    """The portal answered `true`: a claim, not a proof (`protocol.md` §1, layer D)."""


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as `crm.invoice.list` showed it."""

    id: int
    paid: bool  # PAYED == 'Y'
    paid_at: datetime | None  # DATE_PAYED
    paid_by: str | None  # EMP_PAYED_ID


@dataclass(frozen=True, slots=True)
class Operating:
    """The portal's execution-time account of one method: seconds used, and when the oldest part leaves (unix s)."""

    used_s: float
    reset_at: float | None


Answer = Claims | PortalError  # of one pay command
Invoices = (
    Mapping[int, Invoice] | PortalError
)  # of a read-back; an invoice that is absent was deleted or is not readable


Seen = Invoice | None  # of an invoice that was asked for alone; None: there is no such invoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answered request: an answer per pay command in the order asked, and what the read-back behind them saw."""

    answers: tuple[Answer, ...]
    invoices: Invoices
    took_s: float
    operating: Operating | None
    commands_s: float | None = None  # what the pays that claim took at the portal, None where it does not tell
