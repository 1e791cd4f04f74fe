"""The small HTTP server of a worker: `/metrics`, `/healthz`, `/readyz`, from threads of its own.

It must answer while the loops that it speaks of stand still, so it runs on neither of them. It shows counters and no
names of portals, takes nothing but GET, and reads nothing of a request but its first lines.
"""

import json
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from metrics.pulse import Pulse

log = structlog.get_logger(__name__)

_CALLER_WITHIN_S: Final = 5.0  # for a caller that is slow, or says nothing
_CALLERS: Final = 16  # at once; more are turned away
_AGAIN_S: Final = 5.0  # a port that is taken may be free later


class Listener:
    """Listens from `start` to `stop`; a port that is taken is tried again, because paying matters more."""

    def __init__(
        self, address: tuple[str, int], registry: CollectorRegistry, pulse: Pulse, *, again_s: float = _AGAIN_S
    ) -> None:
        self._address = address
        self._again_s = again_s
        self._registry = registry
        self._pulse = pulse
        self._stopped = threading.Event()
        self._server: _Server | None = None
        self.listens_at: str | None = None  # host:port, once it does

    def start(self) -> None:
        """Listen from now on, or as soon as the port is free."""
        if not self._open():
            threading.Thread(target=self._open_later, name="metrics-port", daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        self._stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _open(self) -> bool:
        try:
            server = _Server(self._address, self._registry, self._pulse)
        except OSError as error:
            listen, cause = f"{self._address[0]}:{self._address[1]}", error.strerror or type(error).__name__
            log.error("metrics.unlistenable", listen=listen, error=cause, retry_s=self._again_s)  # noqa: TRY400 - the text says all
            return False
        self._server = server
        host, port = server.server_address[:2]
        self.listens_at = f"{host if isinstance(host, str) else host.decode()}:{port}"
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        log.info("metrics.listening", listen=self.listens_at)
        return True

    def _open_later(self) -> None:
        while not self._stopped.wait(self._again_s):
            if self._open():
                return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, pulse: Pulse) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.registry = registry
        self.pulse = pulse
        self._places = threading.BoundedSemaphore(_CALLERS)
        super().__init__(address, _Caller)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each caller, as long as there are not too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one caller and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that has gone is nobody's trouble."""


class _Caller(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CALLER_WITHIN_S
    server_version, sys_version = "b24pay", ""

    def do_GET(self) -> None:
        """Answer."""
        answers: dict[str, Callable[[], None]] = {
            "/metrics": self._metrics,
            "/healthz": lambda: self._tell(HTTPStatus.OK, {"status": "alive"}),
            "/readyz": self._readiness,
        }
        answer = answers.get(self.path.partition("?")[0])
        if answer is None:
            self._tell(HTTPStatus.NOT_FOUND, {"status": "not found"})
        else:
            answer()

    def _metrics(self) -> None:
        self._send(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.server.registry))

    def _readiness(self) -> None:
        hindrance = self.server.pulse.hindrance()
        if hindrance is None:
            self._tell(HTTPStatus.OK, {"status": "ready"})
        else:
            self._tell(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "not ready", "cause": hindrance})

    def _tell(self, status: HTTPStatus, told: dict[str, str]) -> None:
        self._send(status, "application/json", json.dumps(told).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """A probe every few seconds is no news."""
