"""What the blocks of the pages run in: the demonstration as a reader starts it, and payments in every state."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery

from tests.eventually import eventually_sync
from tests.manual.blocks import ROOT

BIN = Path(sys.executable).parent
# The pay system and handler of the pages, which pays here too, and one that is unknown.
PAYS, UNKNOWN, HANDLER = 31, 99, "my_handler"
HELD = "globex"


@dataclass
class World:
    """Processes, how to reach them, and the next invoice that nobody has asked for."""

    directory: Path
    environ: Mapping[str, str]
    tls: Mapping[str, str]  # an emulator for clients that speak https alone: its address and certificate
    invoice: int = 70_000

    def run(self, *words: str) -> str:
        """One command of ours; its stdout."""
        command = [str(BIN / "b24pay"), *words]
        done = subprocess.run(
            command, env=self.environ, cwd=self.directory, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 3), done.stderr
        return done.stdout

    def a_payment(self, state: str) -> str:
        """A new payment in this state; its id."""
        self.invoice += 1
        name = f"example-{self.invoice}"
        portal, system = (HELD if state == "queued" else "acme"), (UNKNOWN if state == "failed" else PAYS)
        if state == "in_doubt":
            rule = {
                "kind": "504_html",
                "place": "after",
                "invoice": str(self.invoice),
                "portal": self.environ["EMULATOR"],
            }
            ask(self.environ["EMULATOR"], "faults", rule)
        if state == "queued":
            self.run("portal", "hold", HELD, "--because", "an example")
        fields = {"portal": portal, "invoice_id": self.invoice, "pay_system_id": system}
        url = self.environ["REDIS_URL"]
        Celery(broker=url, backend=url, set_as_current=False).send_task(
            "tasks.pay_invoice", kwargs=fields, queue="payments", task_id=name
        )
        # A lost answer makes the lane pause, each time longer, and the next payment waits for that.
        eventually_sync(lambda: self.state_of(name) == state, within_s=150)
        return name

    def state_of(self, name: str) -> str | None:
        """Where a payment stands; None while nobody knows it."""
        done = subprocess.run(
            [str(BIN / "b24pay"), "status", name, "--json"],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        return str(json.loads(lines[0]).get("status")) if lines else None

    def forget_tokens(self) -> None:
        """Revoke what pages have made: they like the same names."""
        for line in self.run("token", "list", "--json").splitlines():
            token = json.loads(line)
            if token["name"] != "demo" and not token["revoked_at"]:
                self.run("token", "revoke", token["id"])

    def callback(self) -> str:
        """The id of a callback that was sent."""
        found = json.loads(self.run("callback", "list", "--state", "delivered", "--json").splitlines()[0])
        return str(found["id"])


@contextmanager
def a_world(directory: Path) -> Iterator[World]:
    """Start everything as the quickstart says, and end it with Ctrl-C."""
    settings = directory / "demo.env"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("B24PAY_")}
    environ = {**clean, "PATH": f"{BIN}{os.pathsep}{clean['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(directory)}
    with (directory / "demo.log").open("w") as log, _secured(directory, environ) as tls:
        command = [str(BIN / "b24pay"), "demo", "--settings", str(settings)]
        demo = subprocess.Popen(command, cwd=directory, env=environ, stdout=log, stderr=log, start_new_session=True)
        try:
            eventually_sync(lambda: settings.is_file() and "EMULATOR" in settings.read_text(), within_s=90)
            world = World(directory, {**environ, **_told(settings.read_text())}, tls)
            _furnish(world)
            yield world
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(30)


def _told(text: str) -> dict[str, str]:
    words = (shlex.split(line)[1] for line in text.splitlines())
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _furnish(world: World) -> None:
    """Pay systems that the pages name, messages that nobody can use, and an end that was told."""
    _add_systems(world.environ["EMULATOR"], world.environ["EMULATOR"])
    address = next(line for line in (world.directory / "demo.log").read_text().splitlines() if '"callback"' in line)
    told_at = re.search(r'"callback": "([^"]+)"', address)
    assert told_at
    world.run("pay", "5900", "--portal", "acme", "--pay-system", str(PAYS), "--callback", told_at[1], "--wait")
    eventually_sync(lambda: "Callback payment.paid" in (world.directory / "demo.log").read_text(), within_s=30)
    app = Celery(broker=world.environ["REDIS_URL"], set_as_current=False)
    for _ in range(6):
        app.send_task("somebody.elses", queue="payments")
    eventually_sync(lambda: len(world.run("parked", "--json").splitlines()) >= 6, within_s=30)


@contextmanager
def _secured(directory: Path, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """An emulator with a certificate, for the SDK that knows no http."""
    ready = directory / "tls.json"
    command = [sys.executable, "-m", "emulator", "--listen", "127.0.0.1:0", "--tls", "127.0.0.1:0"]
    with (directory / "tls.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready)], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    try:
        eventually_sync(ready.exists)
        said = json.loads(ready.read_text())
        [plain], [secured] = said["listen"], said["tls"]
        _add_systems(plain, secured)
        yield {"address": secured, "ca_file": said["ca_file"]}
    finally:
        process.terminate()
        process.wait()


def _add_systems(emulator: str, portal: str) -> None:
    """Let a portal have the pay system and the handler that the pages name."""
    systems = ask(emulator, f"settings?portal={portal}", method="GET")["settings"]["pay_systems"]
    more = {
        "id": PAYS,
        "kind": "rest",
        "action_file": HANDLER,
        "name": "Card",
        "registry": "CRM_INVOICE",
        "active": True,
    }
    ask(emulator, f"settings?portal={portal}", {"pay_systems": [*systems, more], "rest_handlers": [HANDLER]}, "PATCH")


def ask(emulator: str, path: str, body: object = None, method: str = "POST") -> Any:
    """Ask emulated portals about themselves."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{emulator}/_emulator/{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.loads(reply.read())
