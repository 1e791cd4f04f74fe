"""Numbers on a command line: what is refused is told in words that are not a programmer's."""

import math
from typing import Any

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
