"""Whether a message can be handed to Celery at all: its headers are of the types that Celery believes they are.

Celery uses them as they come. A `task` that is a list, a broken time limit or a body of the wrong shape ends a worker
or one of its threads; here each is a sentence for the operator instead. What a message asks for is not judged here.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

from kombu.exceptions import DecodeError

from tasks.payment import is_handle

JSON: Final = "application/json"
_LONGEST_TIME: Final = 64


def defect_of(message: Any, tasks: Collection[str]) -> str | None:
    """What is wrong with a kombu message, in a few words that repeat nothing of it; None when it may go on."""
    headers = message.headers
    if not isinstance(headers, Mapping) or not isinstance(message.properties, Mapping):
        return "its headers or properties are not an object"
    if "task" not in headers:
        return "it has no header 'task'; Celery's message protocol 2 is needed (task_protocol = 2, the default)"
    for name, is_right, kind in _HEADERS:
        if not is_right(headers.get(name)):
            return f"its header {name!r} is not {kind}"
    for name in ("reply_to", "correlation_id"):
        if not _is_text(message.properties.get(name)):
            return f"its property {name!r} is not a text"
    if headers["task"] not in tasks:
        return f"its task is none of {', '.join(sorted(tasks))}"
    return _defect_of_body(message)


def moment(value: object) -> datetime | None:
    """An ISO 8601 header as an instant, UTC where it names no zone; None for no value. Raises ValueError."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_TIME:
        raise ValueError("not a time")
    read = datetime.fromisoformat(value)
    try:
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time past the end of time") from None


def _defect_of_body(message: Any) -> str | None:
    if message.content_type != JSON:
        return f"its content type is not {JSON}; nothing else is read"
    if not _is_text(message.content_encoding):
        return "its content encoding is not a text"
    try:
        payload = message.decode()
    except DecodeError:
        return "its body is not JSON"
    match payload:
        case [list(), dict(), dict() | None]:
            return None
        case _:
            return "its body is not [args, kwargs, embed], as Celery's protocol 2 has it"


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, str)


def _is_time(value: object) -> bool:
    try:
        moment(value)
    except ValueError:
        return False
    return True


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31)


def _is_flag(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _are_limits(value: object) -> bool:
    return not value or (isinstance(value, list) and len(value) == 2 and all(map(_is_limit, value)))  # noqa: PLR2004 - hard, soft


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and isfinite(value) and value >= 0)


def _are_texts(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _are_stamps(value: object) -> bool:
    return value is None or isinstance(value, dict)


_TEXTS: Final = ("lang", "root_id", "parent_id", "group", "shadow", "argsrepr", "kwargsrepr", "origin")
_HEADERS: Final[tuple[tuple[str, Callable[[object], bool], str], ...]] = (
    ("task", _is_name, "a text"),
    ("id", is_handle, "1 to 255 printable characters"),
    ("eta", _is_time, "a time"),
    ("expires", _is_time, "a time"),
    ("retries", _is_count, "a number"),
    ("timelimit", _are_limits, "two numbers"),
    ("ignore_result", _is_flag, "true or false"),
    ("stamps", _are_stamps, "an object"),
    ("stamped_headers", _are_texts, "a list of texts"),
    *((name, _is_text, "a text") for name in _TEXTS),
)
