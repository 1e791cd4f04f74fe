"""Bugs of the HTTP API (see `bugs.py`)."""

from typing import Final

from tests.planted.bugs import LEDGER, a_bug

FOREIGN: Final = "tests/integration/web/test_api_foreign.py::"
MODELS: Final = "tests/unit/web/test_api_models.py::"

HTTP_BUGS: Final = (
    a_bug(
        "a queue that is taken from is read by position",
        "ledger/redis/lua/walk.lua",
        "  if not names[1] then return stood end",
        "  do return stood end",
        LEDGER + "test_a_walk_that_is_overtaken_by_claims_still_shows_what_waits",
        LEDGER + "test_who_withdraws_each_page_sees_every_payment",
    ),
    a_bug(
        "a foreign payment is shown and changed",
        "web/api/door.py",
        "if found[0] is None or not may_touch(request, found[0].portal):",
        "if found[0] is None:",
        FOREIGN + "test_a_foreign_payment_and_one_that_is_not_there_look_the_same",
    ),
    a_bug(
        "what is counted for the audit is forgotten when the process stops",
        "web/intake.py",
        'await self._write_due(audit, float("inf"))',
        "return",
        "tests/integration/web/test_audit_kills.py::test_payments_handed_in_are_counted",
    ),
    a_bug(
        "the callback of a token is forgotten in streams and arrays",
        "web/api/bulk.py",
        "return wanted.named(handle, own, context, told)",
        "return wanted.named(handle, own, context)",
        "tests/integration/web/test_token_callback.py::test_every_door_tells_the_tokens_address",
    ),
    a_bug(
        "the second of two names counts",
        "web/api/bodies.py",
        "if len(read) < len(pairs):",
        "if False:",
        MODELS + "test_what_readers_read_in_different_ways_is_refused",
    ),
)
