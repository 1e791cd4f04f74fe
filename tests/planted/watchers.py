"""Bugs in what watchers are told, by events and by traces."""

from typing import Final

from tests.planted.bugs import LEDGER, a_bug

EVENTS: Final = "tests/unit/worker/test_events.py::"
TRACING: Final = "tests/integration/worker/test_tracing.py::"
CONTEXT: Final = "tests/unit/config/test_tracing.py::"

OF_WATCHERS: Final = (
    a_bug(
        "an end is told before its result can be read",
        "worker/results.py",
        "        metas = [_final(entry) for entry in undelivered]\n",
        "        metas = [_final(entry) for entry in undelivered]\n        self.events.ended(undelivered)\n",
        EVENTS + "test_a_result_that_could_not_be_stored_is_not_told",
    ),
    a_bug(
        "a refused request is shown with its arguments",
        "worker/events.py",
        '"args": "()", "kwargs": "{}", "retries"',
        '"args": "()", "kwargs": repr(error), "retries"',
        EVENTS + "test_a_refused_request_is_told_without_what_it_asked_for",
    ),
    a_bug(
        "a finished row keeps its trace",
        "ledger/redis/lua/prelude.lua",
        "if record.q then redis.call('HDEL', P .. 'p:' .. id, 'q') end",
        "",
        LEDGER + "test_a_trace_is_forgotten_when_the_payment_ends",
        LEDGER + "test_a_cancelled_payment_forgets_it_too",
    ),
    a_bug(
        "exceptions are written into spans",
        "config/tracing.py",
        "record_exception=False",
        "record_exception=True",
        TRACING + "test_a_doubt_stays_in_its_trace_until_it_is_read_back",
    ),
    a_bug(
        "a trace that nobody records goes along",
        "config/tracing.py",
        'if found is None or not int(found["flags"], 16) & _RECORDED or',
        "if found is None or",
        CONTEXT + "test_only_a_recorded_traceparent_travels",
    ),
)
