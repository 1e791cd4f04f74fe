"""PHP as seen from outside: how it reads requests, casts values and shapes arrays in JSON."""

import re
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import unquote_plus

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
Params: TypeAlias = dict[str, Value]

# PHP's default `max_input_vars`: pairs beyond it are dropped from forms and query strings, not from JSON.
MAX_INPUT_VARS = 1000

_LEADING_INT = re.compile(r"\s*([+-]?\d+)")
_FORBIDDEN_IN_NAME = str.maketrans({" ": "_", ".": "_"})


def parse_str(text: str) -> Params:
    """Read a query string or form body as PHP's `parse_str` does; every leaf is a string."""
    return collect(
        (unquote_plus(name), unquote_plus(value))
        for name, _, value in (pair.partition("=") for pair in text.split("&")[:MAX_INPUT_VARS] if pair)
    )


def collect(pairs: Iterable[tuple[str, str]]) -> Params:
    """Build the nested array PHP makes of form fields such as `filter[@ID][0]=5`."""
    found: Params = {}
    for name, value in pairs:
        _insert(found, name.lstrip(" "), value)
    return found


def _insert(into: Params, name: str, value: str) -> None:
    opening = name.find("[")
    if opening <= 0 or "]" not in name[opening:]:
        if name:
            into[name.translate(_FORBIDDEN_IN_NAME)] = value
        return
    place, key = into, name[:opening].translate(_FORBIDDEN_IN_NAME)
    for part in _subscripts(name[opening:]):
        inner = place.get(key)
        if not isinstance(inner, dict):
            inner = {}
            place[key] = inner
        place, key = inner, part if part else _next_index(inner)
    place[key] = value


def _subscripts(rest: str) -> list[str]:
    parts = []
    while rest.startswith("["):
        part, closed, rest = rest[1:].partition("]")
        if not closed:
            break
        parts.append(part)
    return parts


def _next_index(array: Params) -> str:
    taken = [int(key) for key in array if key.isdecimal()]
    return str(max(taken) + 1 if taken else 0)


def as_array(value: Value) -> Params | None:
    """A PHP array as an ordered map with string keys, or None for a scalar."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value)}
    return None


def array_out(array: Params) -> Value:
    """The JSON shape of a PHP array: empty is `[]`, keys 0..n-1 are a list, the rest an object."""
    if all(key == str(index) for index, key in enumerate(array)):
        return list(array.values())
    return array


def is_empty(value: Value) -> bool:
    """PHP's `empty()`: null, false, 0, 0.0, "", "0" and an empty array."""
    return value in (None, False, 0, "", "0") or value in ([], {})


def to_int(value: Value) -> int:
    """PHP's `(int)` cast: the leading digits of a string, 1 for a filled array."""
    if isinstance(value, str):
        digits = _LEADING_INT.match(value)
        return int(digits[1]) if digits else 0
    if isinstance(value, list | dict):
        return int(bool(value))
    return int(value or 0)


def to_text(value: Value) -> str:
    """PHP's `(string)` cast."""
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    return "Array" if isinstance(value, list | dict) else str(value)


def upper_keys(value: Params) -> Params:
    """`array_change_key_case(..., CASE_UPPER)`, all the way down."""
    return {key.upper(): _upper_inside(item) for key, item in value.items()}


def _upper_inside(value: Value) -> Value:
    if isinstance(value, dict):
        return upper_keys(value)
    if isinstance(value, list):
        return [_upper_inside(item) for item in value]
    return value
