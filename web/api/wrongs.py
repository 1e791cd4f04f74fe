"""What is wrong with a request: where it stands, by which rule, why, and what to do. All of it is told at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from config.redaction import redact
from web.problems import Problem

# More than anybody reads; a body of 1,000 wrong payments is answered with the first of them.
MOST_WRONGS: Final = 100
_LONGEST_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong. `place` is a JSON pointer into the body, or the name of a parameter or header."""

    place: str
    rule: str  # stable, for programs
    text: str
    next_step: str
    within: str = "pointer"  # or "parameter", "header"

    def document(self) -> dict[str, str]:
        """As a member of a problem."""
        return {self.within: self.place, "rule": self.rule, "detail": self.text, "next_step": self.next_step}


# pydantic's own kinds, as far as the models can raise them; every other rule is named by the models.
_OF_PYDANTIC: Final[Mapping[str, tuple[str, str, str]]] = {
    "missing": ("required", "is required", "Give it."),
    "extra_forbidden": ("unknown", "is not known here", "Leave it out, or look for its name in /openapi.json."),
    "model_type": ("object", "must be an object", "Send an object with the fields that /openapi.json describes."),
}
_OTHERWISE: Final = ("value", "is not what belongs here", "See /openapi.json for what does.")


def wrongs_of(error: ValidationError, place_of: Callable[[Sequence[str | int]], str]) -> list[Wrong]:
    """What a model found, without any of the values."""
    return [_wrong(each["type"], each["msg"], place_of(each["loc"])) for each in error.errors(include_url=False)]


def _wrong(kind: str, message: str, place: str) -> Wrong:
    if kind in _OF_PYDANTIC:
        return Wrong(place, *_OF_PYDANTIC[kind])
    text, parted, next_step = message.partition(NEXT)
    return Wrong(place, kind, text, next_step) if parted else Wrong(place, *_OTHERWISE)


# Between the cause and the next step in a message of ours; pydantic carries one text.
NEXT: Final = " \u2192 "


def pointer(path: Sequence[str | int]) -> str:
    """An RFC 6901 pointer, "" for the whole body. A name that somebody made up is shown short and printable."""
    return "".join(f"/{_escaped(part)}" for part in path)


def _escaped(part: str | int) -> str:
    return shown(str(part)).replace("~", "~0").replace("/", "~1")


def shown(name: str) -> str:
    """A name or short value of somebody's as an answer may repeat it."""
    text = redact(name if name.isprintable() else ascii(name)[1:-1])
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."


def refusal(wrongs: Sequence[Wrong]) -> Problem:
    """Everything that is wrong with a request, as one problem."""
    told = [wrong.document() for wrong in wrongs[:MOST_WRONGS]]
    first = wrongs[0]
    more = f" (and {len(wrongs) - 1} more)" if len(wrongs) > 1 else ""
    cause = f"{first.place or 'The body'} {first.text}{more}."
    return Problem(422, "invalid", cause, first.next_step, members={"errors": told})
