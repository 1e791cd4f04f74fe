"""What every way a call can end means for the payment and for its lane: one table, read from the top, first row wins.

The rows are `protocol.md` [A]. A code decides before a status, because the documentation, the portal's source and live
portals disagree about statuses; the status speaks only where there is no code we know. Nothing here sends or waits.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from bitrix24 import remedies
from bitrix24.errors import Effect, Fate, Meaning


class Where(StrEnum):
    """How far the call came."""

    BEFORE_SEND = "before_send"  # not a byte left
    CERTIFICATE = "certificate"  # not a byte of the request left: the portal's certificate was not accepted
    AFTER_SEND = "after_send"  # it left, and no whole reply came back
    REPLY = "reply"  # a whole reply with a status
    COMMAND = "command"  # an entry of a batch's `result_error`, or a `result` that is not true
    SKIPPED = "skipped"  # a command in neither map of a batch that was told to stop at an earlier error
    MISSING = "missing"  # a command in neither map, unexplained
    REFRESH = "refresh"  # the reply of the token server; the pay call was not sent


class Body(StrEnum):
    """What the reply's body was."""

    ERROR = "error"  # JSON with an `error` key, whatever the status
    JSON = "json"  # JSON, but neither the result we need nor an error
    OTHER = "other"  # HTML, empty, cut, too large


class Credential(StrEnum):
    """What the call was authorised with; only an access token can be refreshed."""

    WEBHOOK = "webhook"
    OAUTH = "oauth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one call, or one command of a batch, ended without its result."""

    where: Where
    status: int | None = None
    code: str = ""
    text: str = ""
    body: Body = Body.OTHER
    credential: Credential = Credential.WEBHOOK
    in_batch: bool = False  # the outer call is a batch, or this is one of its commands
    reading: bool = False  # it is a read-back: nothing it says is an answer about a payment
    moved: bool = False  # a redirect names another address that may be this portal's


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One condition and its meaning; an empty field accepts everything."""

    means: Meaning
    where: Collection[Where] = ()
    codes: Collection[str] = ()
    text: str = ""  # regular expression, case-insensitive, found anywhere
    status: Collection[int] = ()
    body: Collection[Body] = ()
    credential: Credential | None = None
    in_batch: bool | None = None
    reading: bool | None = None
    moved: bool | None = None

    def fits(self, ending: Ending) -> bool:
        """Whether every stated condition holds."""
        sets: tuple[tuple[Collection[object], object], ...] = (
            (self.where, ending.where),
            (self.codes, ending.code),
            (self.status, ending.status),
            (self.body, ending.body),
        )
        flags = (
            (self.credential, ending.credential),
            (self.in_batch, ending.in_batch),
            (self.reading, ending.reading),
            (self.moved, ending.moved),
        )
        return (
            all(not accepted or value in accepted for accepted, value in sets)
            and all(wanted is None or wanted == value for wanted, value in flags)
            and (not self.text or re.search(self.text, ending.text, re.IGNORECASE) is not None)
        )


def classify(ending: Ending) -> Meaning:
    """The meaning of an ending; total: what no row knows is unknown, which is never sent again blindly.

    The fate of a read-back that failed is always UNKNOWN: it cannot prove anything about a payment.
    """
    known = replace(ending, code=usable(ending.code))
    meaning = next(row.means for row in TABLE if row.fits(known))
    return replace(meaning, fate=Fate.UNKNOWN) if ending.reading else meaning


def usable(code: str) -> str:
    """A code as the table compares it: stripped (the documentation's own sample has a blank) and upper-case."""
    return code.strip().upper()


def _not_run(effect: Effect, remedy: str = "") -> Meaning:
    return Meaning(Fate.NOT_RUN, effect, remedy)


_GO_ON: Final = Meaning(Fate.NOT_RUN)
_DOUBT: Final = Meaning(Fate.UNKNOWN)
_DOUBT_AND_PAUSE: Final = Meaning(Fate.UNKNOWN, Effect.BACKOFF)
_REFUSED: Final = Meaning(Fate.REFUSED)
_REFUSED_IF_UNPAID: Final = Meaning(Fate.REFUSED_IF_UNPAID)
_PAUSE: Final = _not_run(Effect.BACKOFF)
_ALONE: Final = _not_run(Effect.SINGLY)

# Refusals that the portal states before it touches anything, but inside the method's own code: with a 5xx beside them
# something else broke, and the code may be a left-over of another error.
_SERVER_ERRORS: Final = range(500, 600)
_METHOD_CODES: Final = (
    "ERROR_CHECK_FAILURE",
    "ERROR_INTERNAL_INVOICE_NOT_FOUND",
    "ERROR_PROCESS_REQUEST_RESULT",
)
# What the edge refuses by size or shape, before PHP.
_SHAPE: Final = (413, 414, 431)
_REDIRECTS: Final = (301, 302, 303, 307, 308)
# A proxy gave up while the portal may go on: its own 60 s cut, and the families of nginx and Cloudflare.
_GATEWAY: Final = (408, 499, 502, 503, 504, *range(520, 528))

_REFRESH_ROWS: Final = (
    Row(where=[Where.REFRESH], codes=["INVALID_GRANT"], means=_not_run(Effect.HOLD, remedies.INSTALL_AGAIN)),
    Row(
        where=[Where.REFRESH],
        codes=[
            "WRONG_CLIENT",  # comes with HTTP 200
            "INVALID_CLIENT",
            "INVALID_REQUEST",
            "INVALID_SCOPE",
            "INSUFFICIENT_SCOPE",
            "NOT_INSTALLED",
            "PAYMENT_REQUIRED",
        ],
        means=_not_run(Effect.HOLD, remedies.APPLICATION),
    ),
    Row(where=[Where.REFRESH], means=_PAUSE),
)

_WAY_ROWS: Final = (
    Row(where=[Where.CERTIFICATE], means=_not_run(Effect.BACKOFF, remedies.CERTIFICATE)),
    Row(where=[Where.BEFORE_SEND], means=_PAUSE),
    Row(where=[Where.AFTER_SEND], means=_DOUBT_AND_PAUSE),
    Row(where=[Where.SKIPPED], means=_GO_ON),
    Row(where=[Where.MISSING], means=_DOUBT),
)

# Reading needs a right of its own (scope `crm`). Without it payments go on and stand on the portal's word alone.
_READING_ROWS: Final = (
    Row(reading=True, codes=["ACCESS_DENIED"], text=r"commercial plan", means=_not_run(Effect.HOLD, remedies.PLAN)),
    Row(
        reading=True,
        codes=["INSUFFICIENT_SCOPE", "ACCESS_DENIED", "ERROR_METHOD_NOT_FOUND"],
        means=Meaning(Fate.UNKNOWN, remedy=remedies.READING),
    ),
    Row(reading=True, codes=[""], text=r"access denied", means=Meaning(Fate.UNKNOWN, remedy=remedies.READING)),
    Row(reading=True, codes=[""], text=r"not found", body=[Body.ERROR], means=_DOUBT),
)

_CODE_ROWS: Final = (
    Row(codes=["QUERY_LIMIT_EXCEEDED"], means=_not_run(Effect.RATE)),
    Row(codes=["OPERATION_TIME_LIMIT"], means=_not_run(Effect.EXECUTION)),
    Row(codes=["OVERLOAD_LIMIT"], means=_not_run(Effect.HOLD, remedies.OVERLOAD)),
    Row(codes=["PORTAL_DELETED"], means=_not_run(Effect.HOLD, remedies.CLOSED)),
    Row(codes=["CONNECTION_ERROR"], means=_PAUSE),
    Row(
        codes=["EXPIRED_TOKEN", "INVALID_TOKEN"],
        credential=Credential.OAUTH,
        means=_not_run(Effect.REFRESH, remedies.TOKEN),
    ),
    Row(codes=["EXPIRED_TOKEN", "INVALID_TOKEN"], means=_not_run(Effect.HOLD, remedies.WEBHOOK)),
    Row(codes=["ACCESS_DENIED"], text=r"commercial plan", means=_not_run(Effect.HOLD, remedies.PLAN)),
    Row(codes=["ACCESS_DENIED"], means=_not_run(Effect.HOLD, remedies.RIGHTS)),
    Row(codes=["INSUFFICIENT_SCOPE", "INVALID_SCOPE"], means=_not_run(Effect.HOLD, remedies.SCOPE)),
    Row(codes=["WRONG_AUTH_TYPE"], means=_not_run(Effect.HOLD, remedies.AUTH_TYPE)),
    Row(
        codes=["METHOD_CONFIRM_DENIED", "METHOD_CONFIRM_WAITING"],
        means=_not_run(Effect.HOLD, remedies.CONFIRM),
    ),
    Row(codes=["INVALID_CREDENTIALS", "NO_AUTH_FOUND"], means=_not_run(Effect.HOLD, remedies.WEBHOOK)),
    Row(codes=["USER_ACCESS_ERROR", "AUTHORIZATION_ERROR"], means=_not_run(Effect.HOLD, remedies.USER)),
    Row(
        codes=["APPLICATION_NOT_FOUND", "ERROR_OAUTH", "NOT_INSTALLED"],
        means=_not_run(Effect.HOLD, remedies.APPLICATION),
    ),
    Row(codes=["PAYMENT_REQUIRED"], means=_not_run(Effect.HOLD, remedies.PLAN)),
    Row(codes=["INVALID_REQUEST"], means=_not_run(Effect.HOLD, remedies.HTTPS)),
    Row(
        codes=["ERROR_METHOD_NOT_FOUND", "ERROR_MANIFEST_IS_NOT_AVAILABLE"],
        means=_not_run(Effect.HOLD, remedies.METHOD),
    ),
    Row(
        codes=["ERROR_INVOICE_NO_SUPPORTED", "ERROR_PAY_INVOICE_NOT_SUPPORTED"],
        means=_not_run(Effect.HOLD, remedies.CRM),
    ),
    Row(codes=["ERROR_BATCH_METHOD_NOT_ALLOWED"], means=_ALONE),
    Row(codes=["ERROR_BATCH_LENGTH_EXCEEDED"], means=_GO_ON),
    Row(codes=_METHOD_CODES, status=_SERVER_ERRORS, means=_DOUBT_AND_PAUSE),
    Row(
        codes=["ERROR_CHECK_FAILURE"],
        text=r"pay\s*system|handler",
        means=Meaning(Fate.REFUSED, remedy=remedies.PAY_SYSTEM),
    ),
    Row(codes=["ERROR_CHECK_FAILURE"], means=_REFUSED),
    Row(
        codes=["ERROR_INTERNAL_INVOICE_NOT_FOUND"],
        means=Meaning(Fate.REFUSED, remedy=remedies.INVOICE),
    ),
    Row(
        codes=["ERROR_PROCESS_REQUEST_RESULT"],
        text=r"^\s*pay system not found\W*$",
        means=Meaning(Fate.REFUSED, remedy=remedies.PAY_SYSTEM),
    ),
    Row(
        codes=["ERROR_PROCESS_REQUEST_RESULT"],
        means=Meaning(Fate.REFUSED_IF_UNPAID, remedy=remedies.HANDLER),
    ),
    # Emitted while the reply is encoded, after the work was done.
    Row(codes=["WRONG_ENCODING"], means=_DOUBT),
)

_COMMAND_ROWS: Final = (
    # Codes that come with HTTP 500 when the method is called alone: it may have died before, during or after saving.
    Row(where=[Where.COMMAND], codes=["INTERNAL_SERVER_ERROR", "ERROR_UNEXPECTED_ANSWER"], means=_DOUBT),
    Row(where=[Where.COMMAND], text=r"sql query error", means=_DOUBT),
    Row(where=[Where.COMMAND], body=[Body.ERROR], means=_REFUSED_IF_UNPAID),
    Row(where=[Where.COMMAND], means=_DOUBT),
)

_STATUS_ROWS: Final = (
    Row(status=_REDIRECTS, moved=True, means=_not_run(Effect.MOVED, remedies.REDIRECT)),
    Row(status=_REDIRECTS, means=_not_run(Effect.HOLD, remedies.REDIRECT)),
    Row(status=[429], means=_not_run(Effect.EXECUTION)),
    Row(status=[401], credential=Credential.OAUTH, means=_not_run(Effect.REFRESH, remedies.TOKEN)),
    Row(status=[401], means=_not_run(Effect.HOLD, remedies.WEBHOOK)),
    Row(status=[500, *_GATEWAY], means=_DOUBT_AND_PAUSE),
    # A batch is refused as a whole for its size or shape; each payment alone may be accepted.
    Row(status=_SHAPE, in_batch=True, means=_ALONE),
    Row(status=_SHAPE, means=_REFUSED),
    Row(status=[400], body=[Body.OTHER], in_batch=True, means=_ALONE),
    Row(status=[400], body=[Body.OTHER], means=_REFUSED),
    Row(status=[400], means=_REFUSED_IF_UNPAID),
    Row(status=[403], body=[Body.OTHER], means=Meaning(Fate.UNKNOWN, Effect.HOLD, remedies.FORBIDDEN)),
    Row(status=[404, 410], body=[Body.OTHER], means=_not_run(Effect.HOLD, remedies.ADDRESS)),
    Row(status=range(200, 300), body=[Body.OTHER], means=_DOUBT_AND_PAUSE),
    Row(status=range(200, 300), means=_DOUBT),
    Row(means=_DOUBT_AND_PAUSE),
)

TABLE: Final = (*_REFRESH_ROWS, *_WAY_ROWS, *_READING_ROWS, *_CODE_ROWS, *_COMMAND_ROWS, *_STATUS_ROWS)
