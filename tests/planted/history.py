"""Bugs in what the ledger remembers and counts for people."""

from typing import Final

from tests.planted.bugs import LEDGER, Bug, a_bug

MARKS: Final = "ledger/redis/lua/marks.lua"
BESIDE: Final = "tests/integration/ledger/test_figures_beside_older_versions.py::"

OF_HISTORY: Final[tuple[Bug, ...]] = (
    a_bug(
        "a read that is repeated counts twice",
        "ledger/redis/lua/settle.lua",
        "if tonumber(redis.call('ZSCORE', P .. 'd:' .. portal, id) or 0) > NOW then return end",
        "",
        LEDGER + "test_reads_that_say_the_same_are_one_step",
    ),
    a_bug(
        "a retry forgets how it failed",
        "ledger/redis/lua/retry.lua",
        "  note_failure()\n",
        "",
        LEDGER + "test_a_retry_keeps_how_it_failed",
    ),
    a_bug(
        "a history without an end",
        MARKS,
        "if left_out and #kept > MOST_KEPT + 1 then",
        "if left_out and #kept > 100 * MOST_KEPT then",
        LEDGER + "test_a_long_way_keeps_its_beginning_and_its_end",
    ),
    a_bug(
        "a retried payment stays among the failures",
        "ledger/redis/lua/retry.lua",
        "  drop_failure(record.l, id, record.g or '')\n",
        "",
        LEDGER + "test_a_portal_that_invents_codes_is_counted_in_bounds",
    ),
    a_bug(
        "a portal's codes without bounds",
        MARKS,
        "local MOST_CODES = 50",
        "local MOST_CODES = 50000",
        LEDGER + "test_a_portal_that_invents_codes_is_counted_in_bounds",
    ),
    a_bug(
        "counts of an older version are believed",
        MARKS,
        "  if listed ~= redis.call('ZCARD', failed) then return false, counts end\n",
        "",
        BESIDE + "test_what_a_former_command_retried_leaves_the_lists",
    ),
    a_bug(
        "what an older worker did is made up",
        "ledger/transitions.py",
        "        elif _jumps(step, stands, attempts):\n            yield _unknown(_OLDER)\n",
        "",
        BESIDE + "test_a_way_through_a_former_worker_is_told_with_its_gaps",
    ),
    a_bug(
        "a minute counts steps instead of payments",
        MARKS,
        "local function tick(kind, by) ticks[kind] = (ticks[kind] or 0) + by end",
        "local function tick(kind, by) ticks[kind] = by end",
        LEDGER + "test_minutes_tell_what_happened_in_them",
    ),
)
