"""What a diagnosis finds: how much it matters, what it is, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cli.output import cell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"  # works, with a risk that should be known
    PROBLEM = "problem"  # payments do not work, or may be lost


_STYLES: Final[Mapping[Level, str]] = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that was looked at; `remedy` is "" where there is nothing to do."""

    level: Level
    text: str
    remedy: str = ""


def shown_symptoms(symptoms: Sequence[Symptom]) -> "Table":
    """A line each, the remedy below the finding; long ones go on below themselves."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for each in symptoms:
        grid.add_row(cell(each.level, _STYLES[each.level]), cell(each.text))
        if each.remedy:
            grid.add_row("", cell(f"-> {each.remedy}", "dim"))
    return grid


def summary(symptoms: Sequence[Symptom]) -> "Text":
    """The whole in one line."""
    problems, warnings = (sum(each.level is level for each in symptoms) for level in (Level.PROBLEM, Level.WARNING))
    if not problems and not warnings:
        return cell("Everything is as it should be.", "green")
    told = [f"{number} {word}{'' if number == 1 else 's'}" for number, word in _counted(problems, warnings)]
    return cell(" and ".join(told) + ".", "red" if problems else "yellow")


def _counted(problems: int, warnings: int) -> list[tuple[int, str]]:
    return [pair for pair in ((problems, "problem"), (warnings, "warning")) if pair[0]]
