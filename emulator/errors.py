"""Refusals of a portal: the code, the text and the HTTP status they travel with."""

from collections.abc import Mapping
from enum import StrEnum

from emulator.php import Value


class StatusProfile(StrEnum):
    """Which of the disputed statuses a portal answers with."""

    SOURCE = "source"  # what live portals were seen to send
    DOCS = "docs"  # what the documentation prints


class RestError(Exception):
    """The portal refuses a call."""

    def __init__(self, code: str | int, text: str, status: int = 400, extra: Mapping[str, Value] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status
        self.extra = extra or {}

    def body(self) -> dict[str, Value]:
        """The reply's JSON; an error never carries `time`."""
        return {"error": self.code, "error_description": self.text, **self.extra}


class CutShortError(Exception):
    """The execution died in the middle; what was done stays done."""


# code -> (status in the sources and on live portals, status in the documentation)
_DISPUTED = {
    "OVERLOAD_LIMIT": (401, 503),
    "INVALID_CREDENTIALS": (401, 403),
    "insufficient_scope": (401, 403),
    "user_access_error": (401, 403),
    "ACCESS_DENIED": (401, 403),  # of the tariff; a refusal for rights is 403 in both
    "INVALID_REQUEST": (401, 400),
    "PORTAL_DELETED": (403, 500),
}


def disputed(code: str, text: str, profile: StatusProfile) -> RestError:
    """A refusal whose status depends on the profile; 401 where nobody disputes it."""
    source, docs = _DISPUTED.get(code, (401, 401))
    return RestError(code, text, source if profile is StatusProfile.SOURCE else docs)


def check_failure(text: str) -> RestError:
    """A parameter check failed; nothing was touched."""
    return RestError("ERROR_CHECK_FAILURE", text)


def no_rights(text: str = "Access denied!") -> RestError:
    """The user's rights do not reach this far."""
    return RestError("ACCESS_DENIED", text, 403)
