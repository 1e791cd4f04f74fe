"""Every line a process writes is one JSON object: ours, Celery's, kombu's, aiohttp's, warnings and crashes alike.

All loggers end in one handler. A line carries `timestamp` (UTC), `level`, `logger`, `event`, what `bound` has bound
(payment, portal, lane, task_id) and the call's own fields, and every value has passed the redaction.

Logging never breaks the work it describes: a closed or full output loses lines, counted, and nothing is raised.
"""

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.advice import advice
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
    render = _renderer(_chosen_format(settings.log_format, output))
    handler.setFormatter(_formatter(render))
    level = settings.log_level.upper()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    _configure_structlog(handler, render, root.level)
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
        self.put(lambda: self.format(record))

    def put(self, text: Callable[[], str]) -> None:
        """Write one line whose text is made here, so that a line that cannot be made is counted as well."""
        try:
            line = text() + "\n"
            with self.lock or contextlib.nullcontext():  # a line must not be cut by another thread's
                self._write(line)
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


def _renderer(form: LogFormat) -> Processor:
    if form is LogFormat.CONSOLE:
        return structlog.dev.ConsoleRenderer(
            colors=True, event_key="event", exception_formatter=structlog.dev.plain_traceback
        )
    encode = json.JSONEncoder(ensure_ascii=False, default=repr).encode
    return lambda _logger, _method, event: encode(event)


def _formatter(render: Processor) -> logging.Formatter:
    """For the lines of libraries, which come by `logging`."""
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_CONTEXT, processors=[remove_meta, *_SAFE, render], pass_foreign_args=False
    )


def redacted(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The event with every value, and every text inside it, stripped of secrets."""
    safe = redact_value(event)
    return safe if isinstance(safe, dict) else {"event": "log.unreadable"}


def _advised(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**event, **_advice_of(event)} if event.get("level") in _ADVISED else event


def _advice_of(event: EventDict) -> dict[str, str]:
    """A line about a refusal of Redis that a person has to mend says how; most lines name no error at all."""
    for name in ("error", "exception", "event") if "next_step" not in event else ():
        if isinstance(text := event.get(name), str) and (known := advice(text)) is not None:
            return {"cause": known.cause, "next_step": known.next_step}
    return {}


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


_CONTEXT: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    _celery_task,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
_ADVISED: Final = frozenset({"warning", "error", "critical"})
# The traceback becomes text before the redaction, because errors of HTTP libraries carry URLs.
_SAFE: Final[tuple[Processor, ...]] = (
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    _advised,
    redacted,
    _ordered,
)


_LEVELS: Final = {"warn": "warning", "exception": "error"}
_TROUBLE: Final = frozenset({"exc_info", "stack_info"})


class _Lines:
    """Where our own loggers end: past `logging`, whose record would cost more than the line (decision 0003)."""

    def __init__(self, handler: LineHandler, render: Processor, name: str | None) -> None:
        self.name = name
        self._handler = handler
        self._render = render

    def line(self, method: str, event: EventDict) -> None:
        """Write one event."""
        self._handler.put(lambda: self._text(method, event))

    def _text(self, method: str, event: EventDict) -> str:
        """What the steps for the lines of libraries do (`_CONTEXT` and `_SAFE`), at once: a third of their time."""
        if not _TROUBLE.isdisjoint(event):
            event = structlog.processors.StackInfoRenderer()(self, method, event)
            event = structlog.processors.format_exc_info(self, method, event)
        told = {"event": None, "logger": self.name, **structlog.contextvars.get_contextvars(), **event}
        level = _LEVELS.get(method, method)
        if level in _ADVISED:
            told = {**told, **_advice_of(told)}
        made = {
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "level": level,
            **redacted(self, method, _celery_task(self, method, told)),
        }
        return str(self._render(self, method, made))

    def __getattr__(self, method: str) -> Callable[[EventDict], None]:
        return lambda event: self.line(method, event)


def _configure_structlog(handler: LineHandler, render: Processor, level: int) -> None:
    structlog.configure(
        # The steps run where their failure is counted; here the event is only wrapped for the call.
        processors=[lambda _logger, _method, event: ((event,), {})],
        logger_factory=lambda name=None: _Lines(handler, render, name),
        wrapper_class=structlog.make_filtering_bound_logger(level),
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
