"""Redis over TLS: payments end to end with a CA of one's own and client certificates, and words for what goes wrong."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cli.main import run
from config.connections import redis_client
from tests.authority import DAY, Authority, of_host
from tests.canaries import SECRET_KEY
from tests.deploy.redis_roles import free_port, until
from tests.deploy.redis_tls import TlsServer, tls_program
from tests.house import QUICK, ROOT, House, _start_emulator

pytestmark = pytest.mark.whole


@dataclass(frozen=True)
class World:
    """A directory with two authorities, and servers in it."""

    directory: Path
    ours: Authority
    theirs: Authority
    program: Path
    servers: list[TlsServer]

    def server(
        self, name: str = "server", host: str = "127.0.0.1", *, days: int = 1, clients: bool = False
    ) -> TlsServer:
        """Start one whose certificate is for that host and so many days."""
        server = TlsServer(
            self.program, self.ours, self.ours.issue([of_host(host)], (-9 * DAY, days * DAY)), clients=clients
        )
        self.servers.append(server)
        server.start()
        return server


@pytest.fixture
def world() -> Iterator[World]:
    """Two authorities; servers end with the test."""
    program = tls_program()
    with TemporaryDirectory(prefix="b24pay-tls-") as name:
        directory = Path(name)
        world = World(directory, Authority(directory, "our-ca"), Authority(directory, "their-ca"), program, [])
        yield world
        for server in world.servers:
            server.stop()


def test_payments_over_tls_with_client_certificates(world: World):
    """Ledger, broker and result backend take CA, certificate and key from one URL; a producer reads its result."""
    server = world.server(clients=True)
    certificate, key = world.ours.issue()
    server.query += f"&ssl_certfile={certificate}&ssl_keyfile={key}"
    emulator, ready = _start_emulator(world.directory)
    house = House(server, ready, world.directory, QUICK)
    try:
        worker, portal, celery = house.start_worker(), house.add_portal(), house.celery()
        fields = {"portal": portal.key, "pay_system_id": 1}
        asked = [{**fields, "invoice_id": n} for n in range(1, 51)]
        sent = [celery.send_task("tasks.pay_invoice", kwargs=each, queue="payments") for each in asked]
        assert all(each.get(timeout=60)["status"] == "paid" for each in sent)
        text = f"enqueue(portal='{portal.key}', invoice_id=90, pay_system_id=1).result(60)['status']"
        words = [sys.executable, "-c", f"from tasks import enqueue; print({text})"]
        done = subprocess.run(words, env=house.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.stdout == "paid\n", done.stderr
        assert (portal.tally.effects, portal.tally.doubles) == (51, 0)
        server.restart()
        for n in range(60, 70):
            celery.send_task("tasks.pay_invoice", kwargs={**fields, "invoice_id": n}, queue="payments")
        until(lambda: portal.counts()["paid"] == 61)
        assert worker.never_died()
    finally:
        house.close()
        emulator.terminate()
        emulator.wait()


# What is wrong -> the options of the URL, doctor's exit code, and the word that names what mends it.
WRONG = {
    "no CA is named": ("", 78, "ssl_ca_certs"),
    "another CA": ("ssl_ca_certs={their}", 78, "ssl_ca_certs"),
    "another host": ("ssl_ca_certs={our}", 78, "subjectAltName"),
    "expired": ("ssl_ca_certs={our}", 78, "expired"),
    # The server hangs up without a word, so that for a client it may as well be down.
    "no client certificate": ("ssl_ca_certs={our}", 69, "ssl_certfile"),
    # The alert that says why may be overtaken by the end of the connection.
    "their client certificate": ("ssl_ca_certs={our}&ssl_certfile={crt}&ssl_keyfile={key}", None, "client certificate"),
    "no such file": ("ssl_ca_certs={our}.gone", 78, "ssl_ca_certs"),
    "no TLS there": ("ssl_ca_certs={our}", 69, "tls-port"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_with_what_mends_it(
    world: World, what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """`b24pay doctor` and a producer say the same, where the server says anything at all."""
    server = world.server(
        host="elsewhere.example" if what == "another host" else "127.0.0.1",
        days=-1 if what == "expired" else 1,
        clients="client certificate" in what,
    )
    certificate, key = world.theirs.issue()
    query, code, mends = WRONG[what]
    files = {"our": world.ours.pem, "their": world.theirs.pem, "crt": certificate, "key": key}
    url = server.reached_with(query.format(**files))
    if what == "no TLS there":
        url = _plain(server, url)
    monkeypatch.setenv("REDIS_URL", url)
    monkeypatch.setenv("B24PAY_SECRET_KEYS", SECRET_KEY)
    assert run(("doctor",)) in ((69, 78) if code is None else (code,))
    said = " ".join("".join(capsys.readouterr()).split())
    assert mends in said, said
    done = subprocess.run(
        [sys.executable, "-c", "from tasks import enqueue; enqueue(portal='a', invoice_id=1, pay_system_id=1)"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "LedgerUnavailable" in done.stderr
    assert mends in done.stderr or code != 78, done.stderr


def _plain(server: TlsServer, url: str) -> str:
    """The port of a server without TLS, spelled as if it had it."""
    port = free_port()
    server._ready = False
    with redis_client(server.url, decode_responses=True) as client:
        client.config_set("port", str(port))
    server._ready = True
    return url.replace(str(server.port), str(port))
