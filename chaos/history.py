"""The history of a storm: one JSON line per thing that happened, written as it happens."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Self, TextIO


class History:
    """Numbers every moment in seconds since the storm began; readers find out later what it means."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._began = time.time()
        self.counts: Counter[str] = Counter()

    @classmethod
    @contextmanager
    def writing(cls, path: Path) -> Iterator[Self]:
        """A history in a file that replaces an older one."""
        with path.open("w", encoding="utf-8") as file:
            yield cls(file)

    def begin(self) -> None:
        """The storm begins now."""
        self._began = time.time()

    @property
    def now_s(self) -> float:
        """Seconds since the storm began."""
        return self.at(time.time())

    def at(self, epoch: float) -> float:
        """A moment of this machine's clock as seconds since the storm began."""
        return round(epoch - self._began, 3)

    def note(self, what: str, **fields: object) -> None:
        """Something has happened now."""
        self.counts[what] += 1
        self._write({"t": self.now_s, "what": what, **fields})

    def keep(self, what: str, things: Iterable[object]) -> None:
        """Write facts down that were gathered in the end; each is a dataclass and has its own moments."""
        for thing in things:
            self._write({"what": what, **_fields(thing)})
        self._file.flush()

    def _write(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps(line, default=_plain) + "\n")


def _fields(thing: Any) -> dict[str, object]:
    return asdict(thing) if is_dataclass(thing) and not isinstance(thing, type) else {"value": thing}


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset | set) else str(value)
