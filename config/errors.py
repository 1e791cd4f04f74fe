"""
What can be wrong before a process starts.

* ConfigurationError   one error that lists every Problem at once; callers leave with exit code 78
  - Problem            one variable, what is wrong with it, and what to do

Texts never contain a value: a misspelt REDIS_URL still holds a password.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: the variable, what is wrong, and the next step."""

    variable: str
    text: str
    hint: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.text}. {self.hint}"


class ConfigurationError(Exception):
    """The process refuses to start; `problems` lists everything that must be mended, not only the first thing."""

    # EX_CONFIG of sysexits.h, as the contract promises to scripts.
    exit_code: ClassVar[int] = 78

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self._text())

    def _text(self) -> str:
        count = len(self.problems)
        title = "1 problem in the configuration:" if count == 1 else f"{count} problems in the configuration:"
        return "\n".join([title, *(f"  - {problem}" for problem in self.problems)])
