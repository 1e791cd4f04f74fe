"""A Redis server that speaks TLS, and the certificates of its world: good, expired, of another host, of another CA."""

import datetime
import os
import shutil
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.canaries import REDIS_PASSWORD
from tests.deploy.redis_roles import free_port
from tests.sinks import GuardedServer

_DAY = datetime.timedelta(days=1)


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


class Authority:
    """A certificate authority of one's own."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = self._builder(self._name, self._key, 1).issuer_name(self._name)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, host: str = "127.0.0.1", *, days: int = 1) -> tuple[Path, Path]:
        """A certificate and its key for a host; a negative number of days has passed."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternative: x509.GeneralName = x509.DNSName(host)
        if host[0].isdigit():
            alternative = x509.IPAddress(ip_address(host))
        built = self._builder(subject, key, days).issuer_name(self._name)
        built = built.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        certificate, private = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        certificate.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 9 * _DAY)
            .not_valid_after(now + days * _DAY)
        )


class TlsServer(GuardedServer):
    """Over TLS alone (and by its socket, for the test); `url` is what programs get."""

    def __init__(self, program: Path, authority: Authority, pair: tuple[Path, Path], *, clients: bool = True) -> None:
        self.port = free_port()
        super().__init__(program=program)
        self.authority = authority
        self.query = f"ssl_ca_certs={authority.file}"
        self.options |= {
            "tls-port": str(self.port),
            "bind": "127.0.0.1",
            "tls-cert-file": str(pair[0]),
            "tls-key-file": str(pair[1]),
            "tls-ca-cert-file": str(authority.file),
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
