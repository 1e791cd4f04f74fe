"""Redaction: what looks like a secret goes, what a person needs for reading stays."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.redaction import STARS, redact, redact_value

CODE = "k0d3OfTheWebhook"


@pytest.mark.parametrize(
    "text",
    [
        f"https://acme.bitrix24.com/rest/1/{CODE}/crm.invoice.list.json",
        f"https://acme.bitrix24.com/rest/1/{CODE}",
        f"Cannot connect to host acme.bitrix24.com:443 url='https://acme.bitrix24.com/rest/17/{CODE}/batch'",
        f"https://acme.bitrix24.com/rest/api/1/{CODE}/tasks",
        f"https%3A%2F%2Facme.bitrix24.com%2Frest%2F1%2F{CODE}%2Fbatch",
        rf'{{"url": "https:\/\/acme.bitrix24.com\/rest\/1\/{CODE}\/batch"}}',
        f"https://pay.example.com/v1/install/acme/{CODE}",
        f"b'POST /v1/install/acme/{CODE} HTTP/1.1'",
        f"b24t_0123456789ab_{CODE}",
        f"/v1/payments?token=b24t_0123456789ab_{CODE}&x=1",
        f"redis://user:{CODE}@h:6379/0",
        f"redis://:p@{CODE}@h/0",
        f"redis+socket://:{CODE}@/run/a.sock",
        f"sentinel://:{CODE}@a:1,b:2/0?master=m",
        f"amqps://user:{CODE}@h//",
        f"auth={CODE}&halt=0",
        f"halt=0&auth={CODE}",
        f"{{'auth': '{CODE}'}}",
        f'{{"access_token": "{CODE}", "expires_in": 3600}}',
        f'{{"refresh_token":"{CODE}"}}',
        f'{{"refresh_token":"x\\"{CODE}"}}',
        f'"{{\\"client_secret\\": \\"{CODE}\\"}}"',
        f'{{"access_token": "{CODE}',
        f"client_secret={CODE}",
        f"client_secret%3D{CODE}",
        f"AUTH_ID={CODE}&REFRESH_ID={CODE}",
        f"auth[application_token]={CODE}",
        f"event=ONAPPINSTALL&auth%5Bapplication_token%5D={CODE}",
        f"auth%5Bapplication_token%5D%3D{CODE}",
        f"ts%3D1%26access_token%3D{CODE}",
        f"Authorization: Bearer {CODE}",
        f"{{'Authorization': 'Bearer {CODE}'}}",
        f"authorization={CODE}",
        f"B24PAY_SECRET_KEYS={CODE},{CODE}",
        f"password: {CODE}",
        f'"webhook": "https://x/{CODE}"',
    ],
)
def test_a_secret_goes_wherever_it_stands(text: str):
    """URLs, forms, JSON, quoted JSON, headers and settings lose the secret part."""
    assert CODE not in redact(text)
    assert STARS in redact(text)


@pytest.mark.parametrize(
    "secret",
    [
        "dGVzdHMtb25seS1rZXktb2YtdGhpcnR5LXR3by1ieXQ=",
        "gAAAAABm" + "aB3_-" * 20 + "==",
        "f4a2b366005f" * 6,
    ],
)
def test_keys_and_tokens_are_known_by_their_looks(secret: str):
    """Fernet keys, Fernet texts and access tokens go without any name beside them."""
    assert redact(f"got {secret} here") == f"got {STARS} here"


@pytest.mark.parametrize(
    "text",
    [
        "https://acme.bitrix24.com/rest/crm.invoice.list.json",
        "Pay system with ID=99 not found",
        "authentication failed for author Bob",
        "ERROR_CHECK_FAILURE",
        "redis://127.0.0.1:6379/0",
        "payment 3f2b8c1e-0000-4000-8000-000000000000 of portal acme",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "client_secret=None",
        "token 0123456789ab of b24t_",
        "mail@example.com",
    ],
)
def test_plain_text_stays_readable(text: str):
    """Codes, ids, hashes and addresses without credentials are not touched."""
    assert redact(text) == text


def test_the_rest_of_the_line_stays():
    """Only the secret part is replaced: host, user, method and parameters still help."""
    text = f"POST https://acme.bitrix24.com/rest/1/{CODE}/batch?auth={CODE}&halt=0 failed"
    assert redact(text) == f"POST https://acme.bitrix24.com/rest/1/{STARS}/batch?auth={STARS}&halt=0 failed"
    assert redact(f"redis://u:{CODE}@h:1/0") == f"redis://{STARS}@h:1/0"


class Loud:
    """A value whose repr shows a secret."""

    def __repr__(self) -> str:
        return f"<Session url=/rest/1/{CODE}/>"


class Broken:
    """A value whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError


def test_values_are_walked():
    """Members of every plain container are redacted; other objects become their redacted repr."""
    value = {
        "auth": CODE,
        "auth[application_token]": CODE,
        "webhook": f"https://x/{CODE}",
        "secret_keys": (CODE,),
        "nested": [{"url": f"/rest/1/{CODE}/"}, (f"auth={CODE}",), {f"auth={CODE}"}],
        "bytes": f"/rest/1/{CODE}/".encode(),
        "object": Loud(),
        "error": ValueError(f"/rest/1/{CODE}/"),
        "broken": Broken(),
        f"auth={CODE}": 1,
        "at": datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC),
        "count": 3,
        "ratio": 0.5,
        "yes": True,
        "none": None,
    }
    safe = redact_value(value)
    assert CODE not in repr(safe)
    assert isinstance(safe, dict)
    assert safe["at"] == "2026-11-24T00:00:00+00:00"
    assert (safe["count"], safe["ratio"], safe["yes"], safe["none"]) == (3, 0.5, True, None)
    assert safe["broken"] == "<Broken>"


def test_a_structure_without_an_end_is_cut():
    """A value that contains itself ends at a fixed depth."""
    endless: dict[str, object] = {}
    endless["again"] = endless
    assert "..." in repr(redact_value(endless))


@given(st.text())
def test_redaction_accepts_any_text_and_is_stable(text: str):
    """No text breaks it, and a second pass changes nothing."""
    once = redact(text)
    assert redact(once) == once


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=8), st.sampled_from(["/", "?", " ", "", "'"]))
def test_no_webhook_code_survives(code: str, after: str):
    """Whatever the code is made of and whatever follows it."""
    assert f"/{code}" not in redact(f"https://acme.bitrix24.com/rest/1/{code}{after}")
