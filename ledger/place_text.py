"""A place of a walk, and what belongs to it, as a text that travels with a client and gives nobody anything."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, Final

from ledger.walks import MOST_NAMES, Place

LONGEST: Final = 2000  # characters
_LONGEST_STAGE: Final = 1
_LONGEST_NAME: Final = 255
_LARGEST_AT: Final = 2**64 - 1
_DECIMAL: Final = re.compile(r"[0-9]{0,20}", re.ASCII)


def written(head: Sequence[object], place: Place) -> str:
    """URL-safe characters, at most `LONGEST`; `head` says what the place belongs to."""
    names = list(place.names)
    while True:
        parts = [*head, place.stage, place.at, *names]
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        coded = urlsafe_b64encode(text.encode()).decode().rstrip("=")
        if len(coded) <= LONGEST or len(names) <= 1:
            return coded
        names.pop()  # somebody's ids are very long: the latest name has room


def read(text: str, heads: int) -> tuple[list[Any], Place]:
    """The head, of so many parts, and the place; raises ValueError where it is no such text. Somebody may have made it:
    the parts of the head are for the caller to check."""
    try:
        parts = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        stage, at, *names = parts[heads:]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("it is no cursor") from None
    if (
        not isinstance(parts, list)
        or not _stands(stage, at)
        or len(names) > MOST_NAMES
        or not all(map(_is_name, names))
    ):
        raise ValueError("it is no cursor")
    return parts[:heads], Place(stage, at, tuple(names))


def _stands(stage: object, at: object) -> bool:
    texts = isinstance(stage, str) and len(stage) <= _LONGEST_STAGE and isinstance(at, str) and _DECIMAL.fullmatch(at)
    return bool(texts) and int(at or 0) <= _LARGEST_AT  # type: ignore[call-overload]  # a text by now


def _is_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= _LONGEST_NAME and name.isprintable()
