"""Settings read without pydantic: nothing is accepted that the judge refuses, and everything means the same."""

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigurationError
from config.plain import PlainSettings, plain_settings, plainly
from config.settings import load_settings

KEY = "dGVzdHMtb25seS1rZXktb2YtdGhpcnR5LXR3by1ieXQ="
REDIS = {"REDIS_URL": "redis://:canary@127.0.0.1:6379/0"}
NAMES = (
    *("REDIS_URL", "BROKER_URL", "RESULT_BACKEND_URL", "B24PAY_SECRET_KEYS", "B24PAY_ALLOW_INSECURE_PORTALS"),
    *("B24PAY_HTTP_TOTAL_S", "B24PAY_PORTAL_CUT_S", "B24PAY_LEASE_S", "B24PAY_RETENTION_DAYS", "B24PAY_LOG_LEVEL"),
    *("B24PAY_LOG_FORMAT", "B24PAY_FAILPOINTS", "B24PAY_LEESE_S", "PATH", "B24PAY_WEB_LISTEN"),
    *("B24PAY_WEB_URL", "B24PAY_WEB_PROXIES", "B24PAY_CALLBACK_HOSTS", "B24PAY_PORTAL_PROXY"),
)
WORDS = (
    *(
        "",
        " ",
        "0",
        "1",
        "60",
        " 75 ",
        "80.5",
        "299.999",
        "3600",
        "3600.5",
        "007",
        "+5",
        "1e1",
        "1_0",
        "٣",
        ".5",
        "inf",
    ),
    *("true", "no", "debug", "INFO", "json", "console", KEY, f"{KEY}, {KEY}", f"{KEY},x", "redis://h/0", "redis://h/x"),
    *("rediss://u:w@h:1/2", "redis://h#", "amqp://broker", "here", "sentinel://h/0?master=m", "redis+socket:///s"),
    *(
        "127.0.0.1:8080",
        "[::1]:0",
        ":80",
        "h:99999",
        "http://h",
        "https://h/",
        "https://h/x",
        "10.0.0.0/8, ::1",
        "10.1/8",
        "shop.example, *.example.org",
        "http://proxy:3128",
        "http://u:w@proxy:3128",
        "https://shop.example",
    ),
)
VALUES = st.one_of(
    st.sampled_from(WORDS),
    st.integers(-5, 5000).map(str),
    st.decimals(0, 4000, places=2).map(str),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
def test_what_is_read_plainly_is_what_the_judge_reads(more: dict[str, str]):
    """Field by field; and where the judge refuses, nothing was read plainly."""
    environ = REDIS | more
    plain = plainly({name: value for name, value in environ.items() if value.strip()})
    try:
        judged = PlainSettings.of(load_settings(environ))
    except ConfigurationError:
        assert plain is None
        return
    assert plain in (None, judged)
    assert plain_settings(environ) == judged


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"B24PAY_SECRET_KEYS": KEY, "B24PAY_ALLOW_INSECURE_PORTALS": "1", "B24PAY_PORTAL_CUT_S": "5"},
        {"B24PAY_HTTP_TOTAL_S": "30", "B24PAY_LEASE_S": "45.5", "B24PAY_RETENTION_DAYS": "90"},
        {"BROKER_URL": "amqp://broker", "B24PAY_LOG_LEVEL": "info", "B24PAY_LOG_FORMAT": "json", "HOME": "/root"},
    ],
)
def test_ordinary_settings_are_read_plainly(more: dict[str, str]):
    """Or nothing would be gained."""
    plain = plainly(REDIS | more)
    assert plain is not None
    assert asdict(plain) == asdict(PlainSettings.of(load_settings(REDIS | more)))


@pytest.mark.parametrize(
    "more", [{"B24PAY_LEASE_S": "60"}, {"B24PAY_COLOUR": "red"}, {"B24PAY_LOG_LEVEL": "loud"}, {"REDIS_URL": "here"}]
)
def test_what_is_wrong_is_told_in_the_judges_words(more: dict[str, str]):
    """The same error, with all problems."""
    with pytest.raises(ConfigurationError) as told:
        plain_settings(REDIS | more)
    with pytest.raises(ConfigurationError) as judged:
        load_settings(REDIS | more)
    assert str(told.value) == str(judged.value)


def test_the_file_is_read_as_the_judge_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`.env` fills in what the environment does not set."""
    monkeypatch.chdir(tmp_path)
    lines = ("REDIS_URL=redis://from-file/0", "B24PAY_LEASE_S=80", "export B24PAY_RETENTION_DAYS='7'", "# note")
    Path(".env").write_text("\n".join(lines))
    monkeypatch.setenv("B24PAY_LEASE_S", "90")
    plain = plain_settings()
    assert (plain.redis_url, plain.lease_s, plain.retention_days) == ("redis://from-file/0", 90, 7)
    assert plain == PlainSettings.of(load_settings())


def test_secrets_are_in_no_text():
    """As it is printed, by whom ever."""
    shown = repr(plainly(REDIS | {"B24PAY_SECRET_KEYS": KEY, "BROKER_URL": "amqp://u:canary@h"}))
    assert "canary" not in shown
    assert KEY not in shown


def test_reading_plainly_costs_no_pydantic():
    """That is what it is for."""
    code = (
        "import sys; from config.plain import plain_settings; plain_settings({'REDIS_URL': 'redis://h/0'});"
        "print([name for name in ('pydantic', 'redis', 'structlog', 'dotenv') if name in sys.modules])"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert told.stdout.strip() == "[]"
