"""The service of a rehearsal: a compose project of its own, asked through the engine and through its HTTP door."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PORTAL = "emulator:8024"
# Runs in the emulator's container: nothing of it is published.
_ASK_EMULATOR = """
import sys, urllib.request
address, body = "http://127.0.0.1:8024/_emulator/" + sys.argv[2], sys.stdin.buffer.read() or None
asked = urllib.request.Request(address, body, method=sys.argv[1])
sys.stdout.buffer.write(urllib.request.urlopen(asked, timeout=30).read())
"""


class Failed(Exception):  # noqa: N818 - names what happened
    """The rehearsal showed something that must not be; the text says what."""


class Engine:
    """A Docker engine and the compose command for it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = {**os.environ, **environ}
        self._compose = self._find_compose()

    def _find_compose(self) -> list[str]:
        for words in (["docker", "compose"], ["docker-compose"]):
            if shutil.which(words[0]) and self._ends_well([*words, "version"]):
                return words
        raise Failed("there is no `docker compose` and no `docker-compose` on PATH")

    def _ends_well(self, command: list[str]) -> bool:
        return subprocess.run(command, env=self.environ, capture_output=True, check=False).returncode == 0

    def run(self, *command: str, given: bytes = b"", within_s: float = 480) -> str:
        """The stdout of a command; raises Failed with its last words where it does not end well."""
        # A session of its own: Ctrl-C is for the rehearsal, which then cleans up, and not for the cleaning.
        done = subprocess.run(
            command, input=given, env=self.environ, cwd=ROOT, capture_output=True, check=False,
            timeout=within_s, start_new_session=True,
        )  # fmt: skip
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()[-1500:]
            raise Failed(f"`{' '.join(command[:8])}` ended with {done.returncode}: {said}")
        return done.stdout.decode(errors="replace")

    def docker(self, *words: str, **options: Any) -> str:
        """`docker …`; its stdout."""
        return self.run("docker", *words, **options)

    def compose(self, *words: str, **options: Any) -> str:
        """`docker compose --profile emulator …` in the rehearsal's project; its stdout."""
        return self.run(*self._compose, "--profile", "emulator", *words, **options)

    def up(self, *words: str, within_s: float = 300) -> None:
        """`up -d --wait …`, asked again while a container is called ill: on a machine that is busy that passes."""
        end = time.monotonic() + within_s
        while True:
            try:
                self.compose("up", "-d", "--wait", *words)
            except Failed as error:
                if "unhealthy" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(5)
            else:
                return

    def script(self, name: str, *words: str) -> None:
        """Run one of the scripts beside this file, as an operator does."""
        self.environ["COMPOSE"] = " ".join([*self._compose, "--profile", "emulator"])
        self.run(str(HERE / name), *words)

    def ids(self, service: str) -> list[str]:
        """The running containers of a service."""
        return self.compose("ps", "-q", service).split()

    def inspect(self, name: str, form: str) -> str:
        """What `docker inspect --format` says of a container or image."""
        return self.docker("inspect", "--format", form, name).strip()

    def left_behind(self, project: str) -> dict[str, list[str]]:
        """What still has the project's label."""
        label = f"label=com.docker.compose.project={project}"
        found = {
            "containers": self.docker("ps", "-aq", "--filter", label).split(),
            "networks": self.docker("network", "ls", "-q", "--filter", label).split(),
            "volumes": self.docker("volume", "ls", "-q", "--filter", label).split(),
        }
        return {kind: ids for kind, ids in found.items() if ids}


class Door:
    """The HTTP door of the web container, found anew whenever the container is another one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._base = ""
        self.token = ""

    def find(self) -> None:
        """Look up the port that the engine chose."""
        self._base = f"http://{self._engine.compose('port', 'web', '8080').strip()}"

    def look_again(self) -> None:
        """The same where there may be no container at the moment."""
        with suppress(Failed):
            self.find()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request: status and JSON. Status 0 where nobody answered."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._base}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answered:
                return answered.status, json.loads(answered.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")
        except (OSError, ValueError):
            return 0, None

    def payments(self, portal: str, only: str = "") -> Iterator[dict[str, Any]]:
        """Every payment of a portal, as the ledger has it; `only` adds to the query."""
        cursor = ""
        while True:
            status, page = self.ask("GET", f"/v1/payments?portal={portal}&limit=500{only}{cursor}")
            if status != 200:
                raise Failed(f"the list of payments was answered with {status}: {page}")
            yield from page["payments"]
            if page["next_cursor"] is None:
                return
            cursor = f"&cursor={page['next_cursor']}"


class Emulator:
    """The portal's own truth, asked inside its container."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One admin request (emulator/README.md)."""
        given = b"" if body is None else json.dumps(body).encode()
        words = ("exec", "-T", "emulator", "python", "-c", _ASK_EMULATOR, method, path)
        return json.loads(self._engine.compose(*words, given=given))

    def effects(self) -> tuple[dict[str, int], dict[int, int]]:
        """Totals, and how often each invoice was paid."""
        found = self.ask("GET", f"effects?portal={PORTAL}")
        return found["totals"], {int(number): times for number, times in found["counts"].items()}


def until(true: Callable[[], bool], within_s: float, what: str, pause_s: float = 0.2) -> float:
    """Wait for something; the seconds that it took. Raises Failed when the time is over."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > within_s:
            raise Failed(f"within {within_s:.0f} s it did not happen that {what}")
        time.sleep(pause_s)
    return time.monotonic() - began


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing of each file."""


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The files of a directory at an address of loopback, as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
