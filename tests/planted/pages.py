"""Bugs of the dashboard's working pages (see `bugs.py`)."""

from typing import Final

from tests.planted.bugs import a_bug

WORK: Final = "tests/integration/web/test_pages_work.py::"
RUNS: Final = "tests/integration/web/test_pages_runs.py::"

OF_PAGES: Final = (
    a_bug(
        "a run takes what came after its preview",
        "web/pages/bulk.py",
        "sought = Sought(code=self.code, since=self.since, until=self.until)",
        "sought = Sought(code=self.code, since=self.since)",
        RUNS + "test_a_filter_is_redriven_and_what_does_not_match_is_left_alone",
        RUNS + "test_all_that_wait_are_cancelled_and_all_doubts_are_read",
    ),
    a_bug(
        "what others wrote turns the text around it",
        "web/pages/phrases.py",
        "sign if sign.isprintable() else",
        "sign if sign else",
        RUNS + "test_text_of_others_is_shown_as_text",
    ),
    a_bug(
        "a search finds the payments of foreign portals",
        "web/pages/sifting.py",
        "return [row for row in await request.app[PARTS].lookups.named(text) if may_touch(request, row.portal)]",
        "return await request.app[PARTS].lookups.named(text)",
        WORK + "test_one_invoice_number_is_found_in_every_portal",
    ),
)
