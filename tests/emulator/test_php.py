"""Requests are read and arrays are shaped as PHP does it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator import php


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1&b=two+words", {"a": "1", "b": "two words"}),
        ("f[ID][0]=1&f[ID][1]=2", {"f": {"ID": {"0": "1", "1": "2"}}}),
        ("f[]=x&f[]=y", {"f": {"0": "x", "1": "y"}}),
        ("filter%5B%40ID%5D%5B%5D=7", {"filter": {"@ID": {"0": "7"}}}),
        ("a=1&a=2", {"a": "2"}),
        ("a.b=1&c d=2", {"a_b": "1", "c_d": "2"}),
        ("flag&=5&", {"flag": ""}),
        ("a[0]=1&a=2", {"a": "2"}),
        ("a[b=1", {"a[b": "1"}),
    ],
)
def test_a_form_body_becomes_nested_arrays_of_strings(text: str, expected: php.Params) -> None:
    """Every leaf of a parsed query is a string, brackets are arrays."""
    assert php.parse_str(text) == expected


def test_pairs_beyond_the_input_limit_are_dropped() -> None:
    """A form of more than a thousand pairs loses the rest without a word."""
    assert len(php.parse_str("&".join(f"k{n}=1" for n in range(1500)))) == php.MAX_INPUT_VARS


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "", "0", [], {}])
def test_empty_values_are_empty(value: php.Value) -> None:
    """Null, false, zero, the string "0" and empty arrays are empty to PHP."""
    assert php.is_empty(value)


@pytest.mark.parametrize("value", ["false", "0.0", " ", 1, True, ["x"], {"a": 1}])
def test_everything_else_is_filled(value: php.Value) -> None:
    """The string "false" is as true as any other."""
    assert not php.is_empty(value)


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        ({}, []),
        ({"0": 1, "1": 2}, [1, 2]),
        ({"1": 1, "0": 2}, {"1": 1, "0": 2}),
        ({"j0": 1}, {"j0": 1}),
        ({"1": 1}, {"1": 1}),
    ],
)
def test_arrays_have_phps_json_shape(array: php.Params, shape: php.Value) -> None:
    """An empty array is a list, keys counting from 0 are a list, anything else is an object."""
    assert php.array_out(array) == shape


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any body can be read as a form."""
    assert isinstance(php.parse_str(text), dict)


@pytest.mark.parametrize(("value", "number"), [("12abc", 12), ("abc", 0), ("-3", -3), (None, 0), (True, 1), (2.9, 2)])
def test_numbers_are_cast_from_leading_digits(value: php.Value, number: int) -> None:
    """A cast takes the digits a string begins with."""
    assert php.to_int(value) == number
