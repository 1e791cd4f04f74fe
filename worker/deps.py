"""The parts that the main path works with; built in one place (`worker/runtime.py`), handed to every step."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bitrix24.client import Client
from bitrix24.fence import FENCE_S
from bitrix24.registry import PortalRegistry
from bitrix24.renewal import Renewal
from ledger.ledger import Ledger
from limiter.limiter import Limiter
from metrics.work import Work
from worker.results import Results

# A claimed payment that has not begun to leave after this long goes back to the queue. It bounds how much later than
# its claim a call can start, so the quiet time, which the ledger counts from the claim, stays short.
CLAIM_TO_SEND_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """One process' parts. `clock` is seconds that only go on, also while the machine sleeps."""

    ledger: Ledger
    limiter: Limiter
    client: Client
    registry: PortalRegistry
    renewal: Renewal
    results: Results
    quarantine: asyncio.Lock  # held while a payment is under way whose drivers died
    clock: Callable[[], float]
    http_total_s: float
    lease_s: float
    quiet_s: float  # from the claim on; see `quiet_after_claim_s`
    work: Work = field(default_factory=Work)  # what is counted


def quiet_after_claim_s(http_total_s: float, portal_cut_s: float) -> float:
    """How long after its claim a call may still run at the portal: it starts late, is sent at the fence's last moment,
    uses up our timeout, and goes on without us until the portal cuts it."""
    return CLAIM_TO_SEND_S + FENCE_S + http_total_s + portal_cut_s
