"""The secrets that stand in every slot while tests run, and the search for them in whatever leaves a process.

A slot's canary is a text that nothing else contains. It is looked for as it is and as base64, which is how Celery packs
bodies; what is found is told by place and slot, never by its text. A new slot is one line in `SLOTS`; a secret that is
made while tests run (a token that was issued) is added with `plant`.
"""

import base64
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from emulator.oauth import TOKEN_MARK

SECRET_KEY: Final = "dGVzdHMtb25seS1rZXktb2YtdGhpcnR5LXR3by1ieXQ="
REDIS_PASSWORD: Final = "c4nary-of-the-redis-server"
WEBHOOK_CODE: Final = "emulator-secret"  # what the emulator's portals are paid with
BEARER_SECRET: Final = "c4naryOfTheBearerTokensThatTestsMake"  # the secret part of all of them, see tests/bearers.py

PROXY_PASSWORD: Final = "c4nary-of-the-proxy"
SIGNING_SECRET: Final = "whsec_Y2FuYXJ5LW9mLWEtc2lnbmluZy1zZWNyZXQtMzItYnk="  # of callbacks

SLOTS: Final[Mapping[str, str]] = {
    "webhook code": WEBHOOK_CODE,
    "client secret": "emulator-client-secret",
    "application token": "emulator-application-token",
    "access or refresh token": TOKEN_MARK,  # all that the emulator issues begin so
    "secret key": SECRET_KEY.rstrip("="),
    "Redis password": REDIS_PASSWORD,
    "bearer token": BEARER_SECRET,
    "proxy password": PROXY_PASSWORD,
    "signing secret of callbacks": SIGNING_SECRET.removeprefix("whsec_").rstrip("="),
}
_SHOWN: Final = 200  # bytes
_AT_ONCE: Final = 16 * 1024 * 1024
_SHORTEST: Final = 8  # base64 of less could be anything's


def spellings(secret: str) -> frozenset[bytes]:
    """The text itself, and its base64 wherever in a longer text it may begin."""
    raw = secret.encode()
    found = {raw}
    for before in range(3):
        packed = base64.b64encode(b"\0" * before + raw)
        # Characters that share bits with what stands before or behind are another text's as well.
        first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        inner = packed[first:last]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return frozenset(found)


@dataclass
class Search:
    """Looks for secrets and remembers where they were, to be told when the session ends."""

    slots: Mapping[str, str] = field(default_factory=lambda: SLOTS)
    hits: dict[str, None] = field(default_factory=dict)
    allowed: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._spelt = {slot: spellings(secret) for slot, secret in self.slots.items()}
        self._overlap = max(len(text) for texts in self._spelt.values() for text in texts)

    def plant(self, slot: str, secret: str) -> None:
        """Look for one more from now on."""
        assert len(secret) >= _SHORTEST, "too short to be told from other text"
        self._spelt[slot] = self._spelt.get(slot, frozenset()) | spellings(secret)
        self._overlap = max(self._overlap, *map(len, self._spelt[slot]))

    def allow(self, path: Path) -> Path:
        """A file that a test wrote to hand a secret in; no output of ours."""
        self.allowed.add(path.resolve())
        return path

    def text(self, place: str, said: str | bytes | None) -> list[str]:
        """Look through one text; the slots whose secret is in it."""
        if not said:
            return []
        raw = said.encode("utf-8", "surrogatepass") if isinstance(said, str) else said
        found = {slot: raw.index(text) for slot, texts in self._spelt.items() for text in texts if text in raw}
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        for slot, at in found.items():
            self.hits[
                f"{slot} in {place}, after {self._before(raw, at)!r}" + (f" (seen in {test})" if test else "")
            ] = None
        return list(found)

    def _before(self, raw: bytes, at: int) -> str:
        """What stands in front of a hit, so that its reader knows where to look; other secrets as stars."""
        shown = raw[max(0, at - 2 * _SHOWN) : at]  # twice: what is cut off at the front may be half a secret
        for text in chain.from_iterable(self._spelt.values()):
            shown = shown.replace(text, b"***")
        return shown[-_SHOWN:].decode("utf-8", "backslashreplace")

    def file(self, path: Path, place: str | None = None) -> list[str]:
        """Look through one file of any size, and at its name."""
        found = self.text(f"the name of a file in {path.parent}", path.name)
        if path.resolve() in self.allowed:
            return found
        try:
            with path.open("rb") as file:
                for part in _parts(file, self._overlap):
                    found += self.text(place or str(path), part)
        except OSError:  # gone meanwhile, or not ours to read
            return found
        return found

    def directory(self, top: Path, *, leaving_out: Iterable[str] = ()) -> list[str]:
        """Look through every file below a directory."""
        found: list[str] = []
        for path in top.rglob("*"):
            if path.name not in leaving_out and path.is_file() and not path.is_symlink():
                found += self.file(path)
        return found

    def command_lines(self) -> list[str]:
        """Look at the argv of this process and of everything below it, where the machine's other users see it."""
        found: list[str] = []
        for pid in below(os.getpid()):
            try:
                told = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:  # ended meanwhile, or no Linux
                continue
            found += self.text("a command line", told.replace(b"\0", b" "))
        return found


def below(pid: int) -> list[int]:
    """A process and its descendants; only itself where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def _parts(file: BinaryIO, overlap: int) -> Iterator[bytes]:
    tail = b""
    while part := file.read(_AT_ONCE):
        yield tail + part
        tail = part[-overlap:]


SEARCH: Final = Search()
