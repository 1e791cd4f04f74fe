"""Moments on a command line: written out, or as a span of time that counts back from another moment."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from cli.numbers import Span

Moment = datetime | timedelta


class MomentOrSpan(click.ParamType[Moment, Any]):
    """`2026-11-24T10:00Z` (UTC where no offset is written), or `30m`, `12h`, `3d`."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Moment:
        """The moment or the span; raises BadParameter where it is neither."""
        if isinstance(value, datetime | timedelta):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            return timedelta(seconds=Span().convert(value, param, ctx))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def back_from(moment: datetime, given: Moment | None) -> datetime | None:
    """The moment itself, or so long before another one; None where none was given."""
    return moment - given if isinstance(given, timedelta) else given
