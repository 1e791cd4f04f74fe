"""A Redis server that speaks TLS."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.canaries import REDIS_PASSWORD
from tests.deploy.redis_roles import free_port
from tests.sinks import GuardedServer


def tls_program() -> Path:
    """A server that was built with TLS (Debian's redis-server is); without one the test is skipped."""
    told = os.environ.get("B24_TEST_REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")
    if told is None:
        pytest.skip("TLS did not run: no redis-server on PATH (Debian's has TLS, the embedded one does not)")
    wrong = [told, "--port", "0", "--tls-port", "1", "--tls-cert-file", "/nonexistent"]
    said = subprocess.run(wrong, capture_output=True, text=True, timeout=10, check=False)
    if "Failed to configure TLS" not in said.stdout + said.stderr:
        pytest.skip(f"TLS did not run: {told} was built without it")
    return Path(told)


class TlsServer(GuardedServer):
    """Over TLS alone (and by its socket, for the test); `url` is what programs get."""

    def __init__(self, program: Path, authority: Authority, pair: tuple[Path, Path], *, clients: bool = True) -> None:
        self.port = free_port()
        super().__init__(program=program)
        self.authority = authority
        self.query = f"ssl_ca_certs={authority.pem}"
        self.options |= {
            "tls-port": str(self.port),
            "bind": "127.0.0.1",
            "tls-cert-file": str(pair[0]),
            "tls-key-file": str(pair[1]),
            "tls-ca-cert-file": str(authority.pem),
            "tls-auth-clients": "yes" if clients else "no",
        }
        self._ready = False

    @property
    def url(self) -> str:
        """By the socket until it is there, then as programs reach it."""
        if self._ready:
            return self.reached_with(self.query)
        return f"redis+socket://:{REDIS_PASSWORD}@{self.socket}?virtual_host=0"

    def start(self) -> None:
        """Return when it answers."""
        self._ready = False
        super().start()
        self._ready = True

    def reached_with(self, query: str, host: str = "127.0.0.1") -> str:
        """The address with other options."""
        return f"rediss://:{REDIS_PASSWORD}@{host}:{self.port}/0?{query}"
