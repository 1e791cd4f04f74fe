"""What codes mean for people."""

import pytest

from bitrix24 import remedies
from ledger.payment import Refusal
from metrics.codes import CODES
from web.pages.meanings import meaning_of, meaning_of_hold, meaning_of_reading


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_that_is_counted_has_a_sentence(code: str):
    """At 3 a.m. nobody looks codes up elsewhere."""
    told = meaning_of(Refusal(code, ""))
    assert told.known
    assert told.says.endswith(".")
    assert told.to_do


def test_what_to_do_is_what_the_far_side_says_of_the_same_code_and_text():
    """One table of remedies for the dashboard and for everybody else."""
    assert meaning_of(Refusal("ERROR_CHECK_FAILURE", "Pay system with ID=99 not found")).to_do == remedies.PAY_SYSTEM
    assert meaning_of(Refusal("ERROR_CHECK_FAILURE", "Invoice is cancelled")).to_do != remedies.PAY_SYSTEM
    assert meaning_of_reading(Refusal("INSUFFICIENT_SCOPE", "")).to_do == remedies.READING


def test_a_code_of_somebody_s_own_is_told_as_unknown():
    """A portal may answer anything."""
    told = meaning_of(Refusal("<B>WHAT</B>", "no"))
    assert (told.code, told.known) == ("<B>WHAT</B>", False)
    assert "read first" in told.to_do


def test_a_hold_says_what_was_stored_with_it():
    """The remedy of the moment it was held, or ours where an older version stored none."""
    assert meaning_of_hold("ACCESS_DENIED", "Do this.").to_do == "Do this."
    assert meaning_of_hold("SOMETHING", "").to_do
