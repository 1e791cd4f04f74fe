"""What a request must look like (`contract.md` §1). Everything wrong with it is told at once."""

import os
import re
from base64 import b32encode
from collections.abc import Callable, Mapping
from functools import lru_cache

from config.callbacks import BadCallback, CallbackRules, read_callback
from ledger.payment import Destination, Handle, NewPayment, PortalKey
from tasks.errors import InvalidPayment

LARGEST_ID = 2**53 - 1  # the largest whole number that every JSON reader keeps exact
LONGEST_TEXT = 255
PORTAL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_OURS = re.compile(r"[a-z2-7]{16}|[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
FIELDS = ("portal", "invoice_id", "pay_system_id", "bx_rest_handler", "idempotency_key", "callback")


def environment_rules() -> CallbackRules:
    """Who may be told of a payment's end, as the settings of this process say."""
    return _rules(os.environ.get("B24PAY_CALLBACK_HOSTS"), os.environ.get("B24PAY_ALLOW_INSECURE_PORTALS"))


@lru_cache(maxsize=4)
def _rules(_hosts: str | None, _insecure: str | None) -> CallbackRules:
    """Read once for many payments; what they are read from is only the cache's key."""
    from config.plain import plain_settings

    return plain_settings().callback_rules


def parse_payment(
    handle: object, fields: Mapping[str, object], callback_rules: Callable[[], CallbackRules] = environment_rules
) -> NewPayment:
    """Check a request's fields and give the payment it asks for.

    `callback_rules` is asked only where somebody wants to be told of the end. Raises InvalidPayment with one sentence
    per problem.
    """
    problems = [f"unknown field {_shown(name)}: known are {', '.join(FIELDS)}" for name in fields if name not in FIELDS]
    payment = NewPayment(
        id=Handle(_text("id", handle, problems) or ""),
        portal=PortalKey(_portal(fields.get("portal"), problems)),
        invoice_id=_whole_number("invoice_id", fields.get("invoice_id"), problems, required=True) or 0,
        pay_system_id=_whole_number("pay_system_id", fields.get("pay_system_id"), problems, required=False),
        bx_rest_handler=_text("bx_rest_handler", fields.get("bx_rest_handler"), problems),
        idempotency_key=_text("idempotency_key", fields.get("idempotency_key"), problems),
        callback=_callback(fields.get("callback"), problems, callback_rules),
    )
    if fields.get("pay_system_id") is None and fields.get("bx_rest_handler") is None:
        problems.append("pay_system_id or bx_rest_handler is required: name the pay system that pays the invoice")
    if problems:
        raise InvalidPayment("; ".join(problems))
    return payment


def new_ids(count: int) -> list[str]:
    """Names for payments of our own doors: 80 random bits each, in 16 letters and digits.

    A name stands in the ledger three times, so a longer one costs three times as much (docs/decisions/0065).
    """
    letters = b32encode(os.urandom(10 * count)).decode().lower()
    return [letters[at : at + 16] for at in range(0, 16 * count, 16)]


def is_our_id(handle: str) -> bool:
    """Whether a name looks as if our own doors gave it (`new_ids`, an import's, a bulk item's): no message bears it."""
    return _OURS.fullmatch(handle) is not None


def is_handle(value: object) -> bool:
    """Whether something may name a payment: 1 to 255 printable characters."""
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_TEXT and value.isprintable()


def _portal(value: object, problems: list[str]) -> str:
    if isinstance(value, str) and PORTAL.fullmatch(value):
        return value
    cause = "is required" if value is None else f"is not a portal key: {_shown(value)}"
    problems.append(f"portal {cause}; give the key of a configured portal, such as 'acme', never a host")
    return ""


def _callback(value: object, problems: list[str], rules: Callable[[], CallbackRules]) -> Destination | None:
    if value is None:
        return None
    try:
        return Destination(*read_callback(value, rules()))
    except BadCallback as error:
        problems.append(f"callback {error}")
        return None


def _whole_number(name: str, value: object, problems: list[str], *, required: bool) -> int | None:
    if value is None and not required:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(LARGEST_ID)):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_ID:
        return value
    cause = "is required" if value is None else f"is {_shown(value)}"
    problems.append(f"{name} {cause}; it must be a whole number from 1 to {LARGEST_ID}")
    return None


def _text(name: str, value: object, problems: list[str]) -> str | None:
    if value is None and name != "id":
        return None
    if isinstance(value, str) and is_handle(value):
        return value
    problems.append(f"{name} is {_shown(value)}; it must be 1 to {LONGEST_TEXT} printable characters")
    return None


def _shown(value: object) -> str:
    """A value as a message may show it: short, printable, and of simple types only."""
    if value is None or isinstance(value, str | int | float):
        from config.redaction import redact

        text = redact(ascii(value))  # somebody may give a webhook where a portal's key belongs
        return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - what fits a line of a log
    return f"of type {type(value).__name__}"
