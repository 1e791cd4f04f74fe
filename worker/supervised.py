"""The supervisor's child: Celery's command line, which ends with its parent, however that ends."""

import os
import signal
import sys
import threading
import time

from worker.supervisor import STOP_WITHIN_S, log


def main(arguments: list[str]) -> None:
    """Run `celery` with the arguments after the first, which is the pipe that closes when the parent ends."""
    # Ctrl-C and a closed terminal reach the whole process group. The parent answers them with one SIGTERM; Celery's own
    # answer to a SIGHUP would be to start itself again under another command line.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    pipe = int(arguments[0])
    threading.Thread(target=_end_with_parent, args=(pipe,), name="parent", daemon=True).start()
    sys.argv = ["celery", *arguments[1:]]
    from celery.__main__ import main as celery

    celery()


def _end_with_parent(pipe: int) -> None:
    """Nobody writes into the pipe, so reading returns when its other end is gone."""
    os.read(pipe, 1)
    log.error("supervisor.gone", stop_within_s=STOP_WITHIN_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_WITHIN_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
