"""The execution-time account of one (credential, method): what was spent in the last window, and when it leaves.

The portal tells one figure, the sum, and when the oldest part of it leaves; so the parts are written down here as they
are spent. A part leaves a whole window after the last second that went into it. The portal, which forgets by whole
minutes, has forgotten it by then wherever its minutes begin. What is in flight is spent already.

Spending is free until most of the budget is gone - a lane that has little to do is done at once - and even from then
on: what is left is spread over the time until the oldest part leaves. A lane with more to do than its budget keeps to
the even pace until the budget has nearly recovered.
"""

from dataclasses import dataclass, field
from typing import Final

from limiter import pace
from limiter.limiter import Limits, Observation

PARTS: Final = 60  # of a window; how finely the leaving is known
FREE_SHARE: Final = 0.75
RECOVERED_SHARE: Final = 0.1
# The even pace may be exceeded by so much while something is left, or what a late timer has lost would stay unused.
CATCH_UP: Final = 1.1
# With less left than this part of a full request it is waited for more: many tiny requests would cost the bucket.
WORTH_SHARE: Final = 0.25
# A portal that stops us earlier than configured (the source says 420 s, the documentation 480) is believed for so long.
LIMIT_KEEP_S: Final = 3600.0
LIMIT_LEAST_SHARE: Final = 0.5
LIMIT_SAFE_SHARE: Final = 0.98
# A permit is taken a little before its request is sent.
PERMIT_TO_SEND_S: Final = 1.0
_NOTHING: Final = 1e-9


@dataclass(slots=True)
class Part:
    """What was spent around one moment."""

    at: float  # the last second that went into it
    spent_s: float
    reserved_s: float


@dataclass(slots=True)
class Account:
    """Instants are seconds of the limiter's clock."""

    parts: list[Part] = field(default_factory=list)
    told_s: float | None = None  # the portal's last figure; None: it has never said
    reset_at: float = 0.0
    spent_ends_at: float = 0.0
    paced_ends_at: float = 0.0
    evenly: bool = False
    paced: float = 0.0  # seconds of execution per second, at which that moment was reckoned
    limit_s: float = 0.0  # at which the portal stopped us
    limit_at: float = float("-inf")

    def limit(self, limits: Limits, now: float) -> float:
        """Seconds per window that are believed in."""
        return min(limits.execution_s, self.limit_s) if now - self.limit_at < LIMIT_KEEP_S else limits.execution_s

    def forget(self, limits: Limits, now: float) -> None:
        """Let go of what has left the window."""
        # After a clock was set back nothing may stay for longer than a window.
        for part in self.parts:
            part.at = min(part.at, now)
        self.parts = [part for part in self.parts if part.at + limits.execution_window_s > now + pace.ROUNDING]

    def spent_s(self) -> float:
        """Seconds of the window that are gone, in flight included."""
        return sum(part.spent_s + part.reserved_s for part in self.parts)

    def left_s(self, limits: Limits, now: float) -> float | None:
        """What may still be spent; None where the portal has not said that it counts."""
        if self.spent_ends_at - now > pace.ROUNDING:
            return 0.0
        return None if self.told_s is None else max(0.0, self.limit(limits, now) - self.spent_s())

    def wait_s(self, command_s: float, commands: int, limits: Limits, now: float) -> float:
        """How long until so many commands, or a good part of them, may be paid for."""
        wait_s = self.spent_ends_at - now
        if self.told_s is None:
            return wait_s
        need_s = max(command_s, WORTH_SHARE * command_s * commands, _NOTHING)
        left_s = self.limit(limits, now) - self.spent_s()
        for part in self.parts:
            if left_s >= need_s:
                break
            left_s += part.spent_s + part.reserved_s
            wait_s = max(wait_s, part.at + limits.execution_window_s - now)
        return max(wait_s, self.paced_ends_at - now if self.evenly else 0.0)

    def requests(self, most: int, cost_s: float, limits: Limits, now: float) -> int:
        """How many requests of such a cost may be made at once, when one may: up to the one that ends the free part."""
        if self.told_s is None or cost_s <= _NOTHING:
            return most
        if self.evenly:
            return 1
        # A sum that meets a limit exactly must not pass it by its rounding.
        limit_s, spent_s = self.limit(limits, now), self.spent_s() - pace.ROUNDING
        free = int(max(0.0, FREE_SHARE * limit_s - spent_s) / cost_s) + 1
        return max(1, min(most, free, int(max(0.0, limit_s - spent_s) / cost_s)))

    def reserve(self, requests: int, cost_s: float, limits: Limits, now: float) -> None:
        """Count requests of such a cost as spent before they are sent, and say when the next one may be."""
        limit_s, window_s = self.limit(limits, now), limits.execution_window_s
        before_s = self.spent_s() + (requests - 1) * cost_s  # all but the last are free
        leaves_at = (self.parts[0].at if self.parts else now) + window_s
        self.paced = min((limit_s - before_s) / max(leaves_at - now, _NOTHING), CATCH_UP * limit_s / window_s)
        if before_s < RECOVERED_SHARE * limit_s:
            self.evenly = False
        if before_s + cost_s > FREE_SHARE * limit_s + pace.ROUNDING:
            self.evenly = True
        self.paced_ends_at = min(leaves_at, now + cost_s / max(self.paced, _NOTHING)) if self.evenly else 0.0
        self._part(limits, now).reserved_s += requests * cost_s

    def take_back(self, reserved_s: float, since: float = float("-inf")) -> None:
        """Take a reservation back that was made then or later."""
        for part in self.parts:
            if part.at >= since:
                taken_s = min(part.reserved_s, reserved_s)
                part.reserved_s -= taken_s
                reserved_s -= taken_s

    def hasten(self, unused_s: float) -> None:
        """Let the next request be sooner by what the last ones had reserved and did not use."""
        if self.evenly and unused_s > 0:
            self.paced_ends_at -= unused_s / max(self.paced, _NOTHING)

    def settle(self, seen: Observation, cost_s: float, limits: Limits, now: float) -> None:
        """Count what an answered request has cost in place of its reservation, and hear the portal's own figure."""
        sent_at, first = now - seen.took_s, not self.parts
        self.take_back(seen.reserved_s, sent_at - PERMIT_TO_SEND_S)
        unheard_s = self._unheard_s(sent_at, now)
        self.hasten(seen.reserved_s - cost_s)
        # A portal that charges nothing reads 0 for ever: that is no account.
        counts = seen.operating_s is not None and (seen.operating_s > 0 or self.told_s is not None)
        if cost_s > 0 and (counts or self.told_s is not None):
            self._part(limits, now).spent_s += cost_s
        if counts and seen.operating_s is not None:
            reset_at = now + limits.execution_window_s if seen.operating_reset_at is None else seen.operating_reset_at
            # What resets later than a whole window from now is nonsense.
            self.reset_at = min(reset_at, now + limits.execution_window_s)
            self._hear(seen.operating_s, unheard_s, limits, now, first=first)
            self.told_s = seen.operating_s

    def stopped(self, reset_at: float | None, limits: Limits, now: float) -> float:
        """The portal says the budget is gone; returns for how long nothing may be spent."""
        window_s, seen_s = limits.execution_window_s, max(self.told_s or 0.0, self.spent_s())
        if self.told_s is not None and seen_s < LIMIT_SAFE_SHARE * self.limit(limits, now):
            self.limit_s = max(LIMIT_LEAST_SHARE * limits.execution_s, LIMIT_SAFE_SHARE * seen_s)
            self.limit_at = now
        leaves = [part.at + window_s for part in self.parts[:1]]
        known = [at for at in (reset_at, self.reset_at, *leaves) if at is not None and at > now]
        wait_s = min(known[0] - now if known else pace.EXECUTION_STEP_S, window_s)
        self.spent_ends_at = max(self.spent_ends_at, now + wait_s)
        return self.spent_ends_at - now

    def _unheard_s(self, sent_at: float, now: float) -> float:
        """What the answer to a request that was sent then may not know of: what is in flight, or was answered since."""
        reserved_s = sum(part.reserved_s for part in self.parts if part.at > now - pace.FLIGHT_S)
        return reserved_s + sum(part.spent_s for part in self.parts if part.at >= sent_at)

    def _hear(self, used_s: float, unheard_s: float, limits: Limits, now: float, *, first: bool) -> None:
        """Others may use the account too, and replies overtake each other."""
        total_s = self.spent_s()
        if used_s > total_s and first:
            self._spread(used_s - total_s, limits, now)
        elif used_s > total_s:
            self._part(limits, now).spent_s += used_s - total_s
        elif used_s + unheard_s < total_s:
            # What the portal has forgotten already is the oldest.
            self._drop(total_s - used_s - unheard_s)

    def _drop(self, seconds: float) -> None:
        for part in self.parts:
            spent_s = min(part.spent_s, seconds)
            reserved_s = min(part.reserved_s, seconds - spent_s)
            part.spent_s -= spent_s
            part.reserved_s -= reserved_s
            seconds -= spent_s + reserved_s
        self.parts = [part for part in self.parts if part.spent_s + part.reserved_s > _NOTHING]

    def _part(self, limits: Limits, now: float) -> Part:
        """The part of this moment."""
        size_s = limits.execution_window_s / PARTS
        if self.parts and self.parts[-1].at // size_s == now // size_s:
            self.parts[-1].at = now
        else:
            self.parts.append(Part(now, 0.0, 0.0))
        return self.parts[-1]

    def _spread(self, seconds: float, limits: Limits, now: float) -> None:
        """What was spent before anything was written down: evenly from the oldest moment on."""
        oldest_at = min(now, self.reset_at - limits.execution_window_s)
        count = int((now - oldest_at) * PARTS / limits.execution_window_s) + 1
        step_s = (now - oldest_at) / count
        before = [Part(oldest_at + step_s * (number + 1), seconds / count, 0.0) for number in range(count)]
        self.parts = before + self.parts
        self.forget(limits, now)
