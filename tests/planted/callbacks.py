"""Planted bugs about callbacks; what each entry means is told in `tests.planted.bugs`."""

from typing import Final

from tests.planted.bugs import LEDGER, Bug, a_bug

_HERE: Final = "tests/integration/callbacks/"
_FORMER: Final = "tests/integration/ledger/test_callbacks_beside_older_versions.py::"
_PRELUDE: Final = "ledger/redis/lua/prelude.lua"

OF_CALLBACKS: Final[tuple[Bug, ...]] = (
    a_bug(
        "an end is told to nobody",
        _PRELUDE,
        "  if record.h then announce(id, retention_ms) end",
        "",
        LEDGER + "test_a_callback_is_due_when_its_payment_ends_and_not_before",
        LEDGER + "test_every_end_is_told",
    ),
    a_bug(
        "what an older version ends is told to nobody",
        "ledger/redis/lua/sweep_callbacks.lua",
        "elseif record.h ~= record.f then",
        "elseif false then",
        _FORMER + "test_what_a_former_worker_settles_is_told",
    ),
    a_bug(
        "a callback is delivered before anybody has it",
        "callbacks/schedule.py",
        "return _again(reason, tries, 0.0, patience)",
        'return Delivered("sent")',
        _HERE + "test_courier.py::test_what_is_not_confirmed_is_told_again_under_its_id",
    ),
    a_bug(
        "a receiver that hangs has all the room",
        "callbacks/courier.py",
        "return {host: max(0, most - busy[host]) for host, most in allowed.items()}",
        "return {}",
        _HERE + "test_courier.py::test_a_receiver_that_hangs_stops_nobody_else",
    ),
    a_bug(
        "no look at the address of a receiver's connection",
        "callbacks/sending.py",
        "if not self._rules.allow_insecure and not is_public_address(where[0]):",
        "if False:",
        _HERE + "test_inside.py::test_the_last_look_is_at_the_connection",
    ),
    a_bug(
        "certificates of receivers are not looked at",
        "callbacks/sending.py",
        "            use_dns_cache=False,",
        "            use_dns_cache=False,\n            ssl=False,",
        _HERE + "test_receivers_certificates.py::test_nothing_is_said_where_the_certificate_is_not_right",
    ),
    a_bug(
        "a receiver's redirects are followed",
        "callbacks/sending.py",
        "allow_redirects=False",
        "allow_redirects=True",
        _HERE + "test_courier.py::test_redirects_are_not_followed",
    ),
)
