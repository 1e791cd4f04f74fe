"""What the API takes is what every other door takes; and what it reads, it reads as everybody does."""

import json
import re
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.walks import Place
from tasks.errors import InvalidPayment
from tasks.payment import LARGEST_ID, parse_payment
from web.api import cursors
from web.api.bodies import parse, validated
from web.api.cursors import Cursor
from web.api.models import PaymentRequest, digits_up_to
from web.api.names import named_by_key, named_by_place
from web.problems import Problem

numbers = st.one_of(
    st.integers(-2, 5),
    st.integers(LARGEST_ID - 2, LARGEST_ID + 2),
    st.integers(0, 10**17).map(str),
    st.text(max_size=4),
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False),
)
texts = st.one_of(
    st.none(), st.text(max_size=300), st.sampled_from(["acme", "a.b", "A", "-a", "x" * 64]), st.integers()
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "portal": texts,
        "invoice_id": numbers,
        "pay_system_id": numbers,
        "bx_rest_handler": texts,
        "idempotency_key": texts,
        "other": texts,
    },
)


@given(bodies)
def test_the_api_takes_exactly_what_the_producers_door_takes(body: dict[str, Any]):
    """The same fields are right and wrong, and make the same payment."""
    read = validated(PaymentRequest, body)
    try:
        wanted = parse_payment("h1", body)
    except InvalidPayment:
        assert isinstance(read, list)
        assert read
        return
    assert isinstance(read, PaymentRequest)
    assert read.named("h1", read.idempotency_key) == wanted


@given(st.one_of(st.integers(0, 10**17), st.integers(LARGEST_ID - 5, LARGEST_ID + 5)), st.integers(0, 3))
def test_the_pattern_of_digits_ends_exactly_at_the_largest(number: int, zeros: int):
    """What the document says of digits is what is taken."""
    assert bool(re.search(digits_up_to(LARGEST_ID), "0" * zeros + str(number))) is (1 <= number <= LARGEST_ID)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_read_as_everybody_reads_it(value: object):
    """Nothing that is right is refused or changed."""
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":1}', '[{"b":{"a":1,"a":2}}]', "NaN", "[Infinity]", "[" * 10_000, "01", "'a'", ""]
)
def test_what_readers_read_in_different_ways_is_refused(text: str):
    """Each is 400 with a cause."""
    with pytest.raises(Problem) as refusal:
        parse(text.encode())
    assert (refusal.value.status, refusal.value.name) == (400, "bad-json")


def test_a_number_beyond_what_is_exact_is_no_number():
    """Also one whose digits alone would keep a process busy."""
    for text in ("1" * 18, "9" * 100_000, "-" + "1" * 400, "1e999"):
        assert not isinstance(parse(text.encode()), int | float)


names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=10)
places = st.builds(
    Place, st.sampled_from("rqxsdpcf"), st.integers(0, 2**64 - 1).map(str), st.lists(names, max_size=4).map(tuple)
)


@given(places, st.integers(0, 5))
def test_a_cursor_comes_back_as_it_was_written(place: Place, search: int):
    """For the list that it was written for, and for no other."""
    text = cursors.written(Cursor("acme", search, place), "list")
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert cursors.read(text, "list") == Cursor("acme", search, place)
    with pytest.raises(Problem):
        cursors.read(text, "other")


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: urlsafe_b64encode(raw).decode()))
def test_no_text_that_somebody_writes_breaks_a_cursor(text: str):
    """It is refused as a parameter."""
    with pytest.raises(Problem) as refusal:
        cursors.read(text, "list")
    assert refusal.value.status == 422


def test_a_cursor_fits_into_an_address_whatever_ids_producers_make():
    """255 characters of four bytes each, four times: the latest name is kept."""
    place = Place("q", "7", tuple(sign * 255 for sign in "\U00020000\U00020001\U00020002\U00020003"))
    text = cursors.written(Cursor("a" * 63, 0, place), "list")
    assert len(text) <= 2000
    assert cursors.read(text, "list").place.names[0] == place.names[0]


@pytest.mark.parametrize(
    "parts",
    [
        ["list", "acme", 0, "q", "1e9"],
        ["list", "acme", 0, "q", "9" * 30],
        ["list", "acme", 0, "q", "\u0661"],
        ["list", "acme", 0, "qq", "1"],
        ["list", "acme", "0", "q", "1"],
        ["list", "HOST", 0, "q", "1"],
        ["list", "acme", 0, "q", "1", 5],
        ["list", "acme", 0, "q", "1", *"abcde"],
        ["list", "acme", 0, "q", "1", "a\nb"],
        ["list", "acme", 0, "q", -1],
        ["list", "acme", 0],
        [],
        {},
        "list",
    ],
)
def test_a_cursor_that_was_tampered_with_reaches_no_ledger(parts: object):
    """Its numbers and names are checked before they are used."""
    with pytest.raises(Problem):
        cursors.read(urlsafe_b64encode(json.dumps(parts).encode()).decode(), "list")


def test_names_of_keys_and_of_places_never_meet():
    """A key alone, and a place under a key, are named apart."""
    made = [
        named_by_key("k"),
        named_by_key("k\x000"),
        named_by_place("k", 0),
        named_by_place("k", 1),
        named_by_place("k0", 0),
    ]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[a-z2-7]{16}", name) for name in made)
