"""Numbers on a command line: what is refused is told in words that are not a programmer's."""

import math
from typing import Any, Final

import click


class WholeNumber(click.IntRange):
    """A whole number within limits."""

    name = "whole number"


class Seconds(click.FloatRange):
    """A time span that ends: neither `nan`, which no comparison ever meets, nor `inf`."""

    name = "number of seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; raises BadParameter where it is none."""
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return seconds


class Span(click.ParamType[float]):
    """A time span with its unit, in seconds: `90d`, `12h`, `30m`, `45s`."""

    name = "time span"
    _UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    _LONGEST_S: Final = 100 * 366 * 86_400  # a century; more is a slip

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; raises BadParameter where it is none."""
        if isinstance(value, float):
            return value
        number, unit = str(value)[:-1], str(value)[-1:]
        if not (number.isascii() and number.isdigit() and unit in self._UNITS):
            self.fail(f"{value!r} is not a {self.name}: use 90d, 12h, 30m or 45s.", param, ctx)
        seconds = float(number) * self._UNITS[unit]
        if not 0 < seconds <= self._LONGEST_S:
            self.fail(f"{value!r} is no time that makes sense: use 90d, 12h, 30m or 45s.", param, ctx)
        return seconds
