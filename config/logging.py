"""Every line a process writes is one JSON object: ours, Celery's, kombu's, aiohttp's, warnings and crashes alike.

All loggers end in one handler. A line carries `timestamp` (UTC), `level`, `logger`, `event`, what `bound` has bound
(payment, portal, lane, task_id) and the call's own fields, and every value has passed the redaction.

Logging never breaks the work it describes: a closed or full output loses lines, counted, and nothing is raised.
"""

import contextlib
import logging
import os
import sys
import threading
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.redaction import redact, redact_value
from config.settings import LogFormat, Settings

# Libraries that describe every step at info or debug: their lines matter when they warn.
_QUIET: Final = ("aiohttp.access", "asyncio", "urllib3", "kombu.pidbox")


def configure_logging(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send every line of this process through one redacting handler; calling it again replaces the handler.

    Lines go to stdout, as the contract says for processes; terminal commands, whose stdout carries data, pass
    `sys.stderr`.
    """
    output = sys.stdout if stream is None else stream
    handler = LineHandler(output)
    handler.setFormatter(_formatter(_chosen_format(settings.log_format, output)))
    level = settings.log_level.upper()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    _configure_structlog()
    logging.captureWarnings(capture=True)
    _log_crashes()


def bound(
    *, payment: str | None = None, portal: str | None = None, lane: str | None = None, task_id: str | None = None
) -> AbstractContextManager[object]:
    """Bind what the lines inside are about; asyncio tasks started inside inherit it."""
    given = {"payment": payment, "portal": portal, "lane": lane, "task_id": task_id}
    return structlog.contextvars.bound_contextvars(
        **{name: value for name, value in given.items() if value is not None}
    )


class LineHandler(logging.Handler):
    """Writes whole lines without a buffer; an output that is gone or full costs the line, never an exception."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        self._descriptor = _descriptor(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; whatever goes wrong is counted and stays here."""
        try:
            self._write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - a payment must never fail, or its outcome be lost, because of a log line
            self.dropped += 1

    def _write(self, line: str) -> None:
        if self._stream is None:
            # Started with stdout closed: whatever file has that number now is not ours to write into.
            self.dropped += 1
            return
        if self._descriptor is None:
            self._stream.write(line)
            self._stream.flush()
            return
        # Past Python's buffer: a line it could not flush would be raised at the process's end, with exit code 120.
        rest = line.encode("utf-8", "backslashreplace")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _descriptor(stream: TextIO | None) -> int | None:
    # Streams in memory (tests) have none; a closed stream says ValueError.
    with contextlib.suppress(OSError, ValueError):
        return stream.fileno() if stream else None
    return None


def _chosen_format(wanted: LogFormat | None, stream: TextIO | None) -> LogFormat:
    if wanted is not None:
        return wanted
    with contextlib.suppress(OSError, ValueError):
        return LogFormat.CONSOLE if stream and stream.isatty() else LogFormat.JSON
    return LogFormat.JSON


def _formatter(form: LogFormat) -> logging.Formatter:
    renderer: Processor
    if form is LogFormat.JSON:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=True, event_key="event", exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        # The traceback becomes text before the redaction, because errors of HTTP libraries carry URLs.
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            redacted,
            _ordered,
            renderer,
        ],
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _celery_task,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def redacted(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The event with every value, and every text inside it, stripped of secrets."""
    safe = redact_value(event)
    return safe if isinstance(safe, dict) else {"event": "log.unreadable"}


def _ordered(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What a reader looks for first stands first."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "event", "logger") if name in event}
    return {**first, **event}


def _celery_task(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name the Celery task a line was written in, unless the line's context already does."""
    celery = sys.modules.get("celery")
    if celery is None or "task_id" in event:
        return event
    task = celery.current_task
    if task and task.request.id:
        event["task_id"] = task.request.id
    return event


def _configure_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # A cached logger would keep the configuration of the first test that used it.
        cache_logger_on_first_use=False,
    )


def _log_crashes() -> None:
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("process").critical("process.crashed", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    logging.getLogger("process").error("thread.crashed", exc_info=(args.exc_type, args.exc_value, args.exc_traceback))


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    text = redact(args.err_msg or "an exception was ignored")
    error = args.exc_value
    trace = (type(error), error, args.exc_traceback) if error is not None else None
    logging.getLogger("process").error("exception.ignored: %s", text, exc_info=trace)
