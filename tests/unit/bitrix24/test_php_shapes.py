"""Reading PHP's JSON: no shape crashes the reader, and no text of a portal carries a secret on."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitrix24.shapes import (
    NOT_JSON,
    as_instant,
    as_int,
    as_map,
    as_rows,
    as_seconds,
    error_of,
    parse,
    redact,
    redact_code,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "text", [None, "", "  ", "<html>", "{", '{"a":1} x', "[" * 100_000, '{"a":' * 100_000, "9" * 5000]
)
def test_what_is_no_json_is_said_to_be_none(text: str | None):
    """Empty, cut, too deep and too long bodies are the same: not JSON."""
    assert parse(text) is NOT_JSON


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        "[-Infinity]",
        '{"a": 1, "a": 1}',
        '{"a": [{"b": 1, "\\u0062": 2}]}',
        "[" * 33 + "]" * 33,
        '{"a":' * 33 + "0" + "}" * 33,
        "[" + "0," * 20_000 + "0]",
    ],
)
def test_what_json_leaves_open_is_not_read(text: str):
    """No numbers that are none, no key twice, no more depth and no more values than a portal needs."""
    assert parse(text) is NOT_JSON


def test_what_portals_write_is_read():
    """Depth and size have room, keys may be empty, and the same key may stand in different objects."""
    assert parse("[" * 32 + "]" * 32) is not NOT_JSON
    assert parse("[" + "0," * 19_000 + "0]") is not NOT_JSON
    assert parse('{"": {"": 1}, "a": [{"a": 1}, {"a": 2}]}') == {"": {"": 1}, "a": [{"a": 1}, {"a": 2}]}


@pytest.mark.parametrize(
    ("php", "expected"),
    [([], {}), ({}, {}), (["a", "b"], {"0": "a", "1": "b"}), ({"p0": 1}, {"p0": 1}), (None, {}), ("x", {}), (7, {})],
)
def test_an_array_is_a_map_whatever_it_arrived_as(php: object, expected: object):
    """Empty list, list and object are one PHP type."""
    assert as_map(php) == expected


@given(json_values)
def test_no_json_value_crashes_a_reader(value: object):
    """Every reader answers for every JSON value."""
    as_map(value)
    as_rows(value)
    as_int(value)
    as_seconds(value)
    as_instant(value)
    error_of(value)


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        (2, 2),
        ("2", 2),
        (" 2 ", 2),
        (2.0, 2),
        (2.5, None),
        (True, None),
        ("", None),
        ("2x", None),
        (None, None),
        ("9" * 19, None),
    ],
)
def test_whole_numbers(given_value: object, expected: int | None):
    """Numbers arrive as strings."""
    assert as_int(given_value) == expected


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [(1.5, 1.5), ("1.5", 1.5), (0, 0), (-1, None), ("nan", None), (True, None), ([], None), (10**400, None)],
)
def test_seconds(given_value: object, expected: float | None):
    """Durations are finite and not negative."""
    assert as_seconds(given_value) == expected


def test_an_instant_needs_its_zone():
    """A date without a zone, an empty one and nonsense are nothing."""
    assert as_instant("2026-01-02T03:04:05+03:00") == datetime(2026, 1, 2, 0, 4, 5, tzinfo=UTC)
    assert [as_instant(value) for value in ("2026-01-02T03:04:05", "", "soon", None, 7)] == [None] * 5


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"error": " X ", "error_description": "t"}, (" X ", "t")),
        ({"error": ""}, ("", "")),
        ({"error": 0, "error_description": None}, ("0", "")),
        ({"error": None}, ("", "")),
        ({"error": {"code": "V3", "message": "m"}}, ("V3", "m")),
        ({"error": {"code": 1}, "error_description": "d"}, ("1", "d")),
        ({"error": ["a", "b"]}, ("a b", "")),
        ({"result": 1}, None),
        ([], None),
    ],
)
def test_an_error_is_found_in_every_dress(reply: object, expected: tuple[str, str] | None):
    """Strings, numbers, objects of the newer interface and empty codes."""
    assert error_of(reply) == expected


@given(before=st.text(max_size=600), after=st.text())
def test_a_redacted_text_is_short_clean_and_without_the_secret(before: str, after: str):
    """Whatever the portal says, our secret and URLs are not in it, and it is one line that can be stored."""
    text = redact(f"{before} SeCrEtCoDe https://acme.example/rest/1/x/ {after}", "secretcode")
    assert "secretcode" not in text.lower()
    assert "acme.example" not in text
    assert len(text) <= 500
    assert "\n" not in text
    text.encode()


def test_a_redacted_code_is_upper_case():
    """Codes are compared and shown stripped and in upper case, without the secret."""
    assert redact_code(" expired_token\n", "secretcode") == "EXPIRED_TOKEN"
    assert "SECRETCODE" not in redact_code("x_SecretCode", "secretcode")
