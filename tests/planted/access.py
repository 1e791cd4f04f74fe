"""Bugs of the HTTP doors: who is let in, for what, and what is written down of it."""

from typing import Final

from tests.planted.bugs import a_bug

TOKENS: Final = "tests/integration/access/test_tokens.py::"
AUDIT: Final = "tests/integration/access/test_audit.py::"
TABLE: Final = "tests/integration/web/test_access.py::"
OWASP: Final = "tests/integration/web/test_access_owasp.py::"

OF_ACCESS: Final = (
    a_bug(
        "any secret opens",
        "access/gate.py",
        "return hmac.compare_digest(token.hash, bearer.digest(text))",
        "return True",
        TOKENS + "test_a_token_opens_and_no_other_text_does",
        TABLE + "test_without_a_good_token_nothing_but_open_routes_is_reached",
    ),
    a_bug(
        "roles and portals are not looked at",
        "web/access.py",
        "        _require_role(route, principal)\n        _require_portal(request, principal)\n",
        "",
        TABLE + "test_each_role_may_what_the_table_says",
        OWASP + "TestApi1ObjectLevelAuthorization::test_another_portal_looks_like_none",
    ),
    a_bug(
        "without a usable token everything is open again",
        "access/tokens.py",
        "return bool(await self._redis.exists(_MADE, _TOKENS))",
        "return await self.any_usable()",
        TOKENS + "test_once_there_was_a_token_the_gate_is_never_open_again",
    ),
    a_bug(
        "recent entries of the audit give way",
        "access/append_audit.lua",
        "'MINID', '~', string.format('%.0f', horizon)",
        "'MAXLEN', '500'",
        AUDIT + "test_rows_go_by_age_and_never_by_number",
    ),
)
