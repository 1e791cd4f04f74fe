"""Filters of the working pages: what somebody wrote made visible, addresses, and words for proofs."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from ledger.payment import CODE_LIMIT, Evidence

_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?")
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
    """A moment as the field of a browser takes it; nothing for what is none."""
    moment = text.replace("+00:00", "").removesuffix("Z")
    return moment if _MOMENT.fullmatch(moment) else ""


def ticked(text: str) -> Markup:
    """A sentence of ours, with what stands between backticks as code."""
    parts = [escape(visible(part)) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


def can_filter(code: str | None) -> bool:
    """Whether a list can be asked for a code: a portal may send what no address can name."""
    return bool(code) and len(code or "") <= CODE_LIMIT and (code or "").isprintable()


def evidence_word(evidence: Evidence | None) -> str:
    """Why a payment is called paid."""
    return _PROOFS[evidence] if evidence else "without a proof"


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "visible": visible,
    "asked": asked,
    "in_path": in_path,
    "can_filter": can_filter,
    "ticked": ticked,
    "for_field": for_field,
    "evidence_word": evidence_word,
}
