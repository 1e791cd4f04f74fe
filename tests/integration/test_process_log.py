"""What a whole process writes: handlers, hooks and streams belong to the process, so each test starts one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
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
