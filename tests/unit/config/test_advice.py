"""What a Redis refuses is said with what mends it, wherever it is met."""

import io
import json

import pytest
import structlog
from redis import exceptions

from config.advice import advice
from config.logging import configure_logging
from config.settings import load_settings
from tasks import LedgerUnavailable
from tasks.producer import _as_unavailable

COMMAND = "User b24pay-web has no permissions to run the 'zscan' command"
KEY = "No permissions to access a key"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (exceptions.NoPermissionError(COMMAND), "user b24pay-web run 'zscan'"),
        (exceptions.ResponseError(f"ACL failure in script: {COMMAND} script: 5f, on @user_script:9."), "'zscan'"),
        (exceptions.NoPermissionError(KEY), "use a key"),
        (exceptions.ConnectionError("certificate verify failed: certificate has expired (_ssl.c:1006)"), "expired"),
        (exceptions.ConnectionError("Error 2 connecting to h:6380. No such file or directory."), "A file"),
    ],
)
def test_known_refusals_have_a_next_step(error: Exception, cause: str):
    """By whatever class they come."""
    known = advice(error)
    assert known is not None
    assert cause in known.cause
    assert known.next_step


@pytest.mark.parametrize(
    "text", ["Error 111 connecting to h:6379. Connection refused.", "Error 2 connecting to /run/r.sock. No such file."]
)
def test_a_server_that_is_away_is_none_of_these(text: str):
    """It comes back by itself, or is found under its own name."""
    assert advice(exceptions.ConnectionError(text)) is None


def test_a_producer_hears_which_right_is_missing():
    """Not that the server did not answer: it did."""
    with pytest.raises(LedgerUnavailable, match=r"b24pay-web run 'zscan'.*users\.acl"), _as_unavailable():
        raise exceptions.NoPermissionError(COMMAND)


def test_a_line_of_the_log_has_the_next_step():
    """Processes wait for a right as for a server that is away; whoever reads why learns what to do."""
    out = io.StringIO()
    configure_logging(load_settings({"REDIS_URL": "redis://h", "B24PAY_LOG_FORMAT": "json"}), stream=out)
    structlog.get_logger("t").warning("ledger.unavailable", error="NoPermissionError")
    structlog.get_logger("t").warning("ledger.unavailable", error="ConnectionError")
    told, other = [json.loads(line) for line in out.getvalue().splitlines()]
    assert "users.acl" in told["next_step"]
    assert "next_step" not in other
