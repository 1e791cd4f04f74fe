"""One request as a portal understands it: path, credentials, parameters, commands."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from emulator.php import Params, Value, as_array, collect, parse_str, to_int, to_text

# What the server takes out of the parameters before a method sees them.
_RESERVED = ("auth", "access_token", "auth_connector", "aplogin", "ap", "state", "start")
_SECRETS = ("auth", "access_token", "ap", "refresh_token", "client_secret")
LIST = "crm.invoice.list"
_RECORD_KEYS = ("INVOICE_ID", "PAYMENT_ID", "ID")


@dataclass(slots=True)
class Incoming:
    """A request as it came off the wire."""

    authority: str
    path: str
    query: str
    http_method: str = "POST"
    content_type: str = ""
    body: bytes = b""
    fields: Sequence[tuple[str, str]] | None = None  # of a multipart form
    bearer: str | None = None
    request_id: str = ""
    ip: str = "127.0.0.1"
    secure: bool = False
    gone: Callable[[], bool] = field(default=lambda: False)


@dataclass(slots=True)
class Command:
    """One method call, alone or inside a batch."""

    key: str
    method: str
    params: Params = field(default_factory=dict)
    is_text: bool = True


def record_of(params: Params) -> str:
    """The invoice or payment id among a method's parameters, as sent."""
    for name, value in params.items():
        if name.upper() in _RECORD_KEYS:
            return to_text(value)
    return ""


def _filtered_ids(params: Params) -> list[int]:
    """The ids in a list's filter (`ID`, `=ID`, `@ID`)."""
    wanted = as_array(lookup(params, "filter")) or {}
    found: list[int] = []
    for name, value in wanted.items():
        if name.lstrip("=@").upper() == "ID":
            array = as_array(value)
            found += [to_int(item) for item in (array.values() if array is not None else [value])]
    return found


@dataclass(slots=True)
class Call:
    """A request after reading: the method, who calls, and what with."""

    method: str
    params: Params
    start: Value = None
    xml: bool = False
    webhook: tuple[str, str] | None = None
    token: str | None = None
    carriers: tuple[str, ...] = ()  # where secrets came in: path, header, body, url
    commands: list[Command] = field(default_factory=list)

    @property
    def is_batch(self) -> bool:
        """Whether it carries commands."""
        return self.method == "batch"

    def asked(self) -> tuple[int, ...]:
        """The ids that lists of invoices were asked for, singly or in a batch."""
        lists = [c.params for c in self.commands if c.method == LIST] if self.is_batch else []
        if self.method == LIST:
            lists.append(self.params)
        return tuple(number for params in lists for number in _filtered_ids(params))

    def summary(self) -> tuple[tuple[str, str, str], ...]:
        """The commands as (key, method, record id as sent); a single call has the key ""."""
        if self.is_batch:
            return tuple((item.key, item.method, record_of(item.params)) for item in self.commands)
        return (("", self.method, record_of(self.params)),)


def read_call(incoming: Incoming) -> Call | None:
    """Understand a request under /rest; None when no URL template fits."""
    parts = [unquote(part) for part in incoming.path.removeprefix("/rest/").split("/")]
    if parts[-1] == "" and len(parts) > 1:
        parts.pop()
    if len(parts) not in (1, 3) or not all(parts):
        return None
    method, xml = _transport(parts[-1])
    params = read_params(incoming)
    token = incoming.bearer or _first_text(params, "auth", "access_token")
    webhook = (parts[0], parts[1]) if len(parts) == 3 else _webhook_of(params)
    call = Call(method, params, params.get("start"), xml, webhook, None if webhook else token)
    call.carriers = _carriers(incoming, params, in_path=len(parts) == 3)
    for name in _RESERVED:
        params.pop(name, None)
    if call.is_batch:
        call.commands = read_commands(params)
    return call


def _carriers(incoming: Incoming, params: Params, *, in_path: bool) -> tuple[str, ...]:
    found = ["path"] if in_path else []
    if incoming.bearer:
        found.append("header")
    if any(params.get(name) for name in _SECRETS):
        # Rare enough to read the two apart only now.
        found += secret_places(incoming, _SECRETS)
    return tuple(found)


def secret_places(incoming: Incoming, names: Sequence[str]) -> list[str]:
    """Which of body and URL carry a filled parameter of one of these names."""
    body = _body_params(incoming) if incoming.http_method == "POST" else {}
    places = {"body": body, "url": parse_str(incoming.query)}
    return [place for place, params in places.items() if any(params.get(name) for name in names)]


def _transport(name: str) -> tuple[str, bool]:
    lowered = name.lower()
    stem, dot, suffix = lowered.rpartition(".")
    return (stem, suffix == "xml") if dot and suffix in ("json", "xml") else (lowered, False)


def _first_text(params: Params, *names: str) -> str | None:
    return next((to_text(params[name]) for name in names if params.get(name)), None)


def _webhook_of(params: Params) -> tuple[str, str] | None:
    if params.get("aplogin") and params.get("ap"):
        return to_text(params["aplogin"]), to_text(params["ap"])
    return None


def read_params(incoming: Incoming) -> Params:
    """Merge the query string with the body; the body wins."""
    params = parse_str(incoming.query) if incoming.query else {}
    if incoming.http_method == "POST":
        params.update(_body_params(incoming))
    return params


def _body_params(incoming: Incoming) -> Params:
    if incoming.fields is not None:
        return collect(incoming.fields)
    if not incoming.body:
        return {}
    if incoming.content_type.partition(";")[0].strip() != "application/json":
        return parse_str(incoming.body.decode("utf-8", "replace"))
    try:
        return as_array(json.loads(incoming.body)) or {}
    except ValueError:
        # The portal says nothing about bad JSON: the method just finds no parameters.
        return {}


def lookup(params: Params, name: str) -> Value:
    """A top-level parameter in any case."""
    if name in params:
        return params[name]
    return next((value for key, value in params.items() if key.lower() == name), None)


def read_commands(params: Params) -> list[Command]:
    """The `cmd` array of a batch in order; entries that are no strings are kept as such."""
    return [_command(key, item) for key, item in (as_array(lookup(params, "cmd")) or {}).items()]


def _command(key: str, item: Value) -> Command:
    if not isinstance(item, str):
        return Command(key, "", is_text=False)
    path, _, query = item.partition("#")[0].partition("?")
    return Command(key, path.lower(), parse_str(query))
