"""Which cases share a server and workers, so that the whole matrix takes minutes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tests.matrix.cases import Action, Case, Stage, all_cases

Waves = Sequence[Sequence[Case]]
OUTAGE_HOUSES: Final = 4
STANDING: Final = 3  # cases that meet one outage; a worker stands for each


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that are played together: houses side by side, in each wave after wave, in each wave all at once."""

    workers: int  # of each house
    houses: Sequence[Waves]

    def cases(self) -> list[Case]:
        """Its part of the matrix."""
        return [case for waves in self.houses for wave in waves for case in wave]


def groups(cases: Sequence[Case] | None = None) -> Mapping[str, Group]:
    """The whole matrix, or some of it, in groups."""
    chosen = all_cases() if cases is None else cases

    def of(*actions: Action) -> Sequence[Waves]:
        return [[[case for case in chosen if case.action in actions]]]

    return MappingProxyType(
        {
            # Each frozen one stands for 6 to 14 s, two are always awake.
            "frozen": Group(8, of(Action.STOP)),
            "outage": Group(STANDING + 1, _outages([case for case in chosen if case.action is Action.DOWN])),
            # A killed one is back within 2 to 5 s.
            "killed": Group(8, of(Action.KILL, Action.TERM)),
            "alive": Group(3, of(Action.RAISE, Action.RESET)),
        }
    )


def _outages(cases: Sequence[Case]) -> list[Waves]:
    """An outage strikes everybody, so one wave has ended before the next begins. Those of a wave must come to stand at
    about the same time: a lease lasts for 4 s."""
    waves: list[Sequence[Case]] = []
    for attempt in (1, 2):
        own = [case for case in cases if case.attempt == attempt]
        late = [case for case in own if case.is_slow and case.stage is Stage.READING]
        slow = [case for case in own if case.is_slow and case not in late]
        quick = [case for case in own if not case.is_slow]
        waves += [wave for wave in (slow, late) if wave]
        waves += [quick[start : start + STANDING] for start in range(0, len(quick), STANDING)]
    return [waves[house::OUTAGE_HOUSES] for house in range(OUTAGE_HOUSES) if waves[house::OUTAGE_HOUSES]]
