"""Lines of a body, however the network has cut it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from web.api.lines import CHUNK, LONGEST_LINE, Line, Lines


class Body:
    """A body that comes in these pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


class Sender:
    """A request as far as lines are read from it."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.content = Body(pieces)


def read(pieces: Sequence[bytes], most: int = 1000) -> tuple[list[Line], Lines]:
    """All lines of a body."""

    async def all_of_them() -> tuple[list[Line], Lines]:
        request: Any = Sender(pieces)
        lines, found = Lines(request, most=most, idle_s=5), list[Line]()
        reading = asyncio.create_task(lines.read())
        while chunk := await lines.next():
            assert len(chunk) <= CHUNK
            found += chunk
        await reading
        return found, lines

    return asyncio.run(all_of_them())


texts = st.lists(
    st.sampled_from([b"", b" ", b"{}", b"a\r", b"x" * LONGEST_LINE, b"y" * (LONGEST_LINE + 1)]), max_size=8
)


@given(texts, st.lists(st.integers(0, 40_000), max_size=5), st.booleans())
def test_cuts_do_not_matter(lines: list[bytes], cuts: list[int], ends: bool):
    """The same lines, numbers and places, wherever a piece ends, with or without a last line's end."""
    body = b"\n".join(lines) + (b"\n" if ends else b"")
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    pieces = [body[a:b] for a, b in pairwise(places) if b > a]
    found, _ = read(pieces)
    kept = [(n, text) for n, text in enumerate(lines, start=1) if text.strip()]
    assert [(each.index, each.number) for each in found] == [(index, n) for index, (n, _) in enumerate(kept)]
    assert [each.text for each in found] == [text if len(text) <= LONGEST_LINE else None for _, text in kept]


def test_more_lines_than_may_be_are_refused_from_there_on():
    """Those before are read; why it ended is told."""
    found, lines = read([b"{}\n" * 7], most=5)
    assert len(found) == 5
    assert lines.problem is not None
    assert lines.problem.status == 413


def test_many_lines_come_in_chunks():
    """No step of the ledger grows with the body."""
    found, lines = read([b"{}\n" * 1000])
    assert [each.index for each in found] == list(range(1000))
    assert lines.problem is None
