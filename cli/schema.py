"""How the documents of `--json` are described: their fields, and the JSON Schema made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cli.exits import Exit

# How the type of a field is written here -> JSON Schema. A time is ISO 8601 with its offset.
_TYPES: Final[Mapping[str, Mapping[str, object]]] = {
    "time": {"type": "string", "format": "date-time"},
    "text": {"type": "string"},
    "number": {"type": "number"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "object": {"type": "object"},
    "list": {"type": "array"},
    "any": {},
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, its type as it is written in `_TYPES` ("text|null"), what it means, whether it may miss."""

    name: str
    type: str
    meaning: str
    optional: bool = False

    @property
    def schema(self) -> dict[str, object]:
        """The field as JSON Schema."""
        known, _, null = self.type.partition("|")
        made = dict(_TYPES[known])
        if null and "type" in made:
            made["type"] = [made["type"], "null"]
        return {**made, "description": self.meaning}


@dataclass(frozen=True, slots=True)
class Documents:
    """What one verb writes: so many documents, with these fields, and the exit codes beside 0 and 2."""

    lines: str  # "one", or what each line is
    fields: Sequence[Field]
    codes: Sequence[Exit] = ()

    def schema(self, name: str) -> dict[str, object]:
        """One document as JSON Schema."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": f"b24pay {name} --json",
            "description": "The one document on stdout." if self.lines == "one" else f"One line: {self.lines}.",
            "type": "object",
            "properties": {field.name: field.schema for field in self.fields},
            "required": [field.name for field in self.fields if not field.optional],
        }


def fields(text: str) -> tuple[Field, ...]:
    """Fields from lines "name type meaning"; a name with ? may miss."""
    rows = [line.split(maxsplit=2) for line in text.strip().splitlines()]
    return tuple(Field(name.removesuffix("?"), kind, meaning, name.endswith("?")) for name, kind, meaning in rows)
