"""The fence: a process that was stopped between its check and its deed is never woken to do it."""

import os
import signal
import subprocess
import sys
import textwrap

from bitrix24.fence import Fence

STOPS = textwrap.dedent(
    """
    import os, signal, sys
    from bitrix24.fence import Fence
    fence = Fence()
    with fence.closed(0.2):
        if sys.argv[1] == "inside":
            os.kill(os.getpid(), signal.SIGSTOP)
            print("done late", flush=True)
    if sys.argv[1] == "outside":
        os.kill(os.getpid(), signal.SIGSTOP)
        print("done", flush=True)
    """
)


def stopped_and_woken(where: str) -> tuple[int, str]:
    """Exit code and output of a process that stops itself, and is woken when the fence has long run out."""
    with subprocess.Popen([sys.executable, "-c", STOPS, where], stdout=subprocess.PIPE, text=True) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            # The kernel ends it by itself; waiting for that is waiting for its end.
            timer_has_run_out = signal.sigtimedwait([], 0.5) is None
            assert timer_has_run_out
            os.kill(process.pid, signal.SIGCONT)
            _, status = os.waitpid(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.stdout is not None
        return process.returncode, process.stdout.read()


def test_a_process_that_was_stopped_at_the_fence_is_ended() -> None:
    """It does not come back to send under a lease that is another's by now."""
    assert Fence().holds
    assert stopped_and_woken("inside") == (-signal.SIGKILL, "")


def test_a_process_that_was_stopped_elsewhere_goes_on() -> None:
    """Where a check follows anyway, a standstill costs nothing."""
    assert stopped_and_woken("outside") == (0, "done\n")
