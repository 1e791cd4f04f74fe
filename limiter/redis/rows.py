"""The stored hashes as the parts that the rules know (fields: limiter/redis/store.py)."""

from collections.abc import Mapping

from limiter.account import Account, Part
from limiter.bucket import Bucket
from limiter.limiter import Limits, Pace
from limiter.memory import pace_of
from limiter.speed import Fit, Speed

Row = Mapping[bytes | str, bytes | str]


def pace_of_rows(portal_row: Row, account_row: Row, limits: Limits, now: float) -> Pace:
    """What the rows of a portal and of one of its accounts say, for people to read."""
    known, charged = _texts(portal_row), _texts(account_row)
    bucket = Bucket(
        level=_number(known, "level"),
        level_at=_instant(known, "level_at"),
        cut_at=_instant(known, "cut_at") if "cut_at" in known else None,
        bound=_number(known, "bound"),
        cut_burst=_number(known, "cut_burst"),
    )
    speed = Speed(
        command_s=_number(charged, "command_s") if "command_s" in charged else None,
        base_s=_number(charged, "base_s") if "base_s" in charged else None,
        fit=_fit(charged.get("fit", "")),
    )
    budget = Account(
        parts=[_part(text) for text in charged.get("parts", "").split()],
        told_s=_number(charged, "used_s") if "used_s" in charged else None,
        limit_s=_number(charged, "limit_s"),
        limit_at=_instant(charged, "limit_at") if "limit_at" in charged else float("-inf"),
    )
    return pace_of(bucket, speed, budget, limits, now, pause_s=max(0.0, _instant(known, "pause_ends_at") - now))


def _texts(row: Row) -> Mapping[str, str]:
    return {_text(name): _text(value) for name, value in row.items()}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _number(row: Mapping[str, str], name: str) -> float:
    return float(row.get(name, 0))


def _instant(row: Mapping[str, str], name: str) -> float:
    return _number(row, name) / 1_000_000


def _fit(text: str) -> Fit:
    """Of the sums only the largest size that was seen matters to a reader."""
    return Fit(most=int(text.rsplit(maxsplit=1)[-1])) if text else Fit()


def _part(text: str) -> Part:
    at, spent_s, reserved_s = text.split(":")
    return Part(float(at) / 1_000_000, float(spent_s), float(reserved_s))
