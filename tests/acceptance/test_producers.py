"""Producers without our code (docs/producers): each is run as its reader would, against real processes."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.canaries import REDIS_PASSWORD
from tests.house import ROOT, EmulatedPortal, House

PRODUCERS = ROOT / "docs" / "producers"
ID = "0f2a4a10-6f5c-4b9e-8c27-2f3c7d0e9b11"
GOLDEN = (PRODUCERS / "message.json").read_text().rstrip("\n")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="pay.mjs is not run: there is no node here")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="pay.sh is not run: there is no curl here")

# What stock Celery sends besides: Python's spelling of the arguments, who sent it, and what its other features use.
LEFT_OUT_HEADERS = {
    *("argsrepr", "kwargsrepr", "origin", "shadow", "group_index", "timelimit", "ignore_result"),
    *("replaced_task_nesting", "stamped_headers", "stamps"),
}
LEFT_OUT_PROPERTIES = {"reply_to"}

SCRIPTS = {"node": ["node", str(PRODUCERS / "pay.mjs")], "python": [sys.executable, str(PRODUCERS / "pay.py")]}


def run(house: House, command: list[str], **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run one producer with nothing of ours but addresses in its environment."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        command, env={**kept, **environ}, cwd=house.directory, capture_output=True, text=True, timeout=60, check=False
    )


def pay(house: House, language: str, portal: EmulatedPortal, *words: str) -> "subprocess.CompletedProcess[str]":
    """One run of a producer that knows Redis."""
    url = house.server.url if language == "python" else house.server.url.partition("?")[0]
    return run(house, [*SCRIPTS[language], portal.key, *words], REDIS_URL=url)


def stock_message() -> dict[str, Any]:
    """What stock Celery of this version puts into the queue for the golden payment."""
    app = Celery(broker="memory://", backend="cache+memory://", set_as_current=False)
    payment = {"portal": "acme", "invoice_id": 2, "pay_system_id": 31}
    app.send_task("tasks.pay_invoice", kwargs=payment, queue="payments", task_id=ID)
    with app.connection_for_read() as connection, connection.channel() as channel:
        message: dict[str, Any] = channel._get("payments")
        return message


def test_the_golden_message_is_stock_celerys_without_what_nobody_here_needs() -> None:
    """Every field that it has says the same; what it leaves out is on the list."""
    ours, theirs = json.loads(GOLDEN), stock_message()
    assert json.loads(base64.b64decode(ours["body"])) == json.loads(base64.b64decode(theirs["body"]))
    headers = {name: value for name, value in theirs["headers"].items() if name not in LEFT_OUT_HEADERS}
    assert ours["headers"] == {**headers, "lang": "js"}
    properties = {name: value for name, value in theirs["properties"].items() if name not in LEFT_OUT_PROPERTIES}
    assert ours["properties"] == {**properties, "delivery_tag": ID}
    rest = {"body", "headers", "properties"}
    assert {name: ours[name] for name in ours if name not in rest} == {
        name: theirs[name] for name in theirs if name not in rest
    }


@needs_node
def test_node_pushes_the_golden_bytes(house: House, celery: Celery) -> None:
    """What stands in the list is byte for byte the fixture."""
    script = (
        f"import {{ Redis, message }} from {json.dumps(str(PRODUCERS / 'pay.mjs'))};"
        "const redis = new Redis(process.env.REDIS_URL);"
        f"const payment = {{ portal: 'acme', invoice_id: 2, pay_system_id: 31 }};"
        f"console.log(await redis.ask('LPUSH', 'golden', message('{ID}', payment))); redis.close();"
    )
    url = house.server.url.partition("?")[0]
    done = run(house, ["node", "--input-type=module", "-e", script], REDIS_URL=url)
    assert done.returncode == 0, done.stderr
    with celery.connection_for_read() as connection:
        [pushed] = connection.default_channel.client.lrange("golden", 0, -1)
    assert pushed.decode() == GOLDEN


@pytest.mark.parametrize("language", [pytest.param("node", marks=needs_node), "python"])
def test_a_message_is_paid_and_its_result_read(house: House, language: str) -> None:
    """The id at once, the result at the end; given its own id again, nothing is paid twice."""
    portal = house.add_portal()
    own = f"order-{language}-{portal.key}"
    for _ in range(2):
        done = pay(house, language, portal, "2", "1", own)
        assert done.returncode == 0, done.stderr
        shown, result = done.stdout.splitlines()
        assert shown == own
        assert (json.loads(result)["id"], json.loads(result)["status"]) == (own, "paid")
    assert portal.tally.pays == 1


@pytest.mark.parametrize("language", [pytest.param("node", marks=needs_node), "python"])
def test_a_refusal_is_told_with_the_portals_code(house: House, language: str) -> None:
    """Exit code 1, and why."""
    portal = house.add_portal()
    done = pay(house, language, portal, "2", "99")
    assert (done.returncode, "ERROR_CHECK_FAILURE" in done.stdout) == (1, True), done.stderr
    assert REDIS_PASSWORD not in done.stdout + done.stderr


@needs_node
def test_node_reads_replies_in_pieces_and_by_tcp() -> None:
    """A network delivers as it likes; a password is sent first, then the database is chosen."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=_answer_in_pieces, args=(server, heard), daemon=True)
        answering.start()
        script = (
            f"import {{ Redis }} from {json.dumps(str(PRODUCERS / 'pay.mjs'))};"
            "const redis = new Redis(process.env.REDIS_URL);"
            "console.log(await redis.ask('GET', 'x')); redis.close();"
        )
        url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{server.getsockname()[1]}/3"
        done = subprocess.run(
            ["node", "--input-type=module", "-e", script],
            env={**os.environ, "REDIS_URL": url}, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        answering.join(10)
    assert done.stdout == "grüße\n", done.stderr
    assert b"".join(heard).count(b"AUTH") == 1
    assert b"SELECT\r\n$1\r\n3\r\n" in b"".join(heard)


def _answer_in_pieces(server: socket.socket, heard: list[bytes]) -> None:
    peer, _ = server.accept()
    with peer:
        for word, pieces in (
            ("SELECT", (b"+O", b"K\r", b"\n+OK\r\n")),
            ("GET", (b"$7\r\ngr\xc3", b"\xbc\xc3\x9fe\r", b"\n")),
        ):
            while word.encode() not in b"".join(heard):
                heard.append(peer.recv(4096))
            for piece in pieces:
                peer.sendall(piece)
                threading.Event().wait(0.02)


class Door(BaseHTTPRequestHandler):
    """Answers as contract.md §5 says; the first request finds Redis away."""

    def do_POST(self) -> None:
        """Accept a payment, the second time."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.headers["Authorization"], self.headers["Idempotency-Key"], json.loads(body)))  # type: ignore[attr-defined]
        away = len(self.server.heard) == 1  # type: ignore[attr-defined]
        self._answer(503, {"status": 503}, {"Retry-After": "0"}) if away else self._answer(202, {"id": "p-1"})

    def do_GET(self) -> None:
        """The payment's document: queued, then as the server was told to end it."""
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        ended = self.server.ends if len(self.server.asked) > 1 else "queued"  # type: ignore[attr-defined]
        self._answer(200, {"id": "p-1", "status": ended})

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, document: dict[str, object], headers: dict[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@needs_curl
@pytest.mark.parametrize(("ends", "code"), [("paid", 0), ("failed", 1), ("cancelled", 1)])
def test_the_shell_asks_again_under_one_key_and_shows_no_token(tmp_path: Path, ends: str, code: int) -> None:
    """A 503 is repeated with the same key; the token is in no command line; the end decides the exit code."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        server.heard, server.asked, server.ends = [], [], ends  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # Stands before the real curl and writes its command line down.
        spy = tmp_path / "curl"
        spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/argv\nexec {shutil.which("curl")} "$@"\n')
        spy.chmod(0o755)
        environ = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PAY_URL": f"http://127.0.0.1:{server.server_port}",
            "PAY_TOKEN": "t0ken-of-a-producer",
        }
        done = subprocess.run(
            [str(PRODUCERS / "pay.sh"), "acme", "2", "31", "order-7"],
            env=environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        server.shutdown()
    assert done.returncode == code, done.stderr
    shown, document = done.stdout.splitlines()
    assert (shown, json.loads(document)["status"]) == ("p-1", ends)
    asked = ("Bearer t0ken-of-a-producer", "order-7", {"portal": "acme", "invoice_id": 2, "pay_system_id": 31})
    assert server.heard == [asked, asked]  # type: ignore[attr-defined]
    assert set(server.asked) == {"/v1/payments/p-1"}  # type: ignore[attr-defined]
    assert "t0ken" not in (tmp_path / "argv").read_text()


@needs_curl
def test_the_shell_says_why_a_request_was_refused() -> None:
    """The problem document goes to stderr; nothing is taken for an id."""

    class Refusing(Door):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(422, {"detail": "portal is not a portal's key"})

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environ = {"PATH": os.environ["PATH"], "PAY_URL": f"http://127.0.0.1:{server.server_port}", "PAY_TOKEN": "t"}
        command = [str(PRODUCERS / "pay.sh"), "https://acme", "2", "31"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        server.shutdown()
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not a portal's key" in done.stderr
