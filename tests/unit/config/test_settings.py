"""Settings: read once, all problems at once, no secret ever shown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.effective import Origin, effective
from config.errors import ConfigurationError
from config.settings import DEVELOPMENT, PRODUCER, WORKER, LogFormat, LogLevel, Settings, load_settings, variables

KEY = "dGVzdHMtb25seS1rZXktb2YtdGhpcnR5LXR3by1ieXQ="
OTHER_KEY = "b3RoZXItdGVzdC1rZXktb2YtMzItYnl0ZXMtLS0tLS0="
REDIS = {"REDIS_URL": "redis://127.0.0.1:6379/0"}


def problems(environ: dict[str, str], require: frozenset[str] = PRODUCER) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ, require=require)
    return {problem.variable: f"{problem.text} {problem.hint}" for problem in caught.value.problems}


def test_a_producer_needs_only_the_redis_url():
    """With REDIS_URL alone every other setting has the contract's default."""
    settings = load_settings(REDIS)
    assert settings.broker_url == settings.result_backend_url == settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.http_total_s, settings.portal_cut_s, settings.lease_s) == (60, 60, 75)
    assert settings.quiet_s == 120
    assert settings.retention_days == 35
    assert settings.allow_insecure_portals is False
    assert (settings.log_level, settings.log_format) == (LogLevel.INFO, None)
    assert settings.secret_keys == ()


def test_the_variables_are_those_of_the_contract():
    """The names other people rely on; one more is fine, one less or renamed is a break."""
    assert set(variables()) >= {
        "REDIS_URL",
        "BROKER_URL",
        "RESULT_BACKEND_URL",
        "B24PAY_SECRET_KEYS",
        "B24PAY_ALLOW_INSECURE_PORTALS",
        "B24PAY_HTTP_TOTAL_S",
        "B24PAY_PORTAL_CUT_S",
        "B24PAY_LEASE_S",
        "B24PAY_RETENTION_DAYS",
        "B24PAY_LOG_LEVEL",
        "B24PAY_LOG_FORMAT",
    }


def test_every_variable_is_read():
    """Each variable reaches its field in the type the code works with."""
    settings = load_settings(
        {
            "REDIS_URL": "rediss://user:word@h:1/2",
            "BROKER_URL": "amqp://broker",
            "RESULT_BACKEND_URL": "redis://results",
            "B24PAY_SECRET_KEYS": f"{KEY} , {OTHER_KEY}",
            "B24PAY_ALLOW_INSECURE_PORTALS": "1",
            "B24PAY_HTTP_TOTAL_S": "1.5",
            "B24PAY_PORTAL_CUT_S": "2",
            "B24PAY_LEASE_S": "3",
            "B24PAY_RETENTION_DAYS": "4",
            "B24PAY_LOG_LEVEL": "Debug",
            "B24PAY_LOG_FORMAT": "JSON",
            "B24PAY_PORTAL_PROXY": "http://user:word@proxy:3128",
        },
        require=WORKER,
    )
    assert settings.redis_url == "rediss://user:word@h:1/2"
    assert (settings.broker_url, settings.result_backend_url) == ("amqp://broker", "redis://results")
    assert [key.get_secret_value() for key in settings.secret_keys] == [KEY, OTHER_KEY]
    assert settings.allow_insecure_portals is True
    assert (settings.http_total_s, settings.portal_cut_s, settings.lease_s, settings.quiet_s) == (1.5, 2, 3, 3.5)
    assert settings.retention_days == 4
    assert settings.portal_proxy_url == "http://user:word@proxy:3128"
    assert (settings.log_level, settings.log_format) == (LogLevel.DEBUG, LogFormat.JSON)


def test_all_problems_are_told_at_once():
    """One refusal lists every bad, unknown and missing variable, each with a hint."""
    told = problems(
        {
            "B24PAY_LEASE": "75",
            "B24PAY_HTTP_TOTAL_S": "soon",
            "B24PAY_RETENTION_DAYS": "0",
            "B24PAY_LOG_LEVEL": "loud",
            "BROKER_URL": "here",
        },
        WORKER,
    )
    assert "Did you mean B24PAY_LEASE_S?" in told["B24PAY_LEASE"]
    assert "for example 60" in told["B24PAY_HTTP_TOTAL_S"]
    assert "1 to 3650" in told["B24PAY_RETENTION_DAYS"]
    assert "debug, info, warning" in told["B24PAY_LOG_LEVEL"]
    assert "not a URL" in told["BROKER_URL"]
    assert "required" in told["REDIS_URL"]
    assert "Fernet" in told["B24PAY_SECRET_KEYS"]
    assert len(told) == 7


def test_a_configuration_error_ends_with_the_contracts_exit_code():
    """Callers leave with 78 and print one line per problem."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({}, require=WORKER)
    assert caught.value.exit_code == 78
    assert str(caught.value).splitlines()[0] == "2 problems in the configuration:"
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "url",
    [
        "http://h/0",
        "memory://",
        "127.0.0.1:6379",
        "redis://",
        "redis://h:0",
        "redis://h:99999",
        "redis://h:port",
        "redis://h/first",
        "redis://h?timeout=5",
        "redis://h?ssl_cert_reqs=none",
        "redis://:a#b@h",
        "redis+socket://h/p",
        "redis+socket:///",
        "redis+socket:///" + "x" * 120,
        "redis+socket:///p?virtual_host=x",
        "sentinel://h:1",
        "sentinel://h:1/0?master=",
        "redis://[::1",
    ],
)
def test_a_redis_url_that_cannot_be_used_is_refused(url: str):
    """Every other scheme or form is refused before anything connects."""
    assert list(problems({"REDIS_URL": url})) == ["REDIS_URL"]


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "1e9", "60s", "1_0x", "0x10"])
def test_seconds_must_be_sensible(value: str):
    """Numbers that would mean "never" or "at once" are refused, not rounded."""
    assert list(problems({**REDIS, "B24PAY_HTTP_TOTAL_S": value})) == ["B24PAY_HTTP_TOTAL_S"]


NO_KEYS = {"short": "short", "cut": KEY[:-1], "one of two": f"{KEY},{KEY[:-2]}", "a sign": KEY.replace("d", "*")}


@pytest.mark.parametrize("keys", NO_KEYS.values(), ids=NO_KEYS)
def test_a_key_that_is_no_fernet_key_is_refused_unseen(keys: str):
    """The position is told, the key is not."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({**REDIS, "B24PAY_SECRET_KEYS": keys})
    assert "is not a Fernet key" in str(caught.value)
    assert keys not in str(caught.value)


def test_the_lease_must_outlive_the_call():
    """A lease that ends during a call would let a second driver in."""
    assert "B24PAY_HTTP_TOTAL_S (60)" in problems({**REDIS, "B24PAY_LEASE_S": "60"})["B24PAY_LEASE_S"]
    assert "must be below 300" in problems({**REDIS, "B24PAY_LEASE_S": "300"})["B24PAY_LEASE_S"]


def test_a_shorter_portal_cut_is_for_emulators_only():
    """Against a real portal an "unpaid" read before its 60 s are over could lead to a second payment."""
    assert "pay twice" in problems({**REDIS, "B24PAY_PORTAL_CUT_S": "5"})["B24PAY_PORTAL_CUT_S"]
    load_settings({**REDIS, "B24PAY_PORTAL_CUT_S": "5", "B24PAY_ALLOW_INSECURE_PORTALS": "1"})


def test_a_bad_value_does_not_raise_further_complaints():
    """A pair is compared only when both of its values are readable."""
    assert list(problems({**REDIS, "B24PAY_HTTP_TOTAL_S": "x", "B24PAY_LEASE_S": "10"})) == ["B24PAY_HTTP_TOTAL_S"]


def test_an_empty_variable_counts_as_not_set():
    """Compose files and .env templates pass empty values for what is not chosen."""
    settings = load_settings({**REDIS, "B24PAY_SECRET_KEYS": "", "BROKER_URL": " ", "B24PAY_LEASE_S": ""})
    assert settings.lease_s == 75
    assert "required" in problems({"REDIS_URL": ""})["REDIS_URL"]


SECRETS = ("wordofsecret", KEY, "userofsecret")


@pytest.mark.parametrize(
    "environ",
    [
        {"REDIS_URL": "redis://userofsecret:wordofsecret@h/0", "B24PAY_SECRET_KEYS": KEY},
        {"REDIS_URL": "http://userofsecret:wordofsecret@h/0"},
        {"REDIS_URL": "redis://userofsecret:wordofsecret@h:port/0"},
        {"REDIS_URL": "redis://userofsecret:wordofsecret@h/wordofsecret?wordofsecret=1"},
        {"REDIS_URL": "redis://:word#wordofsecret@h/0"},
        {"REDIS_URL": "sentinel://:wordofsecret@h/0"},
        {**REDIS, "BROKER_URL": "wordofsecret"},
        {**REDIS, "BROKER_URL": "amqp://userofsecret:wordofsecret@h//", "B24PAY_SECRET_KEYS": f"{KEY},wordofsecret"},
        {**REDIS, "B24PAY_SECRET_KEYS": f"{KEY}x"},
        {**REDIS, "B24PAY_LOG_LEVEL": "wordofsecret", "B24PAY_RETENTION_DAYS": "wordofsecret"},
    ],
)
def test_secrets_are_in_no_text(environ: dict[str, str]):
    """Neither repr, str, the printed settings nor an error with its whole chain shows a secret."""
    shown = []
    try:
        settings = load_settings(environ)
        shown += [repr(settings), str(settings), *(repr(row) for row in effective(settings))]
    except ConfigurationError as error:
        shown += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    assert shown
    assert not [secret for secret in SECRETS for text in shown if secret in text]


def test_settings_made_past_the_door_keep_secrets_too():
    """Even pydantic's own error, which the door never lets out, repeats no value."""
    with pytest.raises(ValidationError) as caught:
        Settings(REDIS_URL="redis://userofsecret:wordofsecret@h:port")
    assert "wordofsecret" not in str(caught.value)


def test_effective_settings_say_what_is_set_and_what_it_means():
    """Every variable is one row, in the documentation's order, with the origin of its value."""
    rows = {row.name: row for row in effective(load_settings({**REDIS, "B24PAY_SECRET_KEYS": f"{KEY},{OTHER_KEY}"}))}
    assert set(variables()) <= set(rows)
    assert (rows["REDIS_URL"].value, rows["REDIS_URL"].origin) == ("redis://127.0.0.1:6379/0", Origin.SET)
    assert (rows["B24PAY_LEASE_S"].value, rows["B24PAY_LEASE_S"].origin) == ("75", Origin.DEFAULT)
    assert rows["B24PAY_SECRET_KEYS"].value == "2 keys"
    assert rows["quiet time"].value == "120"
    assert all(row.meaning for row in rows.values())


def test_the_process_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`.env` fills in what the process environment does not set; its values are taken literally, unknown ones told."""
    file = tmp_path / ".env"
    file.write_text("REDIS_URL=redis://from-file/0\nB24PAY_LEASE_S=80\nexport B24PAY_LOG_LEVEL='error'\n# note\n")
    monkeypatch.setenv("B24PAY_LEASE_S", "90")
    settings = load_settings(env_file=file)
    assert (settings.redis_url, settings.lease_s, settings.log_level) == ("redis://from-file/0", 90, LogLevel.ERROR)
    file.write_text("REDIS_URL=redis://from-file/0\nB24PAY_LEESE_S=80\n")
    with pytest.raises(ConfigurationError, match="Did you mean B24PAY_LEASE_S"):
        load_settings(env_file=file)


def test_development_commands_need_nothing():
    """The demo starts its own server, so an empty environment is right; asking for the URL is then an error."""
    settings = load_settings({}, require=DEVELOPMENT)
    with pytest.raises(ConfigurationError, match="REDIS_URL: is required"):
        _ = settings.broker_url


def test_settings_are_frozen():
    """Nobody changes a setting after the start."""
    with pytest.raises(ValueError, match="frozen"):
        load_settings(REDIS).lease_s = 1


def test_the_template_names_every_variable_and_is_accepted():
    """`.env.example` is complete, and copied as it is it makes a valid configuration."""
    template = Path(__file__).parents[3] / ".env.example"
    lines = template.read_text().splitlines()
    names = {
        line.lstrip("# ").partition("=")[0]
        for line in lines
        if "=" in line and " " not in line.partition("=")[0].lstrip("# ")
    }
    assert set(variables()) <= names
    load_settings(env_file=template)


def test_importing_the_package_loads_nothing_heavy():
    """`config` and its addresses, errors and connections cost neither pydantic nor redis nor structlog."""
    code = (
        "import sys, config, config.addresses, config.errors, config.connections;"
        "print([name for name in ('pydantic', 'redis', 'structlog', 'celery') if name in sys.modules])"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert told.stdout.strip() == "[]"
