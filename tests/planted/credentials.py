"""Bugs of credentials: how tokens are renewed, who may bring them, and that they stay inside."""

from typing import Final

from tests.planted.bugs import a_bug

RENEWAL: Final = "tests/integration/bitrix24/test_renewal.py::"
DOOR_IN_TIME: Final = "tests/integration/web/test_doors_in_time.py::"
DOOR: Final = "tests/integration/web/test_install_door.py::"
SECRETS: Final = "tests/acceptance/test_secrets.py::"

# A refresh token works once.
OF_TOKENS: Final = (
    a_bug(
        "every process renews",
        "bitrix24/renewal.py",
        "if await self._redis.set(lock, owner, nx=True, px=LOCK_MS):",
        "if await self._redis.set(lock, owner, px=LOCK_MS):",
        RENEWAL + "test_thirty_two_processes_renew_once",
    ),
    a_bug(
        "new tokens over whatever there is",
        "bitrix24/renewal.py",
        "moved=True, over=portal.version",
        "moved=True, over=None",
        RENEWAL + "test_an_operators_credential_wins",
        RENEWAL + "test_what_else_changed_meanwhile_stays",
    ),
    a_bug(
        "a caller that stops takes the new tokens along",
        "bitrix24/renewal.py",
        "await asyncio.shield(running)",
        "await running",
        RENEWAL + "test_a_caller_that_is_cancelled_loses_no_tokens",
    ),
)

# Who may bring a credential.
OF_DOORS: Final = (
    a_bug(
        "any name opens a door",
        "bitrix24/doors.py",
        'if not hmac.compare_digest(record["door"], _hash(name)):',
        "if not raw:",
        DOOR + "test_a_wrong_door_and_an_unknown_key_look_the_same",
        DOOR + "test_a_new_invitation_ends_the_former_one",
    ),
    a_bug(
        "any application is believed",
        "bitrix24/doors.py",
        "return hmac.compare_digest(known.reveal().encode(), event.application_token.reveal().encode())",
        "return True",
        DOOR + "test_the_application_token_is_compared_where_it_is_known",
        DOOR_IN_TIME + "test_a_removed_application_holds_the_lane",
    ),
    a_bug(
        "a credential is stored unproven",
        "web/installing.py",
        "    await _prove(parts, door, portal)\n",
        "",
        DOOR + "test_tokens_that_the_portal_does_not_accept_are_not_stored",
        DOOR + "test_a_portal_that_is_away_is_asked_for_later",
    ),
    a_bug(
        "a repeated event brings used tokens back",
        "bitrix24/doors.py",
        "return Standing.KNOWN if is_last else Standing.NEWER",
        "return Standing.NEWER",
        DOOR_IN_TIME + "test_a_repeated_event_is_answered_the_same_and_changes_nothing",
    ),
    a_bug(
        "an older event replaces a newer one",
        "bitrix24/doors.py",
        "if grant.expires_at < installed.expires_at or (grant.digest in installed.pairs and not is_last):",
        "if False:",
        DOOR_IN_TIME + "test_a_new_installation_replaces_the_tokens_and_a_late_older_event_does_not",
    ),
    a_bug(
        "a stranger names the portal's address",
        "bitrix24/install_event.py",
        "if expected_host is None and not is_cloud_portal(",
        "if False and not is_cloud_portal(",
        DOOR + "test_addresses_outside_are_refused",
    ),
)

# Secrets stay inside, and are not lost.
OF_SECRETS: Final = (
    a_bug(
        "a rotation overwrites a newer credential",
        "bitrix24/reseal.lua",
        "~= ARGV[2] then",
        "== 'never' then",
        "tests/integration/bitrix24/test_resealing.py::test_a_newer_record_is_never_overwritten",
    ),
    a_bug(
        "lines are written as they are",
        "config/logging.py",
        "    redacted,\n    _ordered,",
        "    _ordered,",
        SECRETS + "test_a_line_about_an_exception",
    ),
    a_bug(
        "the terminal repeats errors as they are",
        "cli/failures.py",
        "CommandError(redact(known.cause),",
        "CommandError(known.cause,",
        SECRETS + "test_a_command_that_ends_in_an_exception",
    ),
)

CREDENTIAL_BUGS: Final = (*OF_TOKENS, *OF_DOORS, *OF_SECRETS)
