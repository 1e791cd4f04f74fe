"""Known holes of the servers, by version: those that let a client with a password do more than it may.

Only what the makers have published is here; a distribution may have mended a hole under an old version number.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Hole:
    """One published hole. `fixed` has the first good version of each release line that we know of, by product."""

    name: str
    risk: str
    fixed: Mapping[str, Sequence[Version]]
    since: Version = (0, 0, 0)
    older_too: bool = False  # lines older than all of `fixed` have it as well, and were never mended
    tls_only: bool = False


HOLES: Final = (
    # Redis: release notes of 7.4.6 and 8.0.4, CVE record (8.2.2), official images (7.2.11). Valkey: release notes of
    # 8.1.4 and 9.0.0-rc3, vulnerability database of Bitnami (7.2.11, 8.0.6, 8.1.4).
    Hole(
        name="CVE-2025-49844",
        risk="a script may run code on the server",
        fixed={
            "Redis": ((7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
            "Valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
        },
        older_too=True,
    ),
    # Redis: release notes of each line, CVE record (since 7.2.0). Valkey: Fedora's changelogs of 8.1.7 and 9.0.4.
    Hole(
        name="CVE-2026-23479",
        risk="a client may run code on the server",
        fixed={
            "Redis": ((7, 2, 14), (7, 4, 9), (8, 2, 6), (8, 4, 3), (8, 6, 3)),
            "Valkey": ((8, 1, 7), (9, 0, 4)),
        },
        since=(7, 2, 0),
    ),
    # CVE record, with the versions that are not affected.
    Hole(
        name="CVE-2026-81934",
        risk="with TLS, anybody may run code on the server",
        fixed={"Redis": ((7, 2, 16), (7, 4, 11), (8, 2, 9), (8, 4, 6), (8, 6, 6), (8, 8, 2), (8, 10, 1))},
        older_too=True,
        tls_only=True,
    ),
    # Valkey: release notes of 8.1.9 and 9.1.1.
    Hole(
        name="CVE-2026-56684",
        risk="with TLS, a client may run code on the server",
        fixed={"Valkey": ((8, 1, 9), (9, 1, 1))},
        since=(8, 1, 0),
        tls_only=True,
    ),
)


def holes_of(product: str, version: str, *, tls: bool) -> list[tuple[Hole, str]]:
    """The holes of a server and the version that mends each; a version that cannot be read has none."""
    numbers = _numbers(version)
    if numbers is None:
        return []
    found = []
    for hole in HOLES:
        if (hole.tls_only and not tls) or numbers < hole.since:
            continue
        if mended := _mended_by(numbers, hole.fixed.get(product, ()), older_too=hole.older_too):
            found.append((hole, mended))
    return found


def _mended_by(numbers: Version, fixed: Sequence[Version], *, older_too: bool) -> str | None:
    """The version to go to; None for a good version, and for a line that we know nothing of."""
    for first_good in fixed:
        if numbers[:2] == first_good[:2]:
            return _written(first_good) if numbers < first_good else None
    return _written(fixed[0]) if older_too and fixed and numbers < fixed[0] else None


def _numbers(version: str) -> Version | None:
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def _written(version: Version) -> str:
    return ".".join(str(number) for number in version)
