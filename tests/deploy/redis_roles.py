"""A server with the users of deploy/redis/users.acl, and what each of them was seen to do there."""

import hashlib
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from cli.embedded import EmbeddedServer
from config.connections import redis_client
from tests.canaries import REDIS_PASSWORD, SEARCH
from tests.eventually import eventually_sync

ROOT = Path(__file__).parents[2]
USERS = ROOT / "deploy" / "redis" / "users.acl"
PRODUCER, WORKER, WEB, OPERATOR = ROLES = "b24pay-producer", "b24pay-worker", "b24pay-web", "b24pay-operator"
ADMIN = "admin"
_OF_ALL = ("check_schema", "open", "find")
_OF_PEOPLE = (
    *_OF_ALL, "add_lane", "cancel", "decide", "failures", "find_callbacks", "find_invoice", "hold", "lane_names",
    "look", "overview", "page", "page_callbacks", "portals", "read_again", "resend_callbacks", "resume", "retry",
    "walk",
)  # fmt: skip
# The ledger's steps that a role runs; a test sees that the list is whole.
STEPS = {
    PRODUCER: ("open", "find"),
    WORKER: (
        *_OF_ALL, "backlog", "claim", "delivered", "doubts", "hold", "look", "recover", "release", "renew", "resume",
        "settle", "sweep", "sweep_callbacks", "take", "take_callbacks", "take_probes", "tally", "told", "undelivered",
    ),
    WEB: (*_OF_PEOPLE, "count_ended", "find_beside", "find_invoices", "find_named", "held_lanes", "minutes"),
    OPERATOR: (*_OF_PEOPLE, "count_callbacks", "remove_lane"),
}  # fmt: skip
_NOBODYS = "resetpass"  # stands where operators put a password's hash
_END = "the end of the watch"


def users(text: str | None = None) -> str:
    """The file as an operator fills it in: every user with a password."""
    known = f"#{hashlib.sha256(REDIS_PASSWORD.encode()).hexdigest()}"
    return (text or USERS.read_text()).replace(_NOBODYS, known)


def rights(text: str | None = None) -> dict[str, list[str]]:
    """User -> its rules, as they stand in the file."""
    lines = (text or USERS.read_text()).splitlines()
    return {name: rules for _, name, *rules in (line.split() for line in lines if line)}


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class RoleServer(EmbeddedServer):
    """Over TCP, as operators run it; `url` is the administrator's, `url_of` a role's."""

    def __init__(self, text: str | None = None, *, program: Path | None = None) -> None:
        self.port = free_port()
        super().__init__(program=program, options={"port": str(self.port), "bind": "127.0.0.1"})
        self.directory.mkdir(mode=0o700, exist_ok=True)
        file = self.directory / "users.acl"
        file.write_text(users(text))
        self.options["aclfile"] = str(file)

    @property
    def url(self) -> str:
        """The administrator's address: by the socket, so that what tests ask is told from what roles do."""
        return f"redis+socket://{ADMIN}:{REDIS_PASSWORD}@{self.socket}?virtual_host=0"

    def url_of(self, role: str) -> str:
        """The address of one role."""
        return f"redis://{role}:{REDIS_PASSWORD}@127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """Search what is left for secrets, then end."""
        if self.directory.exists():
            SEARCH.directory(self.directory)
        super().stop()


@contextmanager
def a_role_server(text: str | None = None) -> Iterator[RoleServer]:
    """A running server."""
    server = RoleServer(text)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def refusals(server: EmbeddedServer) -> list[str]:
    """What the server refused since it was last asked, each as the line that would mend it."""
    with redis_client(server.url, decode_responses=True) as admin:
        entries = admin.acl_log()
        admin.acl_log_reset()
    what = {"command": "+{}", "key": "a pattern for the key {}", "channel": "a pattern for the channel {}"}
    return sorted({f"{row['username']} needs {what.get(row['reason'], '{}').format(row['object'])}" for row in entries})


class Watch:
    """Everything that reaches a server over TCP, by the user whose connection it came over."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self.commands: dict[str, set[str]] = defaultdict(set)  # user -> `get`, `client|setname`, ...
        self.scripts: dict[str, set[str]] = defaultdict(set)  # user -> names of the steps it ran
        self._users: dict[str, str] = {}
        self._admin = redis_client(server.url, decode_responses=True)
        self._ends = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Return when nothing is missed any more."""
        self._thread.start()
        self._begun.wait(10)

    def stop(self) -> None:
        """End; what was seen is complete."""
        self._admin.echo(_END)
        self._ends.wait(30)
        self._admin.close()

    def _run(self) -> None:
        with (
            redis_client(self._server.url, decode_responses=True, socket_timeout_s=60) as own,
            own.monitor() as monitor,
        ):
            self._begun.set()
            caller = ""
            for row in monitor.listen():
                caller = self._take(row, caller)
                if _END in row["command"]:
                    break
        self._ends.set()

    def _take(self, row: dict[str, Any], caller: str) -> str:
        words = row["command"].split(" ")
        if row["client_type"] == "unix":
            caller = ADMIN
        elif row["client_type"] != "lua":
            # A script's own commands follow the line of whoever ran it.
            caller = self._user(f"{row['client_address']}:{row['client_port']}")
        self.commands[caller].add(self._name(words))
        if words[0] == "EVALSHA":
            self.scripts[caller].add(words[1])
        return caller

    def _user(self, address: str) -> str:
        if address not in self._users:
            # A connection is the default user's until its first command, which names its own, has been carried out.
            known = {row["addr"]: row["user"] for row in self._admin.client_list() if row["user"] != "default"}
            self._users |= known
        return self._users.get(address, f"somebody at {address}")

    def _name(self, words: list[str]) -> str:
        name = words[0].lower()
        grouped = {"client", "script", "config", "acl", "object", "memory", "function", "command"}
        return f"{name}|{words[1].lower()}" if name in grouped and len(words) > 1 else name


def until(condition: Callable[[], Any]) -> Any:
    """Wait for what other processes do."""
    return eventually_sync(condition, within_s=25)


def refused(client: "redis.Redis", *command: str) -> bool:
    """Whether the server does not let this client do it."""
    try:
        client.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return True
    except redis.exceptions.ResponseError as error:
        return "NOPERM" in str(error) or "ACL failure" in str(error)
    return False


_CALLS = re.compile(r"redis\.p?call\(\s*['\"]([A-Za-z]+)['\"]")


def reached(step: str) -> set[str]:
    """Every command that a step of the ledger may give, whichever way it takes: its own, and those of what it calls.

    A step that is refused in the middle has written its first half, so a role needs all of these or none.
    """
    lua = ROOT / "ledger" / "redis" / "lua"
    shared = (lua / "prelude.lua").read_text() + "\n" + (lua / "guard.lua").read_text()
    functions = {chunk.split("(")[0].split()[-1]: chunk for chunk in re.split(r"\n(?=local function )", shared)[1:]}
    found, waiting = {"time"}, [(lua / f"{step}.lua").read_text()]
    while waiting:
        text = waiting.pop()
        found |= {call.lower() for call in _CALLS.findall(text)}
        called = [name for name in functions if re.search(rf"\b{name}\(", text)]
        waiting += [functions.pop(name) for name in called]
    return found


def written_in(text: str) -> set[str]:
    """The commands that any other script names."""
    return {call.lower() for call in _CALLS.findall(text)}
