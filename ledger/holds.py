"""Holds by a person's word, and what a new credential means for a held lane."""

from typing import Final

from ledger.ledger import Held, Ledger

# The code of a hold that an operator asked for.
OPERATOR: Final = "OPERATOR"


async def resume_for_credential(ledger: Ledger, portal: str) -> Held | None:
    """Let a lane go on whose portal has a new credential, unless an operator holds it; the hold that has ended.

    Store the credential first: a lane that goes on reads it anew.
    """
    lanes = await ledger.lanes([portal])
    held = lanes[0].held if lanes else None
    if held is None or held.code == OPERATOR or not await ledger.resume(portal):
        return None
    return held
