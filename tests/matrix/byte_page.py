"""docs/byte_matrix.md: what became of calls that were cut at each byte."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from chaos.toxics import Ending
from tests.house import ROOT
from tests.matrix.tears import ENDED, Sizes, Tearing, Torn

BYTE_PAGE: Final[Path] = ROOT / "docs" / "byte_matrix.md"
HOW: Final = {Ending.RESET: "reset (RST)", Ending.CLOSE: "closed (FIN)"}
EFFECTS: Final = {
    ENDED["P"]: "once, answered",
    ENDED["PR"]: "once",
    ENDED["RP"]: "not at all",
}

HEAD: Final = """# Byte matrix

Written by `make matrix`. The first call of a portal, a batch with three payments, goes through a gate that lets
exactly so many bytes of the request, or of the reply, pass and then cuts the connection on both sides. Each offset has
a portal, an address and three payments of its own; all go through one worker process at once. Right means that ledger,
results and portal agree: each invoice paid exactly once with evidence `read_back`, and no call came again before a
read.

Offsets count from the first byte of the head; 0 cuts before it. Replies tell times whose length varies, so the last
bytes of one reply may be the end of another.
"""


def byte_page(tearings: Sequence[Tearing]) -> str:
    """The page."""
    torn = [each for tearing in tearings for each in tearing.torn]
    wrong = sum(bool(each.wrong) for each in torn)
    total = f"\n{len(torn)} torn calls, {len(torn) - wrong} right, {wrong} wrong.\n"
    titles = ["cut in the", "connection", "offsets", "calls", "the portal had paid", "how the payments ended", "wrong"]
    table = [_row(titles), _row(["---"] * len(titles))]
    for tearing in tearings:
        table += [_row(cells) for cells in _ranges(tearing)]
    return "\n".join([HEAD + total, *table, ""])


def _ranges(tearing: Tearing) -> Iterable[Sequence[str]]:
    """Neighbouring offsets that ended alike, in one row."""
    for (part, ending, ended), found in groupby(tearing.torn, key=lambda each: _kind(each, tearing.sizes)):
        torn = list(found)
        offsets = f"{torn[0].tear.offset}-{torn[-1].tear.offset}"
        wrong = sum(bool(each.wrong) for each in torn)
        yield [part, ending, offsets, str(len(torn)), EFFECTS.get(ended, "?"), ended, str(wrong)]


def _kind(torn: Torn, sizes: Sizes) -> tuple[str, str, str]:
    tear = torn.tear
    head = sizes.request_head if tear.direction == "request" else sizes.reply_head
    whole = sizes.request if tear.direction == "request" else None
    part = "head" if tear.offset < head else "body"
    place = f"{tear.direction}, behind the end" if tear.offset == whole else f"{tear.direction}, {part}"
    return place, HOW[tear.ending], torn.ended


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
