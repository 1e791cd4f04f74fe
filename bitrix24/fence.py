"""A fence that a process cannot step over late: the kernel ends it if it stands still between a check and its deed.

"May I still send?" and the sending are two steps. A process that is stopped between them (SIGSTOP, a debugger, a frozen
container) would send whenever it is woken, under a lease that is long another's. A timer of the kernel with SIGKILL as
its signal fires while the process is stopped, so a process that was stopped there is never woken (decision 0049).
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# A hundred times what the deed takes on a loaded machine, and what a call may start later than its check said.
FENCE_S: Final = 2.0

_SIGEV_SIGNAL: Final = 0
_NS: Final = 1_000_000_000
# Where the machine slept in between, this clock has gone on; `time.monotonic` has not.
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def clock() -> float:
    """Seconds that also pass while the machine sleeps: leases run out meanwhile."""
    return time.clock_gettime(_CLOCK)


class _Event(ctypes.Structure):
    """`struct sigevent` of a 64-bit Linux (sigevent(7)): a value, the signal, the kind, and room up to 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("room", ctypes.c_char * 48),
    )


class _Times(ctypes.Structure):
    """`struct itimerspec`: the interval (never used), and how long from now."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Fence:
    """One kernel timer of this process; without effect where the system has none that fires on a stopped process.

    For one thread, and not to be nested: `closed` guards a few lines that do not wait.
    """

    def __init__(self) -> None:
        self._set = _kernel_timer()

    @property
    def holds(self) -> bool:
        """Whether this system can end a stopped process."""
        return self._set is not None

    @contextmanager
    def closed(self, seconds: float = FENCE_S) -> Iterator[None]:
        """If the lines inside take longer than this, the process ends without finishing them."""
        if self._set is None:
            yield
            return
        self._set(seconds)
        try:
            yield
        finally:
            self._set(0.0)


def _kernel_timer() -> Callable[[float], None] | None:
    """A function that sets the timer to so many seconds from now (0 stops it), or None."""
    # A forked child has no timers of its parent; workers fork before they open a session, if at all.
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:  # noqa: PLR2004 - the layout above
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "timer_create"):  # glibc before 2.34 has it in another library
        return None
    timer = ctypes.c_void_p()
    event = _Event(None, signal.SIGKILL, _SIGEV_SIGNAL, b"")
    if libc.timer_create(_CLOCK, ctypes.byref(event), ctypes.byref(timer)) != 0:
        return None
    times = _Times()
    reference = ctypes.byref(times)

    def set_to(seconds: float) -> None:
        whole, part = divmod(int(seconds * _NS), _NS)
        times.value_s, times.value_ns = whole, part
        if libc.timer_settime(timer, 0, reference, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    return set_to
