"""The byte matrix: a call may be cut at any byte of its request or its reply."""

import pytest

from chaos.toxics import Ending
from tests.matrix.tears import EndingOf, tear

SOME = 5  # of so many; odd, so that both endings come


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stride", [SOME, pytest.param(1, marks=pytest.mark.whole)])
def test_a_call_cut_at_any_byte_ends_with_the_right_verdict(stride: int) -> None:
    """What did not arrive whole had no effect and is sent again after a read; a torn reply is proven by one."""
    torn = tear(EndingOf(Ending.RESET, Ending.CLOSE), stride=stride).torn
    wrong = [f"{each.tear}: {'; '.join(each.wrong)}" for each in torn if each.wrong]
    assert not wrong, f"{len(wrong)} of {len(torn)} cuts:\n" + "\n".join(wrong)
