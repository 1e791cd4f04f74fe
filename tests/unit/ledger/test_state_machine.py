"""The page about states says what the code does."""

import re
from pathlib import Path

from ledger.payment import ARROWS, OPEN, State

PAGE = Path(__file__).resolve().parents[3] / "docs" / "state_machine.md"


def test_the_page_shows_every_arrow_and_no_other() -> None:
    """Both tables and `ARROWS` are the same; the picture is the legend's (tests/manual)."""
    text = PAGE.read_text()
    rows = re.findall(r"^\| (\w+) \| ([\w, -]+) \|$", text, re.MULTILINE)
    states = set(State)
    table = {name: set(targets.split(", ")) - {"-"} for name, targets in rows if name in states}
    legend = set(re.findall(r"^\| \d+ \| (\w+) \| (\w+) \|", text, re.MULTILINE))
    assert table == {state.value: {target.value for target in targets} for state, targets in ARROWS.items()}
    assert legend == {(state.value, target.value) for state, targets in ARROWS.items() for target in targets}


def test_every_state_has_a_paragraph() -> None:
    """A reader finds who moves a payment out of each state."""
    text = PAGE.read_text()
    assert all(f"\n**{state.value}** - " in text for state in State)


def test_only_open_states_lead_on_without_a_person() -> None:
    """From a final state only an operator's retry leads back."""
    assert {state for state, targets in ARROWS.items() if targets} - OPEN == {State.FAILED}
