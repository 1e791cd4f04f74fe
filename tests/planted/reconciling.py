"""Bugs of the comparison of ledger and portal: what would cry wolf, stay silent, or cost payments their pace."""

from typing import Final

from tests.planted.bugs import Bug, a_bug

COMPARING: Final = "tests/integration/reconciling/test_comparing.py::"
PERMITS: Final = "tests/unit/reconciling/test_permits.py::"
FAR_SIDE: Final = "tests/integration/reconciling/test_far_side.py::"

OF_RECONCILING: Final[tuple[Bug, ...]] = (
    a_bug(
        "a payment under way is called a difference",
        "reconciling/reconciler.py",
        "return Counts(under_way=1) if latest.state in OPEN else Counts(later=1)",
        "return None",
        COMPARING + "test_an_invoice_with_a_payment_under_way_is_never_a_difference",
        COMPARING + "test_the_latest_payment_of_an_invoice_has_the_say",
    ),
    a_bug(
        "the portal's first word is believed",
        "reconciling/reconciler.py",
        "kind = judge(before, word)",
        "kind = judge(before, told.seen.get(before.invoice_id, word))",
        COMPARING + "test_what_changes_at_the_portal_between_two_looks_is_not_told",
    ),
    a_bug(
        "the ledger is not asked again",
        "reconciling/reconciler.py",
        "row is None or not _same(before, row) or",
        "row is None or",
        COMPARING + "test_what_is_queued_again_while_the_portal_is_read_is_not_told",
    ),
    a_bug(
        "what may not be read is called gone",
        "bitrix24/client.py",
        "return None if not error.code and _NO_SUCH.search(error.text) else error",
        "return None if not error.code else error",
        COMPARING + "test_a_user_who_may_not_read_finds_nothing_gone",
    ),
    a_bug(
        "a comparison takes the whole burst",
        "reconciling/permits.py",
        "SPARED: Final = 0.75",
        "SPARED: Final = 0.0",
        PERMITS + "test_an_idle_portal_is_read_and_keeps_most_of_its_burst",
    ),
    a_bug(
        "refusals of a comparison make payments wait",
        "reconciling/reading.py",
        "await self._answered(time.monotonic() - began)",
        "del began",
        FAR_SIDE + "test_refusals_cost_a_wait_and_leave_nothing_behind",
    ),
    a_bug(
        "a credential that is blocked by hand is used",
        "reconciling/reconciler.py",
        "if lane and lane.held and only_a_person(lane.held.code):",
        "if False:",
        FAR_SIDE + "test_a_credential_that_is_blocked_by_hand_is_not_used",
    ),
)
