"""Filters of the working pages: what somebody wrote made visible, addresses, and words for proofs."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from ledger.payment import Evidence

_PROOFS: Final = {
    Evidence.READ_BACK: "read back: PAYED = Y was seen",
    Evidence.RESPONSE: "claimed: the portal said true, reading is not permitted",
    Evidence.OPERATOR: "on a person's word",
}


def visible(text: object) -> str:
    """Signs that cannot be seen, or turn the text around them, as their codes. The template escapes the rest."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text))


def asked(fields: Mapping[str, object]) -> str:
    """Fields as the query of an address, without those that are empty."""
    return urlencode([(name, str(value)) for name, value in fields.items() if value not in (None, "")])


def in_path(text: object) -> str:
    """A name as one part of a path."""
    return quote(str(text), safe="")


def for_field(text: str) -> str:
    """A moment as the field of a browser takes it."""
    return text.replace("+00:00", "").removesuffix("Z")


def evidence_word(evidence: Evidence | None) -> str:
    """Why a payment is called paid."""
    return _PROOFS[evidence] if evidence else "without a proof"


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "visible": visible,
    "asked": asked,
    "in_path": in_path,
    "for_field": for_field,
    "evidence_word": evidence_word,
}
