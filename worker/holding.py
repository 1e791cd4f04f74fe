"""Stop a lane for a person: on record and in the log, with what is to be done."""

import structlog

from bitrix24 import remedies
from bitrix24.errors import PortalError
from bitrix24.mending import may_be_probed
from ledger.ledger import Ledger

log = structlog.get_logger(__name__)


async def hold(portal: str, error: PortalError, ledger: Ledger) -> None:
    """Hold a lane because of what its portal answered; a probe may resume it unless only a person may."""
    code, remedy = _code(error), error.meaning.remedy or remedies.CHECK
    await ledger.hold(portal, code, error.text, remedy=remedy, probe=may_be_probed(error))
    log.error("lane.held", portal=portal, code=code, text=error.text, remedy=remedy)


def _code(error: PortalError) -> str:
    """A name for the reason, also where the portal gave none."""
    return error.code or (f"HTTP_{error.status}" if error.status else "NO_CODE")
