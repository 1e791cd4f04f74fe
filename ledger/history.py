"""What a payment's record keeps of its way besides the latest of each: a short text of entries (twin of lua/marks.lua).

    s1k:17.3.1 d2s:L r5f:N.ACCESS_DENIED*4 q2n8:U

Each entry is the letter of the state that was entered (`r`: a read-back that decided nothing, `j`: another request
joined), the milliseconds since acceptance in base 36, and why. Reads and joins of one kind in a row are one entry,
`*n` times. The first and the newest are kept; `+n` between them says how many were left out. A payment that went
straight to its end has none: its fields tell all of it.

    s  <fence>.<number of the claim>.<attempt>
    d  L no answer, C.<code> the portal's answer leaves doubt, X its driver died, G a lost history may have sent it
    q  N not executed and the attempt given back, S not executed and the attempt spent, U read as unpaid, O retried
    f  P.<code> refused, O.<code> by a person
    r  U unpaid, which does not count yet, N.<code> unreadable, F unpaid and to be sent now
    j  H another handle
"""

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ledger.payment import Payment

FIRST_KEPT: Final = 8
MOST_KEPT: Final = 24
_CODE_KEPT = 32
_REPEATED = "rj"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MS = timedelta(milliseconds=1)


def noted(row: "Payment", *entries: str) -> str:
    """The row's history with more entries at its end."""
    kept = row.history.split()
    for entry in entries:
        _put(kept, entry)
    return " ".join(kept)


def entry(row: "Payment", letter: str, at: datetime, why: str) -> str:
    """What happened to a payment at a moment."""
    return f"{letter}{_base36((at - row.enqueued_at) // _MS)}:{why}"


def sending(row: "Payment") -> str:
    """The entry of a payment's latest claim, where it has one."""
    return f"{_claim_of(row)}{row.attempts}"


def knows_sending(row: "Payment") -> bool:
    """Whether the latest claim is on record already."""
    return _claim_of(row) in row.history


def code_in(why: str, code: str) -> str:
    """A reason with a code: what portals write is cut, and stands in letters that separate nothing."""
    plain = re.sub(rb"[^A-Za-z0-9_.-]", b"_", code.encode())
    return f"{why}.{plain[:_CODE_KEPT].decode()}"


def _claim_of(row: "Payment") -> str:
    return entry(row, "s", row.sent_at or row.enqueued_at, f"{row.claim}.")


def _put(kept: list[str], new: str) -> None:
    last, _, times = kept[-1].partition("*") if kept else ("", "", "")
    if new[0] in _REPEATED and last[:1] == new[0] and last.partition(":")[2] == new.partition(":")[2]:
        kept[-1] = f"{new}*{int(times or 1) + 1}"
    else:
        kept.append(new)
    marked = len(kept) > FIRST_KEPT and kept[FIRST_KEPT].startswith("+")
    if marked and len(kept) > MOST_KEPT + 1:
        del kept[FIRST_KEPT + 1]
        kept[FIRST_KEPT] = f"+{int(kept[FIRST_KEPT]) + 1}"
    elif not marked and len(kept) > MOST_KEPT:
        kept[FIRST_KEPT] = "+1"


def _base36(number: int) -> str:
    digits, left = "", abs(number)
    while left or not digits:
        left, digit = divmod(left, 36)
        digits = _DIGITS[digit] + digits
    return f"-{digits}" if number < 0 else digits
