"""Checked reading of JSON settings: every complaint names the place and what was expected."""

import difflib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar, cast

Choice = TypeVar("Choice", bound=StrEnum)


class SettingsError(ValueError):
    """A setting is wrong; the text says which and why."""


class Reader:
    """Takes known keys out of one JSON object, with defaults, and complains about the rest."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise SettingsError(f"{where}: expected an object, got {type(value).__name__}")
        self._values: dict[str, object] = {str(key): item for key, item in value.items()}
        self._where = where
        self._asked: set[str] = set()

    def place(self, key: str) -> str:
        """The dotted address of a key, for complaints."""
        return f"{self._where}.{key}" if self._where else key

    def has(self, key: str) -> bool:
        """Whether the key is given, null included."""
        self._asked.add(key)
        return key in self._values

    def raw(self, key: str, default: object = None) -> object:
        """Whatever stands under the key."""
        self._asked.add(key)
        return self._values.get(key, default)

    def complain(self, key: str, expected: str) -> SettingsError:
        """An error about one key."""
        return SettingsError(f"{self.place(key)}: expected {expected}, got {self._values.get(key)!r}")

    def number(self, key: str, default: float, *, low: float = 0.0, high: float = 1e15) -> float:
        """A number between two bounds."""
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.complain(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def optional_number(self, key: str, default: float | None) -> float | None:
        """A number from 0 up, or null."""
        return None if self.raw(key, default) is None else self.number(key, default or 0.0)

    def whole(self, key: str, default: int, *, low: int = 0, high: int = 2**53) -> int:
        """A whole number between two bounds."""
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.complain(key, f"a whole number from {low} to {high}")
        return value

    def optional_whole(self, key: str, *, low: int = 0) -> int | None:
        """A whole number, or null when absent."""
        return None if self.raw(key) is None else self.whole(key, 0, low=low)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            raise self.complain(key, "true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """A string."""
        value = self.raw(key, default)
        if not isinstance(value, str):
            raise self.complain(key, "a string")
        return value

    def optional_text(self, key: str) -> str | None:
        """A string, or null when absent."""
        return None if self.raw(key) is None else self.text(key, "")

    def choice(self, key: str, kind: type[Choice], default: Choice | None = None) -> Choice:
        """One member of an enumeration, by its value."""
        value = self.raw(key, default)
        try:
            return kind(cast("str", value))
        except ValueError:
            near = difflib.get_close_matches(str(value), [str(member) for member in kind], 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise self.complain(key, "one of " + ", ".join(kind) + hint) from None

    def texts(self, key: str, default: Iterable[str]) -> tuple[str, ...]:
        """A list of strings."""
        value = self.raw(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.complain(key, "a list of strings")
        return tuple(value)

    def objects(self, key: str) -> list[tuple[str, object]] | None:
        """A list's items with their addresses, or None when absent."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.complain(key, "a list")
        return [(f"{self.place(key)}[{index}]", item) for index, item in enumerate(value)]

    def members(self, key: str) -> list[tuple[str, str, object]] | None:
        """An object's members as (name, address, value), or None when absent."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.complain(key, "an object")
        return [(str(name), f"{self.place(key)}[{name!r}]", item) for name, item in value.items()]

    def finish(self) -> None:
        """Complain about keys nobody asked for; call it last."""
        for key in self._values:
            if key not in self._asked:
                near = difflib.get_close_matches(key, sorted(self._asked), 1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise SettingsError(f"{self.place(key)}: unknown setting{hint}")
