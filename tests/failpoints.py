"""The other side of `config.failpoints`: hear of each point a process stands at, and decide how it goes on."""

import json
import queue
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from config.failpoints import VARIABLE


@dataclass(frozen=True, slots=True)
class Stop:
    """A process that stands at a failpoint."""

    point: str
    pid: int
    about: list[object]
    _connection: socket.socket = field(repr=False)

    def go_on(self) -> None:
        """Let the process go on."""
        self._answer(b"go\n")

    def fail(self) -> None:
        """Let the failpoint raise."""
        self._answer(b"raise\n")

    def _answer(self, line: bytes) -> None:
        with suppress(OSError):  # the process may be dead by now
            self._connection.sendall(line)
        self._connection.close()


class Listener:
    """Listens for processes that were started with `environment`; after its end they just go on."""

    def __init__(self, *points: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="b24pay-fp-")
        path = Path(self._directory.name) / "s"
        self.environment = {VARIABLE: f"{','.join(points)}@{path}", "B24PAY_ALLOW_INSECURE_PORTALS": "1"}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(128)
        self._stops: queue.SimpleQueue[Stop] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for stop in self._left():
            stop.go_on()
        self._directory.cleanup()

    def next(self, within_s: float = 30.0) -> Stop:
        """The next process that stands at a point; raises TimeoutError."""
        try:
            return self._stops.get(timeout=within_s)
        except queue.Empty:
            raise TimeoutError(f"no failpoint was reached within {within_s:g} s") from None

    def _left(self) -> Iterator[Stop]:
        with suppress(queue.Empty):
            while True:
                yield self._stops.get_nowait()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            line = connection.makefile().readline()
            if line:
                told = json.loads(line)
                self._stops.put(Stop(told["point"], told["pid"], told["about"], connection))
