"""Secrets never leave in text: one list of what they look like, used by logs, errors and printed settings.

The webhook code stands in a portal's URL, and HTTP libraries put the URL into the text of their errors. So every
text that leaves the process goes through `redact`, whatever it is made of; a value that looks like a secret by
accident loses a few characters in a log, which is the cheaper mistake.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from enum import Enum
from functools import lru_cache
from typing import Final

STARS: Final = "***"
# Log values come from outside; a structure deeper than this is cut rather than walked.
_MAX_DEPTH: Final = 8

# The patterns start at word edges and never nest repetitions: a hostile megabyte must not stop a worker.
# Names whose value is a secret wherever it stands: a form field, a JSON member, a query argument, a header.
_NAMES: Final = (
    "access_token",
    "refresh_token",
    "client_secret",
    "application_token",
    "app_sid",
    "auth_id",
    "refresh_id",
    "member_secret",
    "api_?key",
    "passw(?:or)?d",
    "passphrase",
    "secret",
    "auth",
    "webhook",
)
_NAME: Final = "|".join(_NAMES)
# The separators as they look plain, inside quoted JSON and percent-encoded.
_SEPARATOR: Final = r"""(?:\\*["'])?\s*(?:=|:|%3D|%3A)\s*"""

# A name begins after anything but a letter or digit, or after a percent-encoded sign; forms put some into brackets.
_BEGIN: Final = "(?:(?<![a-z0-9])|(?<=%[0-9a-f][0-9a-f]))"
_BRACKET: Final = r"(?:\]|%5D)?"

_WEBHOOK: Final = re.compile(
    r"(?P<keep>(?:/|%2F|\\/)rest(?:/|%2F|\\/)(?:api(?:/|%2F|\\/))?\d+(?:/|%2F|\\/))[^\s/%\\\"'<>?&#,;)\]}]+",
    re.IGNORECASE,
)
# An install door's name: whoever has the address may bring a credential.
_DOOR: Final = re.compile(r"(?P<keep>/v1/install/[^\s/]{1,200}/)[^{\s/\\\"'<>?&#,;)\]}]+", re.IGNORECASE)
# A bearer token of the HTTP doors; its id (access/bearer.py) stays, so that it can be found and revoked.
_BEARER_MARK: Final = "b24t_"
_BEARER: Final = re.compile(r"(?P<keep>b24t_[0-9a-f]{12}_)[A-Za-z0-9]+")
_USERINFO: Final = re.compile(r"(?P<keep>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://)[^\s/\"'<>]*(?=@)", re.IGNORECASE)
_NAMED: Final = re.compile(
    rf"""(?P<keep>{_BEGIN}(?:{_NAME}){_BRACKET}{_SEPARATOR})"""
    # A quoted value (also cut off before its end), one inside an already quoted text, or a bare word.
    r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|\\+"[^"]*"?|\\+'[^']*'?"""
    r"""|(?!["'{\[(\\]|None\b|null\b)[^\s&,;"'<>)}\]]+)""",
    re.IGNORECASE,
)
# A list of keys is one value; its commas end a value everywhere else.
_KEY_LIST: Final = re.compile(rf"(?P<keep>secret_keys?{_SEPARATOR})[^\s\"'\[({{]+", re.IGNORECASE)
_HEADER: Final = re.compile(
    r"(?P<keep>\b(?:bearer|basic)\s+|authorization['\"]?\s*[:=]\s*['\"]?)(?!bearer\b|basic\b)[^\s,;\"'<>]+",
    re.IGNORECASE,
)
# Fernet keys (32 bytes) and what they encrypt.
_FERNET_KEY: Final = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}=(?![A-Za-z0-9_=-])")
_FERNET_TEXT: Final = re.compile(r"(?<![A-Za-z0-9_-])gAAAAA[A-Za-z0-9_-]{60,}=*")
# What callbacks are signed with (Standard Webhooks).
_SIGNING_SECRET: Final = re.compile(r"whsec_[A-Za-z0-9+/]{16,}=*")
# A Bitrix24 access token is a run of about 70 hexadecimal digits; a SHA-256 (64) stays readable.
_BARE_TOKEN: Final = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{66,}(?![0-9A-Za-z])", re.IGNORECASE)

# Event names, ids, portal keys and timestamps: one word, too short for a key and without any separator. They are most
# of what is logged, and skipping the patterns for them makes a line ten times cheaper.
_LONGEST_PLAIN: Final = 42
_PLAIN: Final = re.compile(rf"(?:[\w.+-]|(?<=\d):(?=\d)){{0,{_LONGEST_PLAIN}}}")

_KEEPING: Final = (_WEBHOOK, _DOOR, _BEARER, _USERINFO, _KEY_LIST, _HEADER, _NAMED)
_WHOLE: Final = (_FERNET_KEY, _FERNET_TEXT, _BARE_TOKEN, _SIGNING_SECRET)
# Texts in which nothing was found: routes, hosts and sentences come again and again. One with a secret is never kept.
_clean: set[str] = set()
_MOST_CLEAN: Final = 2000
_LONGEST_CLEAN: Final = 200

_KEPT: Final = rf"\g<keep>{STARS}"
_SECRET_NAME: Final = re.compile(rf"(?:.*[_\[-])?(?:{_NAME}|secret_keys?|authorization)\]?", re.IGNORECASE)


def redact(text: str) -> str:
    """The same text with every part that looks like a secret replaced by stars."""
    # Letters and digits alone are no bearer token either; a longer run of them may be a token of Bitrix24.
    if text in _clean or (text.isalnum() and len(text) <= _LONGEST_PLAIN):
        return text
    if _PLAIN.fullmatch(text) and _BEARER_MARK not in text:
        return text
    safe = text
    for pattern in _KEEPING:
        safe = pattern.sub(_KEPT, safe)
    for pattern in _WHOLE:
        safe = pattern.sub(STARS, safe)
    if safe == text and len(text) <= _LONGEST_CLEAN:
        if len(_clean) >= _MOST_CLEAN:
            _clean.clear()
        _clean.add(text)
    return safe


def redact_value(value: object, *, depth: int = 0) -> object:
    """A value of plain types that may be written down; anything else becomes its redacted `repr`."""
    if value is None or type(value) in (bool, int, float):
        return value
    if type(value) is str:  # most of what is logged; the general ways are further down
        return redact(value)
    if isinstance(value, Enum):
        return redact_value(value.value, depth=depth)
    if isinstance(value, str | bytes | bytearray | date):
        return redact(_text(value))
    if isinstance(value, Mapping | Sequence | AbstractSet):
        return _inside(value, depth) if depth < _MAX_DEPTH else "..."
    return redact(_safe_repr(value))


def _text(value: str | bytes | bytearray | date) -> str:
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str) else bytes(value).decode("utf-8", "backslashreplace")


def _inside(values: Mapping[object, object] | Iterable[object], depth: int) -> object:
    if isinstance(values, Mapping):
        members: dict[str, object] = {}
        for name, value in values.items():
            shown, secret = _name(str(name))
            if type(value) is str and not secret:  # the short way for most
                members[shown] = redact(value)
            else:
                members[shown] = _member(value, depth, named_secret=secret)
        return members
    return [redact_value(value, depth=depth + 1) for value in values]


@lru_cache(maxsize=1024)
def _name(name: str) -> tuple[str, bool]:
    """A member's name as it may be shown, and whether its value is a secret; the same few come again and again."""
    return redact(name), _SECRET_NAME.fullmatch(name) is not None


def _member(value: object, depth: int, *, named_secret: bool) -> object:
    if named_secret and isinstance(value, str | bytes | int | list | tuple) and not isinstance(value, bool):
        return STARS
    return redact_value(value, depth=depth + 1)


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a broken __repr__ must not take the line, or its caller, down
        return f"<{type(value).__name__}>"
