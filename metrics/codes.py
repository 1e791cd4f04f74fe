"""Error codes as labels: those that the far side's table and our own verdicts know; all others are `other`.

A portal may answer anything, and each label is a series that Prometheus keeps. A test holds this set against
`bitrix24.classification`.
"""

from typing import Final

NONE: Final = "none"
UNKNOWN: Final = "other"

_OF_PORTALS: Final = frozenset(
    {
        "ACCESS_DENIED",
        "APPLICATION_NOT_FOUND",
        "AUTHORIZATION_ERROR",
        "CONNECTION_ERROR",
        "ERROR_BATCH_LENGTH_EXCEEDED",
        "ERROR_BATCH_METHOD_NOT_ALLOWED",
        "ERROR_CHECK_FAILURE",
        "ERROR_INTERNAL_INVOICE_NOT_FOUND",
        "ERROR_INVOICE_NO_SUPPORTED",
        "ERROR_MANIFEST_IS_NOT_AVAILABLE",
        "ERROR_METHOD_NOT_FOUND",
        "ERROR_OAUTH",
        "ERROR_PAY_INVOICE_NOT_SUPPORTED",
        "ERROR_PROCESS_REQUEST_RESULT",
        "ERROR_UNEXPECTED_ANSWER",
        "EXPIRED_TOKEN",
        "INSUFFICIENT_SCOPE",
        "INTERNAL_SERVER_ERROR",
        "INVALID_CLIENT",
        "INVALID_CREDENTIALS",
        "INVALID_GRANT",
        "INVALID_REQUEST",
        "INVALID_SCOPE",
        "INVALID_TOKEN",
        "METHOD_CONFIRM_DENIED",
        "METHOD_CONFIRM_WAITING",
        "NOT_INSTALLED",
        "NO_AUTH_FOUND",
        "OPERATION_TIME_LIMIT",
        "OVERLOAD_LIMIT",
        "PAYMENT_REQUIRED",
        "PORTAL_DELETED",
        "QUERY_LIMIT_EXCEEDED",
        "USER_ACCESS_ERROR",
        "WRONG_AUTH_TYPE",
        "WRONG_CLIENT",
        "WRONG_ENCODING",
    }
)
_OURS: Final = frozenset(
    {
        "ACCEPTED_NOT_PAID",
        "ANOTHER_PORTAL",
        "NOT_READABLE",
        "NO_ANSWER",
        "NO_CODE",
        "OPERATOR",
        "APP_UNINSTALLED",
        "RESOLVED_UNPAID",
        "WORKER_DIED",
    }
)
CODES: Final = _OF_PORTALS | _OURS


def as_label(code: str | None) -> str:
    """The code where it is known, `none` without one, else `other`."""
    if not code:
        return NONE
    return code if code in CODES else UNKNOWN
