"""How long a request takes: something for itself, and something for each pay command.

A portal that tells how long its commands took tells them apart in its very first answer; what is left of the time, the
line and the queue before the portal included, is the request's. Elsewhere both come from requests of different sizes
(least squares with fading weights); while all were of one size the commands count for everything, which errs on the
slow side.
"""

from dataclasses import dataclass, field
from typing import Final

# A batch should take about this long at most: the portal cuts a request at 60 s.
TARGET_S: Final = 15.0
# At first contact even a slow portal (1.2 s a pay) ends this soon, and a quick one soon has its burst.
FIRST_COMMANDS: Final = 3
# The next request carries so many times what a request was seen to carry - or what would take so little that even an
# estimate which is several times wrong does no harm: a quick portal gets its whole burst in full requests at once.
RAMP: Final = 4
SURE_S: Final = 4.0
# A quicker answer moves the believed time of one command down by this part; a slower one counts in full at once,
# because a batch that is too large runs into the portal's cut, one that is too small only costs a little.
FALLING_SHARE: Final = 0.5
# Where the portal does not tell, a hiccup of the line would count for the commands of a request that has so few.
FEW_COMMANDS: Final = 5
FADING: Final = 0.8
# Sizes that differ by less than this part of their mean are one size.
SAME_SIZE: Final = 0.2
# Of the quickest request seen, so much may be its own time; the quickest is forgotten slowly.
BASE_SHARE: Final = 0.95
LEAST_RISES: Final = 1.05
LEAST_COMMAND_S: Final = 0.001


def believable(commands_s: float | None, took_s: float) -> float | None:
    """What the portal told of its commands' time, unless that is nothing or more than the request took."""
    return commands_s if commands_s is not None and 0 < commands_s <= took_s else None


@dataclass(slots=True)
class Fit:
    """Fading sums over (commands, seconds) of the requests seen; how quick the quickest was, how many the most were."""

    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    least_s: float = 0.0
    most: int = 0


@dataclass(slots=True)
class Speed:
    """What is believed about one account's requests."""

    command_s: float | None = None
    base_s: float | None = None  # None: not told apart yet
    fit: Fit = field(default_factory=Fit)

    def commands(self, most: int) -> int:
        """How many pay commands the next request may carry."""
        if most <= 0:
            return 0
        if self.command_s is None:
            return min(most, FIRST_COMMANDS)
        # What an older release has learnt is believed without the ramp.
        command_s = max(self.command_s, LEAST_COMMAND_S)
        ramp = max(RAMP * self.fit.most, int(SURE_S / command_s)) if self.fit.most else most
        fitting = int((TARGET_S - (self.base_s or 0.0)) / command_s)
        return max(1, min(most, ramp, fitting))

    def learn(self, commands: int, took_s: float, told_s: float | None = None) -> None:
        """Learn from an answered request with so many commands; the portal may have told how long they took."""
        self._take_in(commands, took_s)
        known_s, self.base_s = self.base_s, self._base(took_s, told_s)
        told_apart = known_s is None and self.base_s is not None
        seen_s = self.cost_s(took_s, told_s) / commands
        if self.command_s is None or told_apart:
            self.command_s = seen_s
        elif seen_s < self.command_s:
            self.command_s += FALLING_SHARE * (seen_s - self.command_s)
        else:
            certainty = min(1.0, commands / FEW_COMMANDS) if told_s is None else 1.0
            self.command_s += certainty * (seen_s - self.command_s)

    def give_up(self, commands: int, took_s: float) -> None:
        """Learn from a request with so many commands that was not answered within so long."""
        least_s = max(0.0, took_s - (self.base_s or 0.0)) / commands
        self.command_s = max(self.command_s or 0.0, least_s)
        # Its size is not tried again soon.
        self.fit.most = max(1, commands // (2 * RAMP))

    def cost_s(self, took_s: float, told_s: float | None) -> float:
        """What a request has cost the portal: what it told, else as far as the request's time tells."""
        if told_s is not None:
            return told_s
        return max(0.0, took_s - min(self.base_s or 0.0, BASE_SHARE * took_s))

    def _base(self, took_s: float, told_s: float | None) -> float | None:
        """A longer time of the request itself counts at once: it is a part of what the portal cuts."""
        if told_s is None:
            return self.base_s if (of_sizes := self._base_of_sizes()) is None else of_sizes
        seen_s = took_s - told_s
        if self.base_s is None or seen_s > self.base_s:
            return seen_s
        return self.base_s + FALLING_SHARE * (seen_s - self.base_s)

    def _take_in(self, commands: int, took_s: float) -> None:
        fit = self.fit
        fit.weight = FADING * fit.weight + 1
        fit.x = FADING * fit.x + commands
        fit.y = FADING * fit.y + took_s
        fit.xx = FADING * fit.xx + commands * commands
        fit.xy = FADING * fit.xy + commands * took_s
        fit.least_s = min(LEAST_RISES * fit.least_s, took_s) if fit.least_s else took_s
        fit.most = max(fit.most, commands)

    def _base_of_sizes(self) -> float | None:
        fit = self.fit
        mean_x, mean_y = fit.x / fit.weight, fit.y / fit.weight
        variance = fit.xx / fit.weight - mean_x * mean_x
        if variance <= (SAME_SIZE * mean_x) ** 2:
            return None
        slope = (fit.xy / fit.weight - mean_x * mean_y) / variance
        return max(0.0, min(mean_y - slope * mean_x, BASE_SHARE * fit.least_s))
