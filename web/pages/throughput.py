"""The last hour as a chart: what came in, what was paid, what failed, minute by minute."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from ledger.figures import Minute
from web.pages.charts import Series, columns, nice_top
from web.pages.wording import counted

MINUTES: Final = 60
# Where everything happened lately, less is drawn, and larger.
_WINDOWS: Final = (15, 30, MINUTES)
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Throughput:
    """What the page shows of it."""

    chart: Markup
    since: datetime
    minutes: int
    top: float
    accepted: int
    paid: int
    failed: int
    in_doubt: int

    @property
    def any(self) -> bool:
        """Whether anything happened."""
        return bool(self.accepted or self.paid or self.failed or self.in_doubt)


def throughput(minutes: Sequence[Minute], now: datetime) -> Throughput:
    """The hour that ends now, or the part of it in which anything happened; other minutes are filled in."""
    latest = max([now.replace(second=0, microsecond=0), *(minute.at for minute in minutes)])
    oldest = min((minute.at for minute in minutes), default=latest - MINUTES * _MINUTE)
    wide = next((each for each in _WINDOWS if oldest > latest - each * _MINUTE), MINUTES)
    since = latest - (wide - 1) * _MINUTE
    known = {minute.at: minute for minute in minutes}
    rows = [known.get(since + n * _MINUTE, Minute(since + n * _MINUTE)) for n in range(wide)]
    accepted, paid, failed = (sum(getattr(row, name) for row in rows) for name in ("accepted", "paid", "failed"))
    told = (
        f"In the last {counted(wide, 'minute')} {counted(accepted, 'payment')} came in, "
        f"{paid:,} were paid and {failed:,} failed; the most in a minute: {max(row.paid for row in rows):,} paid."
    )
    ended = [
        Series("paid", "paid", [row.paid for row in rows]),
        Series("failed", "failed", [row.failed for row in rows]),
    ]
    came = [row.accepted for row in rows]
    top = nice_top(max(*came, *(row.paid + row.failed for row in rows)))
    return Throughput(
        chart=columns(ended, told=told, line=came, top=top),
        since=since,
        minutes=wide,
        top=top,
        accepted=accepted,
        paid=paid,
        failed=failed,
        in_doubt=sum(row.in_doubt for row in rows),
    )
