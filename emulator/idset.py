"""Sets of record numbers written as single ids and ranges."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from emulator.reading import SettingsError

MAX_ID = 2**53 - 1


@dataclass(frozen=True, slots=True)
class IdSet:
    """Numbers in sorted, disjoint, inclusive ranges."""

    ranges: tuple[tuple[int, int], ...] = ()

    def __contains__(self, number: int) -> bool:
        if not self.ranges:
            return False
        at = bisect_right(self.ranges, (number, MAX_ID + 1)) - 1
        return at >= 0 and self.ranges[at][0] <= number <= self.ranges[at][1]

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def between(self, low: int, high: int) -> "IdSet":
        """The part within two bounds."""
        cut = ((max(low, first), min(high, last)) for first, last in self.ranges)
        return IdSet(tuple((first, last) for first, last in cut if first <= last))

    def walk(self, *, descending: bool) -> Iterator[int]:
        """All numbers in order, one at a time."""
        for first, last in reversed(self.ranges) if descending else self.ranges:
            yield from range(last, first - 1, -1) if descending else range(first, last + 1)

    def spec(self) -> list[int | list[int]]:
        """The JSON form it was read from."""
        return [first if first == last else [first, last] for first, last in self.ranges]


EVERY_ID = IdSet(((1, MAX_ID),))
NO_ID = IdSet()


def read_ids(value: object, where: str) -> IdSet:
    """Read `[1, 2, [100, 200]]`."""
    if not isinstance(value, list):
        raise SettingsError(f"{where}: expected a list of ids and [first, last] pairs, got {value!r}")
    pairs: list[list[int]] = []
    for first, last in sorted(_pair(item, where) for item in value):
        if pairs and first <= pairs[-1][1] + 1:
            pairs[-1][1] = max(pairs[-1][1], last)
        else:
            pairs.append([first, last])
    return IdSet(tuple((first, last) for first, last in pairs))


def _pair(item: object, where: str) -> tuple[int, int]:
    given = item if isinstance(item, list) else [item, item]
    pair = [number for number in given if isinstance(number, int) and not isinstance(number, bool)]
    if len(given) != 2 or len(pair) != 2 or not 1 <= pair[0] <= pair[1] <= MAX_ID:
        raise SettingsError(f"{where}: expected an id or a [first, last] pair from 1 to {MAX_ID}, got {item!r}")
    return pair[0], pair[1]
