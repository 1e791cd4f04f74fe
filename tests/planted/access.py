"""Bugs of the HTTP doors: who is let in, for what, and what is written down of it."""

from typing import Final

from tests.planted.bugs import a_bug

TOKENS: Final = "tests/integration/access/test_tokens.py::"
AUDIT: Final = "tests/integration/access/test_audit.py::"
PAGES: Final = "tests/integration/web/test_pages_access.py::"
FRAME: Final = "tests/integration/web/test_pages_frame.py::"
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
        "        require_role(route, principal)\n        require_portal(request, principal)\n",
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
    a_bug(
        "a session outlives its token",
        "access/gate.py",
        "return await self._usable(known)\n\n    async def _usable",
        "return known.token\n\n    async def _usable",
        PAGES + "test_a_session_ends_with_its_token",
    ),
    a_bug(
        "forms of elsewhere are taken",
        "web/pages/entering.py",
        'return said == "same-origin"',
        "return True",
        PAGES + "test_a_form_is_taken_from_pages_of_this_address_alone",
    ),
    a_bug(
        "a form needs no key",
        "web/pages/entering.py",
        "if route.roles and not hmac.compare_digest(",
        "if False and not hmac.compare_digest(",
        PAGES + "test_a_form_needs_the_key_of_its_own_session",
    ),
    a_bug(
        "foreign text becomes part of a page",
        "web/pages/rendering.py",
        "autoescape=True",
        "autoescape=False",
        FRAME + "test_foreign_text_is_shown_as_text",
    ),
)
