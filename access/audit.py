"""
The record of what was changed, by whom and why: a stream that only grows at its end and is forgotten by age alone.

  b24pay:{0}:audit   stream  row -> JSON; the id is the server's time

A change is written down twice. Before it: who, what, which subjects, why (`Intent`). After it: how it ended and what
stands there now, with the first row's id. Whoever reads sees one `Entry`; where the second row is missing, the process
ended in between (or works still), and the entry says so instead of guessing.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from config.redaction import redact, redact_value

_AUDIT: Final = "b24pay:{0}:audit"
_FORM: Final = 1
_PAGE: Final = 500  # rows per trip
_LONGEST: Final = 1_000  # characters of a text that a person wrote
_LATEST_ENDING_MS: Final = 120_000
_ID: Final = re.compile(r"\d{1,15}-\d{1,15}")


def is_entry_id(text: str) -> bool:
    """Whether a text has the form of an entry's id."""
    return _ID.fullmatch(text) is not None


class Origin(StrEnum):
    """Where a change came in."""

    CLI = "cli"
    HTTP = "http"
    WEB = "web"  # a page of the dashboard


class Outcome(StrEnum):
    """How a change ended."""

    DONE = "done"
    PARTLY = "partly"
    REFUSED = "refused"  # nothing was changed
    FAILED = "failed"  # it broke off; what is changed is for the subject itself to tell
    UNFINISHED = "unfinished"  # never written: what a reader sees where the second row is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What somebody is about to change. `what` is a group and a verb: `portal.hold`."""

    who: str
    role: str
    origin: Origin
    what: str
    subjects: Sequence[str]
    request_id: str
    why: str | None = None
    before: object = None
    token: str | None = None  # the token's id: names may come again


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How it ended. What was known only then (`before`, `what` in words, ...) takes the intent's place."""

    outcome: Outcome
    what: str | None = None
    subjects: Sequence[str] | None = None
    why: str | None = None
    before: object = None
    after: object = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change as a reader sees it."""

    id: str
    at: datetime
    who: str
    role: str
    origin: str
    what: str
    subjects: tuple[str, ...]
    why: str | None
    before: object
    after: object
    outcome: Outcome
    error: str | None
    request_id: str | None
    token: str | None


class Audit:
    """The audit of one Redis. Raises RedisError; then nothing may be changed either."""

    def __init__(self, redis: Redis, *, retention_s: float) -> None:
        self._redis = redis
        self._retention_ms = round(retention_s * 1000)
        self._append = redis.register_script(_lua("append_audit"))

    async def begin(self, intent: Intent) -> str:
        """Write down what is about to happen; the id that `end` needs."""
        return await self._write(_told(intent))

    async def end(self, begun: str, ending: Ending) -> None:
        """Write down how it ended."""
        await self._write({"of": begun, **_told(ending)})

    async def note(self, intent: Intent, ending: Ending) -> None:
        """Write down in one row what has happened already."""
        await self._write({**_told(intent), **_told(ending)})

    async def entries(self, since_s: float, before: str | None = None, at_once: int = _PAGE) -> AsyncIterator[Entry]:
        """The changes of so many seconds, newest first; memory grows with what was under way at one time only.

        `before`: only those that stand behind this entry. What ended more than two minutes after that one is told as
        unfinished then. `at_once`: how many rows are read in one trip.
        """
        seconds, _ = await self._redis.time()
        oldest, newest = str(max(0, round((seconds - since_s) * 1000))), "+"
        if before is not None:
            newest = str(_place(before)[0] + _LATEST_ENDING_MS)
        endings: dict[str, Mapping[str, Any]] = {}
        while rows := await self._redis.xrevrange(_AUDIT, newest, oldest, count=at_once):
            for raw_id, fields in rows:
                row_id, row = _text(raw_id), _row(fields)
                if (of := row.get("of")) is not None:
                    endings.setdefault(str(of), row)
                elif before is None or _place(row_id) < _place(before):
                    yield _entry(row_id, {**row, **endings.pop(row_id, {})})
            newest = f"({_text(rows[-1][0])}"

    async def _write(self, row: Mapping[str, object]) -> str:
        text = json.dumps({"v": _FORM, **row}, ensure_ascii=False)
        return _text(await self._append(keys=[_AUDIT], args=[text, self._retention_ms]))


def _told(part: Intent | Ending) -> dict[str, object]:
    """What a row says; what is not known is left out, so that joining two rows loses nothing."""
    told: dict[str, object] = {}
    for name in part.__slots__:
        value = getattr(part, name)
        if value is None:
            continue
        told[name] = redact(value)[:_LONGEST] if isinstance(value, str) else redact_value(value)
    return told


def _row(fields: Mapping[bytes | str, bytes | str] | None) -> Mapping[str, Any]:
    raw = next((value for name, value in (fields or {}).items() if _text(name) == "row"), "{}")
    try:
        row = json.loads(raw)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _entry(row_id: str, row: Mapping[str, Any]) -> Entry:
    outcome = row.get("outcome", Outcome.UNFINISHED)
    return Entry(
        id=row_id,
        at=datetime.fromtimestamp(int(row_id.partition("-")[0]) / 1000, UTC),
        who=str(row.get("who", "unknown")),
        role=str(row.get("role", "unknown")),
        origin=str(row.get("origin", "unknown")),
        what=str(row.get("what", "unknown")),
        subjects=tuple(map(str, row.get("subjects") or ())),
        why=row.get("why"),
        before=row.get("before"),
        after=row.get("after"),
        outcome=Outcome(outcome) if outcome in set(Outcome) else Outcome.UNFINISHED,
        error=row.get("error"),
        request_id=row.get("request_id"),
        token=row.get("token"),
    )


def _place(entry_id: str) -> tuple[int, int]:
    at, _, number = entry_id.partition("-")
    return int(at), int(number)


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _lua(name: str) -> str:
    return Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")
