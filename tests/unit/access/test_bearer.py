"""What a bearer token looks like, and what is kept of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access import bearer
from access.roles import CHANGERS, PAYERS, READERS, Principal, Role
from config.redaction import STARS, redact


def a_text() -> str:
    """A new token."""
    return bearer.spelled(bearer.new_id(), bearer.new_secret())


def test_a_token_has_a_prefix_an_id_and_256_bits():
    """Whoever finds one somewhere knows what it is, and nobody guesses one."""
    texts = {a_text() for _ in range(100)}
    assert len(texts) == 100
    for text in texts:
        prefix, token_id, secret = text.split("_")
        assert prefix == "b24t"
        assert bearer.id_of(text) == token_id
        assert len(bytes.fromhex(secret)) == 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b24t",
        "b24t_0123456789ab",
        "b24t_0123456789ab_",
        "b24t_0123456789ab_short",
        "b24t_0123456789AB_" + "a" * 64,
        "b24x_0123456789ab_" + "a" * 64,
        "b24t_0123456789ab_" + "a" * 64 + "\n",
        "b24t_0123456789ab_" + "a" * 200,
        "b24t_0123456789ab_" + "é" * 64,
        " b24t_0123456789ab_" + "a" * 64,
    ],
)
def test_other_texts_are_no_tokens(text: str):
    """They are refused without a look-up."""
    assert bearer.id_of(text) is None


@given(st.text())
def test_any_text_may_be_asked(text: str):
    """No text breaks it."""
    assert bearer.id_of(text) is None or text.startswith("b24t_")


def test_the_digest_is_of_the_whole_token():
    """The same secret under another id is another token."""
    secret = bearer.new_secret()
    one, other = bearer.spelled("0" * 12, secret), bearer.spelled("1" * 12, secret)
    assert bearer.digest(one) != bearer.digest(other)
    assert secret not in bearer.digest(one)


@pytest.mark.parametrize("around", ["{}", "x{}x", "?access={}&b=1", "Authorization: Bearer {}", "'{}'", "[{},"])
def test_a_token_never_stays_in_a_text(around: str):
    """Wherever it stands; its id may."""
    text = a_text()
    shown = redact(around.format(text))
    assert (text.split("_")[2] in shown, STARS in shown) == (False, True)


def test_half_a_token_goes_as_well():
    """A text that was cut off may end in the middle of one."""
    text = a_text()
    for end in range(24, len(text)):
        assert text[18:end] not in redact(text[:end]), end


def test_what_roles_there_are():
    """Reading is for all, changing for operators; a producer pays and reads."""
    assert frozenset(Role) == READERS
    assert CHANGERS < PAYERS < READERS


def test_a_principal_touches_its_own_portals():
    """Without a limit all of them, with an empty one none."""
    assert Principal("a", Role.VIEWER).may_touch("acme")
    assert Principal("a", Role.VIEWER, frozenset({"acme"})).may_touch("acme")
    assert not Principal("a", Role.VIEWER, frozenset({"acme"})).may_touch("globex")
    assert not Principal("a", Role.VIEWER, frozenset()).may_touch("acme")
