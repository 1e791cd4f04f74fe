"""Which server wrote the book last, and what a history it lost may have done (the twin of lua/guard.lua)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# After a rollback, who else may ask for something that was rolled back: a producer whose accepted request is gone asks
# again within its own retries or in its next run, and after a crash on Friday night that may be on Monday.
GUARD = timedelta(hours=96)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The time since the ledger's server was last another one."""

    id: str  # name of the ledger's birth
    server: str
    number: int
    until: datetime | None = None  # what was opened before this moment may have been sent by a history that is lost
    quiet: datetime | None = None  # an "unpaid" about such a payment does not count before this moment
    previous: str = ""  # the id of a ledger that was lost


class Guard:
    """Notices another server, or another ledger, under its workers."""

    def __init__(self, server: Callable[[], str]) -> None:
        self._server = server
        self._births = 0
        self.epoch: Epoch | None = None

    def look(self, remembered: str, now: datetime, quiet_s: float) -> bool:
        """Whether a new epoch began that must be guarded against."""
        known, server = self.epoch, self._server()
        if known is None:
            self._births += 1
            known = Epoch(f"ledger-{self._births}", server, 0)
            self.epoch = replace(known, number=1)
            if not remembered:
                return False
        lost = remembered not in ("", known.id, known.previous)
        if not lost and known.server == server:
            return False
        self.epoch = replace(
            known,
            server=server,
            number=known.number + 1,
            until=now + GUARD,
            quiet=now + timedelta(seconds=quiet_s),
            previous=remembered if lost else known.previous,
        )
        return True

    def empty(self) -> None:
        """The ledger was lost, and with it its name."""
        self.epoch = None
