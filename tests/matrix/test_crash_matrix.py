"""The crash matrix: whatever happens to a process at whichever point, each payment is paid once and everybody knows."""

import pytest

from tests.matrix.groups import groups
from tests.matrix.round import play


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", groups())
def test_whatever_happens_at_any_point_each_payment_is_paid_exactly_once(name: str) -> None:
    """Ledger, result and portal agree, no call was repeated before the portal was asked, and the lane works on."""
    group = groups()[name]
    outcomes = play(group)
    wrong = [f"{outcome.case}: {'; '.join(outcome.wrong)}" for outcome in outcomes if outcome.wrong]
    assert not wrong, f"{len(wrong)} of {len(outcomes)} cases:\n" + "\n".join(wrong)
    assert {outcome.case for outcome in outcomes} == set(group.cases())
