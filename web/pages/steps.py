"""The way of one payment, step by step, each with its evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger.payment import Payment, State
from web.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `kind` is a class of the style sheet; a step without a moment is how it stands now."""

    at: datetime | None
    state: State | None
    by: str
    evidence: str
    kind: str = ""


async def steps_of(parts: Parts, payment: Payment) -> Sequence[Step]:
    """All that is known of how a payment came to where it stands, oldest first."""
    del parts
    return [Step(at=payment.enqueued_at, state=State.QUEUED, by="producer", evidence="accepted")]
