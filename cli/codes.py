"""Failed payments by code, as `b24pay stats` tells them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from cli.output import cell, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ledger.figures import Failures

# A thousand portals may have fifty codes each; the most frequent of each come first.
MOST_FAILURES: Final = 1000
_SHOWN: Final = 20


def failure_document(row: "Failures") -> dict[str, object]:
    """The failed payments of a portal with one code; `code` is null for all codes that are not told one by one."""
    from tasks.result import instant

    return {
        "portal": row.portal,
        "code": row.code,
        "count": row.count,
        "latest_at": instant(row.latest_at),
        "counting": row.counting,
    }


def failures_shown(rows: "Sequence[Failures]") -> "Iterator[RenderableType]":
    """A table of those with the most payments; nothing where none has failed."""
    from tasks.result import instant

    if not rows:
        return
    shown = table("portal", "code", "failed", "latest", title="failed, by code", numbers=("failed",), words=("code",))
    most = sorted(rows, key=lambda row: -row.count)
    for row in most[:_SHOWN]:
        code = "codes are still being counted" if row.counting else row.code or "other codes"
        shown.add_row(cell(row.portal), cell(code), cell(f"{row.count:,}"), cell(instant(row.latest_at)))
    if len(most) > _SHOWN:
        left = sum(row.count for row in most[_SHOWN:])
        shown.add_row(cell(f"{len(most) - _SHOWN} more", "dim"), cell(None), cell(f"{left:,}"), cell(None))
    yield shown
