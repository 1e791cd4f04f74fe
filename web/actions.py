"""The one place where every change that somebody asked for by HTTP is noted: who, what, on what, and why."""

from typing import Final

import structlog
from aiohttp import web

from web.access import PRINCIPAL

log = structlog.get_logger(__name__)

# What a change may be called.
ACCEPT: Final = "payment.accept"
RETRY: Final = "payment.retry"
CANCEL: Final = "payment.cancel"
VERIFY: Final = "doubt.verify"
RESOLVE: Final = "doubt.resolve"
HOLD: Final = "portal.hold"
RESUME: Final = "portal.resume"


async def record(  # noqa: PLR0917 - the order in which one says it: who, what, on what, from, to, why
    request: web.Request, action: str, subject: str, before: str | None, after: str | None, why: str | None
) -> None:
    """Note one change that was made. `subject` is a payment's id or a portal's key, before and after are states."""
    log.info(
        "web.changed", who=request[PRINCIPAL].name, action=action, subject=subject, before=before, after=after, why=why
    )
