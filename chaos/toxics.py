"""What a gate of the proxy does to the bytes that pass: two flows, and whether anybody gets in at all."""

from dataclasses import dataclass, field
from enum import StrEnum


class Ending(StrEnum):
    """How a connection is cut; always on both sides at once."""

    CLOSE = "close"  # in order (FIN)
    RESET = "reset"  # as a crashed peer does (RST)
    SILENCE = "silence"  # it stays open, and nothing ever passes again: half-open


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What happens to the bytes of one direction. The defaults let everything pass."""

    latency_s: float = 0.0  # each piece waits so long
    bytes_per_s: float | None = None
    slice_bytes: int | None = None  # pieces of this size at most ...
    slice_pause_s: float = 0.0  # ... with a pause after each
    swallow: bool = False  # bytes vanish; a connection that has lost some stays silent in this direction
    # Exactly so many bytes pass, then the connection is cut. Counted anew for each connection, and from the moment
    # the toxics were set: 0 cuts at the first byte, the length of a message right behind its last byte.
    cut_after: int | None = None
    ending: Ending = Ending.RESET
    cuts: int | None = None  # so many connections at most are cut by this flow; None: every one


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxics:
    """Everything that is wrong with one gate. The defaults make it transparent."""

    down: bool = False  # connections are refused, those that were open are reset
    request: Flow = field(default_factory=Flow)  # from the client to the upstream
    reply: Flow = field(default_factory=Flow)  # from the upstream to the client


HEALTHY = Toxics()
