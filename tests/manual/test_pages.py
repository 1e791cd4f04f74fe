"""The made pages are what the code says now, both ways: nothing is missing in them, and nothing in them is gone."""

import re
from xml.etree import ElementTree as Xml

import pytest

from bitrix24 import remedies
from bitrix24.classification import TABLE
from bitrix24.errors import Effect
from config.settings import variables
from ledger.payment import ARROWS, State
from manual.advice import ADVICE, APP_UNINSTALLED, OPERATOR
from manual.codes import OURS
from manual.markdown import with_section
from manual.pages import DOCS, stale
from manual.reasons import Reason, reasons
from manual.states import PLACES, WAYS
from metrics.codes import CODES
from web.installing import UNINSTALLED_CODE

REASONS = {reason.code: reason for reason in reasons()}


def text_of(path: str) -> str:
    """A page as it stands."""
    return (DOCS / path).read_text(encoding="utf-8")


def first_cells(path: str, heading: str = "") -> set[str]:
    """What stands as code, or as a link around code, in the first column of a page's tables."""
    text = text_of(path).partition(heading)[2] if heading else text_of(path)
    rows = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_no_made_page_is_stale() -> None:
    """Every made file is what `python -m manual` writes, and none is left over."""
    assert stale() == [], "run `python -m manual`"


def test_every_setting_is_told_and_no_other() -> None:
    """The page's table has the names of the model."""
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \|", text_of("configuration.md"), re.MULTILINE)
    assert rows == list(variables())
    told = set(re.findall(r"\bB24PAY_[A-Z_]+\b", text_of("configuration.md")))
    assert told <= set(variables())


def test_every_error_code_is_told_and_no_other() -> None:
    """The far side's codes, and those that metrics know as ours."""
    theirs = {code for row in TABLE for code in row.codes if code}
    assert first_cells("error_codes.md") - {"code"} >= theirs | CODES
    shaped = {name for name in first_cells("error_codes.md") if re.fullmatch(r"[A-Z][A-Z_0-9]+", name)}
    assert shaped == theirs | set(OURS) | CODES
    assert CODES - theirs <= set(OURS)


def test_every_reason_to_hold_has_its_page() -> None:
    """Each code and status of a row that holds, and what holds beside the table."""
    rows = [row for row in TABLE if row.means.effect is Effect.HOLD]
    codes = {code for row in rows for code in row.codes}
    statuses = {f"HTTP_{status}" for row in rows if not row.codes for status in row.status}
    beside = {"ANOTHER_PORTAL", APP_UNINSTALLED, OPERATOR, "ERROR_BATCH_METHOD_NOT_ALLOWED"}
    pages = {path.stem for path in (DOCS / "runbook" / "held").glob("*.md")}
    assert pages == set(REASONS) == codes | statuses | beside
    assert UNINSTALLED_CODE == APP_UNINSTALLED


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_a_page_names_every_remedy_that_an_operator_may_read(reason: Reason) -> None:
    """What `portal show` says stands on the page of its code, with advice."""
    page = text_of(f"runbook/held/{reason.code}.md")
    for row in TABLE:
        if row.means.effect is Effect.HOLD and reason.code in row.codes:
            assert row.means.remedy in page
    assert page.count("**Do**") == len(reason.advice) > 0


def test_advice_is_for_remedies_that_there_are() -> None:
    """A new remedy of the table asks for its advice, and none is left of an old one."""
    used = {row.means.remedy for row in TABLE if row.means.effect is Effect.HOLD}
    beside = {remedies.CHECK, remedies.ANOTHER_PORTAL, OPERATOR, APP_UNINSTALLED}
    assert set(ADVICE) == used | beside


def test_the_picture_has_every_arrow_and_no_other() -> None:
    """A numbered way for each arrow of the table, and a box for each state."""
    assert set(WAYS) == {(start, end) for start, ends in ARROWS.items() for end in ends}
    drawn = Xml.fromstring(text_of("states.svg"))  # our own file
    space = "{http://www.w3.org/2000/svg}"
    shown = [each.text for each in drawn.iter(f"{space}text")]
    assert shown == [str(n + 1) for n in range(len(WAYS))] + [state.value for state in PLACES]
    assert set(PLACES) == set(State)
    assert len(list(drawn.iter(f"{space}circle"))) == len(WAYS)


def test_a_page_that_lost_its_section_is_told() -> None:
    """A mark that somebody removed is no silent success."""
    with pytest.raises(ValueError, match="no section"):
        with_section("# A page", "worker", "text")
