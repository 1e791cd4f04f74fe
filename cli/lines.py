"""Log lines of a command: data has stdout for itself, and a person sees on stderr only what they should act on.

Most commands write none, so what makes the lines is imported with the first of them.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.rules import LogLevel
    from config.settings import Settings


def speak_on_stderr(settings: "Settings") -> None:
    """Send every line to stderr; without a chosen level only errors."""
    from config.logging import configure_logging
    from config.rules import LogLevel

    chosen = "log_level" in settings.model_fields_set
    level = settings.log_level if chosen else LogLevel.ERROR
    configure_logging(settings.model_copy(update={"log_level": level}), stream=sys.stderr)


def speak_when_needed(level: "LogLevel | None") -> None:
    """As `speak_on_stderr`, when there is a line to write."""
    root = logging.getLogger()
    root.handlers[:] = [_FirstLine()]
    root.setLevel((level or "error").upper())
    logging.captureWarnings(capture=True)
    sys.excepthook, threading.excepthook, sys.unraisablehook = _uncaught, _uncaught_in_thread, _unraisable


class _FirstLine(logging.Handler):
    """Makes the real handlers take its place, and hands them the line that it was given."""

    def emit(self, record: logging.LogRecord) -> None:
        _prepare()
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


def _prepare() -> None:
    from config.settings import DEVELOPMENT, load_settings

    speak_on_stderr(load_settings(require=DEVELOPMENT))


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _prepare()
    sys.excepthook(kind, error, trace)


def _uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    _prepare()
    threading.excepthook(told)


def _unraisable(told: "sys.UnraisableHookArgs") -> None:
    _prepare()
    sys.unraisablehook(told)
