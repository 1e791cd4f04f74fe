"""Bugs in what the documentation says."""

from typing import Final

from tests.planted.bugs import Bug, a_bug

PAGES: Final = "tests/manual/test_pages.py::"
READING: Final = "tests/manual/test_reading.py::"

OF_DOCUMENTS: Final[tuple[Bug, ...]] = (
    a_bug(
        "a default grows and its page does not",
        "config/settings.py",
        '75.0, alias="B24PAY_LEASE_S"',
        '80.0, alias="B24PAY_LEASE_S"',
        PAGES + "test_no_made_page_is_stale",
    ),
    a_bug(
        "a probe resumes what only a person may",
        "bitrix24/mending.py",
        '"OVERLOAD_LIMIT", "PORTAL_DELETED"',
        '"PORTAL_DELETED"',
        PAGES + "test_no_made_page_is_stale",
    ),
    a_bug(
        "a remedy has no advice",
        "bitrix24/remedies.py",
        "Only their support lifts it",
        "They lift it",
        PAGES + "test_a_page_names_every_remedy_that_an_operator_may_read",
    ),
    a_bug(
        "an option is renamed and the pages are not",
        "cli/demo.py",
        '"--settings",',
        '"--settings-file",',
        READING + "test_commands_of_a_page_are_commands_that_there_are",
    ),
    a_bug(
        "a link leads nowhere",
        "docs/quickstart.md",
        "](concepts.md)",
        "](concept.md)",
        READING + "test_no_link_is_dead",
    ),
)
