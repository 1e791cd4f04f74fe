"""Log lines: one redacted JSON object each, whoever wrote them, and never an exception into the caller."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from config.logging import LineHandler, bound, configure_logging
from config.settings import DEVELOPMENT, load_settings

ROOT = Path(__file__).parents[3]
CODE = "k0d3OfTheWebhook"
URL = f"https://acme.bitrix24.com/rest/1/{CODE}/batch"
PRELUDE = """
import asyncio, logging, sys, threading, warnings
from config.logging import bound, configure_logging
from config.settings import load_settings
configure_logging(load_settings({"B24PAY_LOG_LEVEL": "info"}, require=()))
"""


def run(code: str, *, stdout: Any = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    """Run code in a fresh interpreter: handlers and hooks are a whole process's."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "URL": URL}
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
        check=False,
    )


def lines(code: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(code).stdout.splitlines()]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream that gets every line of this process, with the logging put back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    output = io.StringIO()
    configure_logging(load_settings({}, require=DEVELOPMENT), stream=output)
    yield output
    root.handlers[:], level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def fail() -> None:
    raise RuntimeError(f"auth={CODE}") from OSError(f"cannot connect to {URL}")


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_flat_object(stream: io.StringIO):
    """Timestamp in UTC, level, logger and event, then the fields of the call."""
    structlog.get_logger("worker.driver").info("payment.settled", payment="p1", took_ms=3)
    (line,) = read(stream)
    assert list(line)[:4] == ["timestamp", "level", "event", "logger"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["event"], line["logger"]) == ("info", "payment.settled", "worker.driver")
    assert (line["payment"], line["took_ms"]) == ("p1", 3)


def test_what_is_bound_is_in_every_line_inside(stream: io.StringIO):
    """Lines of libraries are bound too, and nothing is bound afterwards."""
    with bound(payment="p1", portal="acme", lane="acme", task_id="t1"):
        structlog.get_logger("ours").info("a")
        logging.getLogger("kombu").warning("b %s", "c")
    structlog.get_logger("ours").info("d")
    first, second, third = read(stream)
    for line in (first, second):
        assert (line["payment"], line["portal"], line["lane"], line["task_id"]) == ("p1", "acme", "acme", "t1")
    assert second["event"] == "b c"
    assert "payment" not in third


def test_no_secret_reaches_a_line(stream: io.StringIO):
    """Events, arguments, fields, bound values, errors and their causes lose their secrets."""

    try:
        fail()
    except RuntimeError:
        structlog.get_logger("ours").exception("failed", url=URL, body={"auth": CODE}, error=OSError(URL))
        logging.getLogger("aiohttp.client").exception("failed at %s", URL)
    with bound(lane=URL):
        structlog.get_logger("ours").info(f"at {URL}")
    assert CODE not in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()
    assert "cannot connect to" in stream.getvalue()
    assert len(read(stream)) == 3


def test_every_kind_of_line_is_json():
    """Warnings, threads, event loops, ignored and uncaught exceptions: nothing is written another way."""
    written = lines(
        """
import os
url = os.environ["URL"]
logging.getLogger("celery.worker").info("ready at %s", url)
logging.getLogger("aiohttp.server").error("broken")
warnings.warn(f"old {url}")
thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
async def main():
    asyncio.get_running_loop().call_exception_handler({"message": f"lost {url}"})
asyncio.run(main())
class Sour:
    def __del__(self): raise ValueError(url)
Sour()
raise RuntimeError(url)
"""
    )
    assert CODE not in json.dumps(written)
    assert [line["logger"] for line in written] == [
        "celery.worker", "aiohttp.server", "py.warnings", "process", "asyncio", "process", "process",
    ]  # fmt: skip
    assert [line["event"] for line in written][3] == "thread.crashed"
    assert "ZeroDivisionError" in written[3]["exception"]
    assert (written[-1]["event"], written[-1]["level"]) == ("process.crashed", "critical")


def test_lines_go_to_stdout_alone_and_the_exit_code_stays():
    """A crash is one line on stdout, not a second text on stderr; the process still fails."""
    done = run("raise SystemError('x')")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["event"] == "process.crashed"


def test_a_closed_output_raises_nothing():
    """The reader of the pipe has gone: work goes on and the process ends with its own exit code."""
    reader, writer = os.pipe()
    os.close(reader)
    done = run("logging.getLogger('a').warning('x' * 100000)\nsys.exit(7)", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (7, "")


def test_a_full_output_raises_nothing():
    """A full disk loses lines, not payments."""
    with Path("/dev/full").open("w") as full:
        done = run("logging.getLogger('a').warning('x')\nsys.exit(7)", stdout=full)
    assert (done.returncode, done.stderr) == (7, "")


def test_a_process_without_stdout_still_runs():
    """Started with its output closed (`>&-`), a process logs nothing and works."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = PRELUDE + "logging.getLogger('a').warning('x')\nsys.exit(7)"
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code],
        stderr=subprocess.PIPE,
        env=environ,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, b"")


def test_a_line_that_cannot_be_formatted_is_counted(stream: io.StringIO):
    """A wrong format string costs its line; the handler knows how many were lost."""
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, LineHandler)
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("not a number",)}))
    logging.getLogger("a").warning("fine")
    assert [line["event"] for line in read(stream)] == ["fine"]
    assert handler.dropped == 1


def test_values_json_does_not_know_are_written():
    """Sets, bytes, lone surrogates and objects end as text, in one line."""
    (line,) = lines("logging.getLogger('a').warning('%s %s', {1}, 'x\\udcff')")
    assert line["event"].startswith("{1} x")


def test_the_level_is_the_settings_level():
    """Lines below the level are not written, whichever logger they come from."""
    written = lines("logging.getLogger('celery').debug('no')\nlogging.getLogger('celery').info('yes')")
    assert [line["event"] for line in written] == ["yes"]


def test_people_get_a_readable_line_with_the_same_redaction():
    """The console format is no JSON, but no secret either."""
    code = f"""
configure_logging(load_settings({{"B24PAY_LOG_FORMAT": "console"}}, require=()))
logging.getLogger("a").warning("at {URL}")
"""
    told = run(code).stdout
    assert CODE not in told
    assert "at https://acme.bitrix24.com/rest/1/***" in told
    assert not told.startswith("{")


def test_celery_leaves_the_logging_alone():
    """A worker's own set-up keeps our handler, and lines inside a task carry its id."""
    written = lines(
        """
from celery import Celery
from config.celery import leave_logging_alone
leave_logging_alone(load_settings({}, require=()))
app = Celery("probe", broker="memory://")
handled = app.log.setup(loglevel="INFO", redirect_stdouts=True)
logging.getLogger("celery").info("ours")
@app.task(name="probe")
def probe():
    logging.getLogger("kombu").warning("inside")
probe.apply(task_id="t1")
print('{"event": "plain print"}')
"""
    )
    by_event = {line["event"]: line for line in written}
    assert by_event["ours"]["logger"] == "celery"
    assert by_event["inside"]["task_id"] == "t1"
    assert "plain print" in by_event
