"""Bugs about who may do what at Redis."""

from typing import Final

from tests.planted.bugs import a_bug

ADVICE: Final = "tests/unit/config/test_advice.py::"
RIGHTS: Final = "tests/deploy/test_redis_rights.py::"

OF_SERVERS: Final = (
    a_bug(
        "a right that is missing within a step is taken for a fault of ours",
        "config/advice.py",
        "if _NOT_PERMITTED.search(text) or _USER.search(text) or _NAME in",
        "if _NAME in",
        ADVICE + "test_known_refusals_have_a_next_step",
    ),
    a_bug(
        "a process that lacks a right says that Redis is away",
        "config/logging.py",
        "    _advised,\n    redacted,\n",
        "    redacted,\n",
        ADVICE + "test_a_line_of_the_log_has_the_next_step",
    ),
    a_bug(
        "a step of producers needs a command that they may not give",
        "ledger/redis/lua/find.lua",
        "local answers",
        "redis.call('HSTRLEN', P .. 'x', 'x')\nlocal answers",
        RIGHTS + "test_every_step_of_a_role_is_granted_whole",
    ),
)
