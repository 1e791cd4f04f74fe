"""
What can go wrong on the way to a portal, and whether the call had left us.

* PortalError
  - NotSent    refused before the first byte left: DNS, connect, TLS, pool       -> certainly not executed
  - NoAnswer   it left; timeout, reset or an unreadable body came back           -> unknown
  - Refused    the portal (or the edge before it) answered with an error         -> `meaning` says what it means
    - Moved    the edge names another address for this portal                    -> `endpoint` is the new one

No error of this tree carries a webhook code or a token, or shows a URL or a host, and none has an aiohttp error as its
cause or context: aiohttp puts the URL, and with it the webhook code, into str, repr and traceback.
"""

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What became of the payment when this error is the answer."""

    NOT_RUN = "not_run"  # certainly not executed: send it again when the lane may
    REFUSED = "refused"  # refused before anything was written; repeating gives the same
    REFUSED_IF_UNPAID = "refused_if_unpaid"  # refused, but something may have been saved: read back, then refuse
    UNKNOWN = "unknown"  # only a read-back can say


class Effect(StrEnum):
    """What the error means for the lane, apart from the payment."""

    GO_ON = "go_on"
    RATE = "rate"  # request bucket full: pause the portal
    EXECUTION = "execution"  # execution time of the method spent: pause until it resets
    BACKOFF = "backoff"  # unreachable or out of order: growing pause
    REFRESH = "refresh"  # access token expired: refresh once, then repeat
    SINGLY = "singly"  # not allowed in a batch: send it alone
    MOVED = "moved"  # the portal has a new address
    HOLD = "hold"  # a person must mend it


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row's outcome of the classification table. `remedy` tells a person what to do, "" where nobody can."""

    fate: Fate
    effect: Effect = Effect.GO_ON
    remedy: str = ""


class PortalError(Exception):
    """A call did not end in a result. `code` is stripped and upper-case; `text` is capped and redacted."""

    def __init__(self, code: str, text: str, *, meaning: Meaning, method: str, status: int | None = None) -> None:
        super().__init__(f"{method}: {code or 'no code'}: {text}")
        self.code = code
        self.text = text
        self.meaning = meaning
        self.method = method
        self.status = status


class NotSent(PortalError):  # noqa: N818 - the tree names facts
    """Nothing left this machine."""


class NoAnswer(PortalError):  # noqa: N818 - the tree names facts
    """The call left and no trustworthy answer came back."""


class Refused(PortalError):  # noqa: N818 - the tree names facts
    """The portal answered with an error."""


class Moved(Refused):
    """The portal answers under another address; `endpoint` (no secret in it) is what to store and ask from now on."""

    def __init__(self, text: str, *, endpoint: str, meaning: Meaning, method: str, status: int | None = None) -> None:
        super().__init__("", text, meaning=meaning, method=method, status=status)
        self.endpoint = endpoint
