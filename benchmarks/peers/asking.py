"""How a peer's process is asked: it says that it is ready, reads one line of JSON, works, and says what happened."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any


def serve(work: Callable[[dict[str, Any]], object]) -> None:
    """One piece of work after another; an exception is an outcome too."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print; what we say is read by a program
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        began, cpu, error = time.time(), time.process_time(), ""
        try:
            work(json.loads(line))
        except Exception as failure:  # noqa: BLE001 - whatever a client of somebody else's raises
            error = f"{type(failure).__name__}: {failure}"[:200]
        told = {"began": began, "ended": time.time(), "cpu_s": time.process_time() - cpu, "error": error}
        answers.write(json.dumps(told) + "\n")
        answers.flush()
