"""Bugs that break the peace between two releases: what one has written the other no longer finds."""

from typing import Final

from tests.planted.bugs import Bug, a_bug

LAST: Final = "tests/upgrade/test_last_release.py::"
BESIDE: Final = "tests/upgrade/test_beside_the_release.py::"

OF_UPGRADES: Final[tuple[Bug, ...]] = (
    a_bug(
        "the deaths of a payment's drivers have another field",
        "ledger/redis/records.py",
        'record.get("x", 0)',
        'record.get("deaths", 0)',
        LAST + "test_every_row_is_read_as_it_was_written",
    ),
    a_bug(
        "suspects wait in another list",
        "ledger/redis/lua/prelude.lua",
        "SUSPECT_DEATHS and 'x:' or 'q:'",
        "SUSPECT_DEATHS and 'y:' or 'q:'",
        BESIDE + "test_what_one_began_the_other_finishes",
    ),
    a_bug(
        "the time of a command has another field",
        "limiter/redis/lua/prelude.lua",
        "redis.call('HMGET', key, 'command_s', 'base_s', 'fit')",
        "redis.call('HMGET', key, 'command', 'base_s', 'fit')",
        BESIDE + "test_both_pace_a_portal_by_the_same_rows",
    ),
)
