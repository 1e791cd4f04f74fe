"""Faults on request: which call they strike, where in its life, and what the client sees instead."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from emulator.call import Call
from emulator.php import Value
from emulator.reading import Reader, SettingsError

# The name by which rules strike requests to the token server.
TOKEN_REQUEST = "oauth.token"  # noqa: S105 -- a name, no secret


class Place(StrEnum):
    """Where in a request's life a fault strikes."""

    BEFORE = "before"  # nothing is executed
    AFTER = "after"  # everything is executed, the reply is spoilt
    AFTER_K = "after_k"  # the first k commands of a batch are executed, then the process dies
    DURING = "during"  # the reply is spoilt at once, the work is done afterwards
    COMMAND = "command"  # one command (or single call) is refused before it runs
    COMMAND_AFTER = "command_after"  # one command is executed and then reported as refused


class Kind(StrEnum):
    """What the client sees."""

    HTML_500 = "500_html"
    JSON_500 = "500_json"
    HTML_502 = "502_html"
    HTML_503 = "503_html"
    HTML_504 = "504_html"
    HTML_403 = "403_html"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    CUT_BODY = "cut_body"
    WRONG_TYPE = "wrong_type"
    LIST = "list"
    RESULT_LIST = "result_list"
    NUMERIC_CODE = "numeric_code"
    RESET = "reset"
    CLOSE = "close"
    HANG = "hang"
    DRIP = "drip"
    HUGE = "huge"
    WRONG_ENCODING = "wrong_encoding"
    SQL_ERROR = "sql_error"
    ERROR = "error"
    REPLY = "reply"
    REFUSE = "refuse"


@dataclass(slots=True)
class Fault:
    """One rule; a request is struck by the first rule that fits and fires."""

    kind: Kind
    place: Place = Place.BEFORE
    portal: str = "*"
    method: str = "*"  # of the request (`batch` for a batch)
    command: str = ""  # a method somewhere in the request, singly or in a batch
    invoice: str = ""  # an invoice or payment id somewhere in the request
    nth: int | None = None  # only the nth request that fits, from 1
    skip: int = 0  # let so many pass first
    probability: float = 1.0
    count: int | None = None  # fire so often at most
    k: int = 0
    seconds: float = 0.0
    delay_s: float = 0.0  # before the reply
    late_s: float = 0.0  # before the work, with `during`
    status: int | None = None
    body: str = ""
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    size: int = 64 * 1024 * 1024
    code: str | int = "ERROR_CORE"
    text: str = "Fault on request"
    id: int = 0
    seen: int = 0
    fired: int = 0

    @property
    def strikes_commands(self) -> bool:
        """Whether it refuses commands and leaves the request alone."""
        return self.place in (Place.COMMAND, Place.COMMAND_AFTER)


def read_fault(value: object, where: str = "fault") -> Fault:
    """Check one rule given as JSON."""
    reader = Reader(value, where)
    kind = reader.choice("kind", Kind)
    default = Place.COMMAND if kind is Kind.REFUSE else Place.BEFORE
    fault = Fault(
        kind=kind,
        place=reader.choice("place", Place, default),
        portal=reader.text("portal", "*").lower(),
        method=reader.text("method", "*").lower(),
        command=reader.text("command", "").lower(),
        invoice=str(reader.raw("invoice", "")),
        nth=reader.optional_whole("nth", low=1),
        skip=reader.whole("skip", 0),
        probability=reader.number("probability", 1.0, high=1.0),
        count=reader.optional_whole("count", low=1),
        k=reader.whole("k", 0),
        seconds=reader.number("seconds", 30.0 if kind is Kind.HANG else 0.0),
        delay_s=reader.number("delay_s", 0.0),
        late_s=reader.number("late_s", 0.0),
        status=None if reader.raw("status") is None else reader.whole("status", 200, low=100, high=599),
        body=reader.text("body", ""),
        content_type=reader.text("content_type", "text/html; charset=utf-8"),
        headers={name: str(item) for name, _, item in reader.members("headers") or []},
        size=reader.whole("size", 64 * 1024 * 1024),
        code=_code(reader),
        text=reader.text("text", "Fault on request"),
    )
    reader.finish()
    if (kind is Kind.REFUSE) != fault.strikes_commands:
        raise SettingsError(f"{where}: kind 'refuse' and the places 'command', 'command_after' go only together")
    return fault


def _code(reader: Reader) -> str | int:
    code = reader.raw("code", "ERROR_CORE")
    if isinstance(code, bool) or not isinstance(code, str | int):
        raise reader.complain("code", "a string or a whole number")
    return code


class FaultRules:
    """The rules in force, asked once per request and once per command."""

    def __init__(self, seed: int = 0) -> None:
        self.rules: list[Fault] = []
        self._chance = random.Random(seed)
        self._last_id = 0
        self.for_commands = False

    def reseed(self, seed: int) -> None:
        """Make the coming chances repeatable."""
        self._chance = random.Random(seed)

    def add(self, fault: Fault) -> int:
        """Put a rule behind the others; returns its id."""
        self._last_id += 1
        fault.id = self._last_id
        self.rules.append(fault)
        self.for_commands = self.for_commands or fault.strikes_commands
        return fault.id

    def remove(self, ids: Sequence[int] | None = None) -> int:
        """Drop some rules, or all; returns how many went."""
        before = len(self.rules)
        self.rules = [] if ids is None else [rule for rule in self.rules if rule.id not in ids]
        self.for_commands = any(rule.strikes_commands for rule in self.rules)
        return before - len(self.rules)

    def pick(self, portal: str, call: Call) -> Fault | None:
        """The rule that strikes this request, if any."""
        for rule in self.rules:
            if not rule.strikes_commands and _fits(rule, portal, call) and self._fires(rule):
                return rule
        return None

    def pick_command(self, portal: str, method: str, record: str, place: Place) -> Fault | None:
        """The rule that refuses this command, if any."""
        for rule in self.rules:
            fits = (
                rule.place is place
                and fnmatchcase(portal, rule.portal)
                and fnmatchcase(method, rule.command or rule.method)
                and rule.invoice in ("", record)
            )
            if fits and self._fires(rule):
                return rule
        return None

    def _fires(self, rule: Fault) -> bool:
        rule.seen += 1
        if rule.seen <= rule.skip or (rule.count is not None and rule.fired >= rule.count):
            return False
        if rule.nth is not None and rule.seen - rule.skip != rule.nth:
            return False
        if rule.probability < 1.0 and self._chance.random() >= rule.probability:
            return False
        rule.fired += 1
        return True


def _fits(rule: Fault, portal: str, call: Call) -> bool:
    if call.method == TOKEN_REQUEST and not rule.method.startswith("oauth."):
        return False  # the token server is another machine: what strikes portals does not strike it
    if not fnmatchcase(portal, rule.portal) or not fnmatchcase(call.method, rule.method):
        return False
    if rule.command and not any(fnmatchcase(method, rule.command) for method in _methods(call)):
        return False
    return not rule.invoice or rule.invoice in _records(call)


def _methods(call: Call) -> list[str]:
    return [command.method for command in call.commands] if call.is_batch else [call.method]


def _records(call: Call) -> list[str]:
    return [record for _, _, record in call.summary()]


def fault_json(fault: Fault) -> dict[str, Value]:
    """A rule with its counts, for the admin."""
    return {
        "id": fault.id,
        "kind": fault.kind,
        "place": fault.place,
        "portal": fault.portal,
        "method": fault.method,
        "command": fault.command,
        "invoice": fault.invoice,
        "seen": fault.seen,
        "fired": fault.fired,
        "count": fault.count,
    }
