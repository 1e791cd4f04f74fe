"""Reads what PHP writes: JSON whose arrays are lists or objects by accident, numbers in strings, "" for nothing."""

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

_TEXT_CAP: Final = 500
_CODE_CAP: Final = 100
_URL: Final = re.compile(r"(?:https?:)?//\S+", re.IGNORECASE)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_DIGITS: Final = re.compile(r"[+-]?\d{1,18}")
NOT_JSON: Final = object()
# A whole batch has some thousand values, six deep. Two bytes of text may become a hundred in memory: more is not read.
_VALUES_MAX: Final = 20_000
_DEPTH_MAX: Final = 32


def parse(text: str | None) -> object:
    """The JSON value of a body, or NOT_JSON, also for what JSON leaves open and PHP never writes.

    That is a key that stands twice in an object, NaN and infinities, more than 32 levels, or some 20,000 values.
    """
    if not text or text.isspace() or sum(map(text.count, "[{,")) > _VALUES_MAX:
        return NOT_JSON
    try:
        value: object = _JSON.decode(text)
    except (ValueError, RecursionError):
        return NOT_JSON
    return NOT_JSON if _too_deep(value) else value


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice: one reader takes the first, another the last")
    return found


_JSON: Final = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_each_key_once)


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEPTH_MAX + 1):
        nested = [each for each in level if isinstance(each, (dict, list))]
        if not nested:
            return False
        level = []
        for each in nested:
            level += each.values() if isinstance(each, dict) else each
    return True


def as_map(value: object) -> Mapping[str, object]:
    """A PHP array as a map: an empty one arrives as `[]`, one with keys 0..n-1 as a list, others as an object."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(index): entry for index, entry in enumerate(value)}
    return {}


def as_rows(value: object) -> list[Mapping[str, object]]:
    """The objects of a PHP list, whatever container it arrived in; entries that are no objects are left out."""
    return [entry for entry in as_map(value).values() if isinstance(entry, dict)]


def as_int(value: object) -> int | None:
    """A whole number, also in a string; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value.strip()) else None


def as_seconds(value: object) -> float | None:
    """A finite number of seconds that is not negative, also in a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def as_instant(value: object) -> datetime | None:
    """An ISO-8601 instant with its zone and of this century; None where there is none: nothing else proves anything."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return instant if instant.tzinfo is not None and 2000 < instant.year < 2100 else None  # noqa: PLR2004 - as said


def error_of(value: object) -> tuple[str, str] | None:
    """Code and text of an `error` in a reply or a `result_error` entry, None where there is no `error` key.

    The code may be a string, a number or '', and in newer replies the error is an object of its own.
    """
    if not isinstance(value, dict) or "error" not in value:
        return None
    error: object = value["error"]
    text: object = value.get("error_description")
    if isinstance(error, dict):
        return _plain(error.get("code")), _plain(error.get("message", text))
    return _plain(error), _plain(text)


def redact(text: str, *secrets: str) -> str:
    """A portal's text on one line, capped, without URLs and without our secrets, safe to store and show."""
    clean = text[: _TEXT_CAP * 8]
    for secret in secrets:
        clean = re.sub(re.escape(secret), "***", clean, flags=re.IGNORECASE)
    clean = _CONTROLS.sub(" ", _URL.sub("[address]", clean)).encode("utf-8", "replace").decode().strip()
    return clean if len(clean) <= _TEXT_CAP else f"{clean[: _TEXT_CAP - 1]}…"


def redact_code(code: str, *secrets: str) -> str:
    """A code as errors carry it: redacted, capped, stripped and upper-case."""
    return redact(code, *secrets)[:_CODE_CAP].strip().upper()


def _plain(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        return " ".join(part for part in value if isinstance(part, str))
    return ""
