"""The period that is compared: half open, by the ledger's clock."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ledger.walks import Sought

DAY: Final = timedelta(days=1)


class EmptyPeriod(ValueError):  # noqa: N818 - a fact about what was asked for
    """Nothing can have ended in it: it ends before it begins, or begins in the future."""


@dataclass(frozen=True, slots=True)
class Period:
    """What ended at `since` or later, and before `until`. Periods that adjoin have no payment in common and none
    between them. Both are aware datetimes of the server's clock, which every end is written by, in milliseconds."""

    since: datetime
    until: datetime

    @property
    def sought(self) -> Sought:
        """The same for a walk through the ledger."""
        return Sought(since=self.since, until=self.until)


def period_of(now: datetime, since: datetime | None, until: datetime | None) -> Period:
    """The period as it was asked for, by default the day before `until`, which is never in the future: what ends
    later would be in no report. Raises EmptyPeriod."""
    ends = _whole_ms(min(until, now) if until else now)
    begins = _whole_ms(since) if since else ends - DAY
    if begins >= ends:
        raise EmptyPeriod(f"it begins at {begins:%Y-%m-%dT%H:%M:%SZ} and ends at {ends:%Y-%m-%dT%H:%M:%SZ}")
    return Period(begins, ends)


def _whole_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
