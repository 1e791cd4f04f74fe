"""Ending a command that has started processes: whatever asks it to end, everything is stopped on the way out."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


def heed_interrupts() -> None:
    """Call it before `asyncio.run`. A shell starts its background jobs with Ctrl-C ignored, and then nothing that ends
    us by way of it would."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM and a closed terminal end the main task as Ctrl-C does: through every `finally`.

    The loop takes them between two steps. A handler that raises would do so anywhere, also inside of a library that
    holds a lock, and the stopping of a child would then wait for that lock for ever.
    """
    loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, signal.raise_signal, signal.SIGINT)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
