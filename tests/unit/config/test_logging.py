"""Log lines: one redacted JSON object each, whoever wrote them, and never an exception into the caller."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from config.logging import LineHandler, bound, configure_logging
from config.settings import DEVELOPMENT, load_settings

CODE = "k0d3OfTheWebhook"
URL = f"https://acme.bitrix24.com/rest/1/{CODE}/batch"


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


def test_a_line_that_cannot_be_formatted_is_counted(stream: io.StringIO):
    """A wrong format string costs its line; the handler knows how many were lost."""
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, LineHandler)
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("not a number",)}))
    logging.getLogger("a").warning("fine")
    assert [line["event"] for line in read(stream)] == ["fine"]
    assert handler.dropped == 1
