"""Bugs in what is counted and in how a standstill is found."""

from typing import Final

from tests.planted.bugs import Bug, a_bug

WORK: Final = "tests/unit/metrics/test_work.py::"
PULSE: Final = "tests/unit/metrics/test_pulse.py::"
TABLE: Final = "tests/unit/metrics/test_table.py::"
OVERVIEW: Final = "tests/integration/metrics/test_overview.py::"

OF_WATCHING: Final[tuple[Bug, ...]] = (
    a_bug(
        "a doubt that is read counts as one that opens",
        "metrics/work.py",
        "if decision.payment.state is not State.SENDING:",
        "if payment.state is State.PAID and decision.payment.state is not State.SENDING:",
        WORK + "test_a_read_back_counts_by_what_it_found",
    ),
    a_bug(
        "every code of a portal is a series",
        "metrics/codes.py",
        "return code if code in CODES else UNKNOWN",
        "return code",
        TABLE + "test_a_code_that_nobody_knows_is_other",
    ),
    a_bug(
        "a loop that stands still is believed",
        "metrics/pulse.py",
        "if self.age_s(beat) > STILL_S:",
        "if self.age_s(beat) > 100 * STILL_S:",
        PULSE + "test_one_part_that_stands_still_is_named",
    ),
    a_bug(
        "a silent worker consumes",
        "metrics/life.py",
        "if self.age_s > SILENT_S:",
        "if self.age_s > FORGOTTEN_S:",
        OVERVIEW + "test_a_silent_worker_is_missed_for_some_minutes",
    ),
    a_bug(
        "nobody sees the age of lanes beyond the first",
        "ledger/redis/lua/overview.lua",
        "rest[WAITING], rest[SENT] = older(rest[WAITING], row[WAITING]), older(rest[SENT], row[SENT])",
        "rest[SENT] = older(rest[SENT], row[SENT])",
        OVERVIEW + "test_lanes_with_the_most_open_payments_come_first",
    ),
)
