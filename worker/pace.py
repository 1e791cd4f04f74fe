"""How long a consumer rests between two steps of fetching: not at all, unless a stream flows on meanwhile.

Each step costs about the same whatever it brings, so of 500 messages a second twenty are better fetched at once than
one by one. But a caller who waits for each result before sending the next message must not wait for our rest as well.
The two are told apart by trying: while we rest a stream brings as many messages a second as before, and callers who
wait bring fewer. What counts is what all consumers together fetch, because two of them that rest take turns.
"""

from dataclasses import dataclass
from typing import Final

REST_S: Final = 0.05  # 500 messages a second come in groups of 25, 25 ms later on average
SHOWS_A_STREAM: Final = 16  # messages, one soon after the other
PAUSE_S: Final = 0.1  # so long without a message is the end of a stream
WORTH_A_TRIAL: Final = 100  # messages a second, by all consumers
HELD: Final = 0.7  # of what came before the rest: a stream that flows in spite of it
NEXT_TRIAL_S: Final = (1.0, 32.0)  # after the first one that was in vain, and at most


@dataclass(slots=True)
class Pace:
    """Of one consumer. Times are of one monotonic clock, in seconds."""

    _rests: bool = False
    _since: tuple[int, float] = (0, 0.0)  # where counting began: messages, and when
    _latest: float = 0.0
    _before: float = 0.0  # messages a second without a rest
    _next_trial_at: float = 0.0
    _in_vain_s: float = NEXT_TRIAL_S[0]

    def found(self, total: int, now: float) -> float:
        """Note how many messages all consumers have fetched by now; how long to rest before the next step, in seconds.

        `total` is 0 after a step that found none.
        """
        if self._rests:
            self._judge(total, now)
        elif total:
            self._watch(total, now)
        return REST_S if self._rests else 0.0

    def _watch(self, total: int, now: float) -> None:
        pause_s, self._latest = now - self._latest, now
        if pause_s > PAUSE_S:
            self._since = total, now
        elif total - self._since[0] >= SHOWS_A_STREAM:
            self._before = self._flow(total, now)
            self._rests = self._before >= WORTH_A_TRIAL and now >= self._next_trial_at

    def _judge(self, total: int, now: float) -> None:
        if total and self._flow(total, now) >= HELD * self._before:
            self._in_vain_s = NEXT_TRIAL_S[0]
            return
        self._rests = False
        self._next_trial_at = now + self._in_vain_s
        self._in_vain_s = min(2 * self._in_vain_s, NEXT_TRIAL_S[1])

    def _flow(self, total: int, now: float) -> float:
        """Messages a second since the last time it was asked for."""
        (before, at), self._since = self._since, (total, now)
        return (total - before) / max(now - at, 1e-6)
