"""What a request may hold. The same types check it and describe it in `/openapi.json`."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from config.callbacks import LONGEST_ADDRESS, BadCallback, read_callback
from ledger.payment import CODE_LIMIT, TEXT_LIMIT, Destination, Handle, NewPayment, PortalKey, State
from ledger.place_text import LONGEST
from tasks.payment import LARGEST_ID, LONGEST_TEXT, PORTAL, environment_rules, is_handle
from web.api.wrongs import NEXT, Wrong

DEFAULT_LIMIT: Final = 50
LARGEST_LIMIT: Final = 500

_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", re.IGNORECASE)


def digits_up_to(largest: int) -> str:
    """A regular expression for 1 to `largest` in digits, zeros in front allowed."""
    digits = str(largest)
    same_length = [
        f"{digits[:n]}[{1 if n == 0 else 0}-{int(digit) - 1}][0-9]{{{len(digits) - n - 1}}}"
        for n, digit in enumerate(digits)
        if int(digit) > (1 if n == 0 else 0)
    ]
    return f"^0*([1-9][0-9]{{0,{len(digits) - 2}}}|{'|'.join([*same_length, digits])})$"


def _refused(rule: str, text: str, next_step: str) -> PydanticCustomError:
    # pydantic fills braces; our texts have none.
    return PydanticCustomError(rule, f"{text}{NEXT}{next_step}")


def _whole_number(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(LARGEST_ID)):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_ID:
        return value
    raise _refused(
        "whole-number", f"must be a whole number from 1 to {LARGEST_ID}", "Give it as a number or in digits."
    )


def _portal_key(value: object) -> str:
    if isinstance(value, str) and PORTAL.fullmatch(value):
        return value
    raise _refused("portal-key", "is not a portal's key", "Give the key of a configured portal, such as acme; no host.")


def _printable(longest: int) -> BeforeValidator:
    def check(value: object) -> str:
        if not isinstance(value, str):
            raise _refused("text", "must be a text", f"Give 1 to {longest} printable characters.")
        if not 1 <= len(value) <= longest:
            raise _refused("length", f"must have 1 to {longest} characters", "Shorten it, or leave it out.")
        if not value.isprintable():
            raise _refused("printable", "has a character that cannot be printed", "Take it out.")
        return value

    return BeforeValidator(check)


def _instant(value: object) -> datetime:
    try:
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            # A leap second is written as 60 and no clock of ours has it.
            return datetime.fromisoformat(value.upper().replace(":60", ":59"))
    except ValueError:
        pass
    raise _refused("instant", "must be an instant as in RFC 3339", "Write it as 2026-11-24T01:02:03Z.")


def _callback(value: object) -> Destination:
    try:
        return Destination(*read_callback(value, environment_rules()))
    except BadCallback as error:
        reason = str(error)
    raise _refused("callback", reason, "Ask the operator which hosts are allowed; docs/callbacks.md tells more.")


def _limit(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) and 1 <= int(value) <= LARGEST_LIMIT:
        return int(value)
    raise _refused("limit", f"must be 1 to {LARGEST_LIMIT}", "Ask for more with the cursor of the answer.")


_NUMBER_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": LARGEST_ID},
        {"type": "string", "pattern": digits_up_to(LARGEST_ID), "maxLength": len(str(LARGEST_ID))},
    ]
}
_PORTAL_SCHEMA: Final[dict[str, Any]] = {"type": "string", "pattern": f"^{PORTAL.pattern}$"}


def _text_schema(longest: int) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": longest, "description": "printable characters"}
    )


WholeNumber = Annotated[int, BeforeValidator(_whole_number), WithJsonSchema(_NUMBER_SCHEMA)]
PortalText = Annotated[str, BeforeValidator(_portal_key), WithJsonSchema(_PORTAL_SCHEMA)]
Name = Annotated[str, _printable(LONGEST_TEXT), _text_schema(LONGEST_TEXT)]
Why = Annotated[str, _printable(TEXT_LIMIT), _text_schema(TEXT_LIMIT)]
Code = Annotated[str, _printable(CODE_LIMIT), _text_schema(CODE_LIMIT)]
Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
CallbackAddress = Annotated[
    Destination,
    PlainValidator(_callback),
    WithJsonSchema({"type": "string", "format": "uri", "maxLength": LONGEST_ADDRESS}),
]
Limit = Annotated[
    int, BeforeValidator(_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT})
]
CursorText = Annotated[
    str,
    _printable(LONGEST),
    WithJsonSchema({"type": "string", "pattern": f"^[A-Za-z0-9_-]{{1,{LONGEST}}}$"}),
]


class Strict(BaseModel):
    """What somebody sends: nothing beside the fields that are described."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    repeatable: ClassVar[frozenset[str]] = frozenset()  # in a query

    @classmethod
    def across(cls, _data: Mapping[str, object]) -> list[Wrong]:
        """What is wrong with several fields together."""
        return []


_WAYS: Final = ("pay_system_id", "bx_rest_handler")


class PaymentRequest(Strict):
    """One invoice to pay, and by which pay system."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["pay_system_id"], "properties": {"pay_system_id": _NUMBER_SCHEMA}},
                {"required": ["bx_rest_handler"], "properties": {"bx_rest_handler": {"type": "string"}}},
            ],
            "examples": [{"portal": "acme", "invoice_id": 2, "pay_system_id": 31}],
        }
    )

    portal: PortalText = Field(description="Key of a configured portal; never a host.")
    invoice_id: WholeNumber = Field(description="The invoice in that portal.")
    pay_system_id: WholeNumber | None = Field(
        None, description="The pay system. This or bx_rest_handler is required; with both, this one decides."
    )
    bx_rest_handler: Name | None = Field(None, description="The pay system's handler code.")
    idempotency_key: Name | None = Field(
        None, description="As the header Idempotency-Key, which says the same or is left out."
    )
    callback: CallbackAddress | None = Field(
        None,
        description="Who is told of its end: https, on a host that the operator has allowed. Without it: the callback "
        "of the token, where that has one.",
    )

    @classmethod
    def across(cls, data: Mapping[str, object]) -> list[Wrong]:
        """One of two fields names the pay system."""
        if any(data.get(name) is not None for name in _WAYS):
            return []
        text = "needs pay_system_id or bx_rest_handler"
        return [Wrong("", "way-to-pay", text, "Name the pay system that pays the invoice.")]

    def named(
        self, handle: str, key: str | None, traceparent: str | None = None, otherwise: Destination | None = None
    ) -> NewPayment:
        """As the ledger takes it; `otherwise` is told where the payment names nobody."""
        return NewPayment(
            id=Handle(handle),
            portal=PortalKey(self.portal),
            invoice_id=self.invoice_id,
            pay_system_id=self.pay_system_id,
            bx_rest_handler=self.bx_rest_handler,
            idempotency_key=key,
            callback=self.callback or otherwise,
            traceparent=traceparent,
        )


def key_wrong(key: str) -> Wrong | None:
    """What is wrong with an idempotency key that came as a header."""
    if is_handle(key):
        return None
    text = f"must be 1 to {LONGEST_TEXT} printable characters"
    return Wrong("Idempotency-Key", "printable", text, "Choose a key, such as a UUID.", within="header")


class ChangeRequest(Strict):
    """Why something is changed; it stays on record."""

    because: Why | None = Field(None, description="Why; it stays on record.")


class Seen(StrEnum):
    """What a person has seen in the portal."""

    PAID = "paid"
    UNPAID = "unpaid"


class ResolveRequest(Strict):
    """A person's word about a payment in doubt."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"as": "paid", "because": "seen in the portal"}]})

    seen: Annotated[Seen, BeforeValidator(lambda value: one_of(Seen, value))] = Field(
        alias="as", description="What you have seen in the portal."
    )
    because: Why = Field(description="How you know; it stays on record.")


class HoldRequest(Strict):
    """Why a portal's lane is to wait."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the portal moves this weekend"}]})

    reason: Why = Field(description="Shown wherever the lane is shown.")


def one_of(kind: type[StrEnum], value: object) -> StrEnum:
    if isinstance(value, str) and value in set(kind):
        return kind(value)
    known = ", ".join(kind)
    raise _refused("one-of", f"must be one of {known}", "Write it exactly so.")


StateName = Annotated[State, BeforeValidator(lambda value: one_of(State, value))]


class PageQuery(Strict):
    """How much, and from where on."""

    limit: Limit = Field(DEFAULT_LIMIT, description="How many at most; a page may have fewer and still a cursor.")
    cursor: CursorText | None = Field(None, description="`next_cursor` of the page before, with the same filters.")


class DoubtsQuery(PageQuery):
    """Which doubts."""

    portal: PortalText | None = Field(None, description="Only this portal.")


class PaymentsQuery(PageQuery):
    """Which payments."""

    repeatable: ClassVar[frozenset[str]] = frozenset({"state"})

    state: list[StateName] = Field([], description="Only these states; repeat it for several. Without: all.")
    portal: PortalText | None = Field(None, description="Only this portal.")
    invoice: WholeNumber | None = Field(None, description="The latest payment of this invoice, in each portal.")
    code: Code | None = Field(None, description="Only with this code, of the error or of the latest read error.")
    since: Instant | None = Field(None, description="Ended at this moment or later; open ones: accepted.")
    until: Instant | None = Field(None, description="Ended before this moment; open ones: accepted.")


class ReconcileQuery(Strict):
    """Which period, or where an earlier page ended."""

    since: Instant | None = Field(None, description="Ended at this moment or later; without: a day before `until`.")
    until: Instant | None = Field(None, description="Ended before this moment; without, or in the future: now.")
    cursor: CursorText | None = Field(None, description="`next_cursor` of the page before. It has the period in it.")
