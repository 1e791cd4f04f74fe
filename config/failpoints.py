"""Named places where a test may break, freeze or kill a process; nothing happens there unless they are armed.

`B24PAY_FAILPOINTS=lane.claimed,call.sent@/path/to/socket` arms two of them. At each the process connects to the socket,
sends one JSON line, `{"point": "call.sent", "pid": 17, "about": [41, 42]}`, and stands still, event loop and all, until
the other side answers with a line: `raise` raises `FailpointError`, anything else lets it go on. Killing, freezing, or
taking Redis away meanwhile is the test's business. Where nobody listens the process just goes on.

`docs/crash_matrix.md` lists the points and what has been done to a worker at each.
"""

import json
import os
import socket
from collections.abc import Iterable
from typing import Final

VARIABLE: Final = "B24PAY_FAILPOINTS"


class FailpointError(Exception):
    """What a test asked a failpoint to raise."""


def _read(value: str) -> tuple[frozenset[str], str]:
    points, _, path = value.partition("@")
    return frozenset(point for point in points.split(",") if point), path


# Read once: a process that was started without them never looks again.
_POINTS, _PATH = _read(os.environ.get(VARIABLE, ""))


def armed(point: str) -> bool:
    """Whether a test wants to hear of this point."""
    return point in _POINTS


def _hit(point: str, about: Iterable[object] = ()) -> None:
    """Tell the test and wait for its answer; `about` are payments, invoice numbers or portal keys."""
    if point not in _POINTS:
        return
    names = [getattr(each, "invoice_id", each) for each in about]
    line = json.dumps({"point": point, "pid": os.getpid(), "about": names}) + "\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as test:
            test.connect(_PATH)
            test.sendall(line.encode())
            answer = test.makefile().readline()
    except OSError:
        return
    if answer.strip() == "raise":
        raise FailpointError(point)


def _inert(_point: str, _about: Iterable[object] = ()) -> None:
    """What a failpoint is outside of tests."""


failpoint: Final = _hit if _POINTS else _inert
