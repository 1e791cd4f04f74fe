"""The log lines of a command: made when there is one, and then as every other process makes them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
BEGIN = """
import logging
from cli.lines import speak_when_needed
from config.plain import plain_settings
speak_when_needed(plain_settings().log_level)
"""


def lines(code: str, level: str = "") -> list[dict[str, Any]]:
    """What a process writes to stderr, which must be JSON lines; stdout must stay empty."""
    ours = {"REDIS_URL": "redis://127.0.0.1:1/0", "B24PAY_LOG_LEVEL": level, "B24PAY_LOG_FORMAT": "json"}
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **ours}
    command = [sys.executable, "-c", BEGIN + code]
    told = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=False)
    assert told.stdout == ""
    return [json.loads(line) for line in told.stderr.splitlines()]


SECRET = "https://acme.bitrix24.com/rest/1/c4n4ryc4n4ry/"


@pytest.mark.parametrize(
    ("code", "level"),
    [
        (f"logging.getLogger('library').error('lost %s', '{SECRET}')", "error"),
        (f"raise ValueError('{SECRET}')", "critical"),
        (f"import threading; threading.Thread(target=lambda: int('{SECRET}')).start()", "error"),
        (f"class A:\n    def __del__(self): int('{SECRET}')\nA()", "error"),
    ],
)
def test_what_a_person_should_act_on_is_one_redacted_line(code: str, level: str):
    """From a library, from a crash, in a thread, in a destructor."""
    [line] = lines(code)
    assert line["level"] == level
    assert "c4n4ry" not in json.dumps(line)
    assert "***" in json.dumps(line)


def test_every_line_is_written_once_and_in_order():
    """The first one, which brings the real handler, is neither lost nor written twice."""
    told = lines("for n in range(3): logging.getLogger('library').error('line %s', n)")
    assert [line["event"] for line in told] == ["line 0", "line 1", "line 2"]


def test_nothing_else_is_written_unless_somebody_asks_for_it():
    """Warnings of libraries are not a person's business; a chosen level is."""
    code = "import warnings; warnings.warn('old'); logging.getLogger('library').warning('hm')"
    assert lines(code) == []
    assert [line["level"] for line in lines(code, "info")] == ["warning", "warning"]
