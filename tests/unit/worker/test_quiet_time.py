"""How long an "unpaid" does not count: as long as the call that was lost may still do its work at the portal."""

from bitrix24.fence import FENCE_S
from worker.deps import CLAIM_TO_SEND_S, quiet_after_claim_s


def test_the_quiet_time_covers_the_whole_life_of_a_call() -> None:
    """It may start late after its claim, leave at the fence's last moment, use up our timeout, and go on without us."""
    assert quiet_after_claim_s(60, 45) >= CLAIM_TO_SEND_S + FENCE_S + 60 + 45
