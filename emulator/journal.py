"""What happened on the farm: a bounded journal of requests and changes, and exact counters."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

JOURNAL_SIZE = 20_000


@dataclass(slots=True)
class RequestEntry:
    """One request; `status` stays None while it is being worked on."""

    seq: int
    t: float
    portal: str
    ip: str
    method: str
    user: int | None = None
    # Each command as (key, method, invoice or payment id as sent); a single call has the key "".
    commands: tuple[tuple[str, str, str], ...] = ()
    asked: tuple[int, ...] = ()  # invoice ids that the filters of lists named
    status: int | None = None
    code: str = ""
    executed: int = 0
    charged_s: float = 0.0  # operating time it added to the counters
    duration_s: float = 0.0
    depth: int = 1
    client_gone: bool = False
    fault: str = ""
    request_id: str = ""
    carriers: tuple[str, ...] = ()  # where secrets came in: path (webhook), header, body, url
    pair: int | None = None  # number of the issue of the access token


@dataclass(slots=True)
class TokenEntry:
    """One request to the token server; `status` stays None while it is being worked on."""

    seq: int
    t: float
    portal: str  # whose chain the refresh token belongs to, "" when to none
    authority: str  # the address that was asked
    ip: str
    http_method: str
    grant: str = ""
    client_id: str = ""
    carriers: tuple[str, ...] = ()  # where tokens and secrets came in: header, body, url
    pair: int | None = None  # number of the issue whose refresh token was sent
    issued: int | None = None  # number of the issue that was answered
    status: int | None = None
    code: str = ""
    duration_s: float = 0.0
    client_gone: bool = False
    fault: str = ""
    request_id: str = ""


@dataclass(slots=True)
class ChangeEntry:
    """One change of state: who, what, and whether a call or a person did it."""

    seq: int
    t: float
    portal: str
    what: str
    record: int | None = None
    user: int | None = None
    request: int | None = None
    detail: str = ""


Entry = RequestEntry | TokenEntry | ChangeEntry
_KINDS = {RequestEntry: "request", TokenEntry: "token", ChangeEntry: "change"}


@dataclass(slots=True)
class Counters:
    """Exact numbers, however small the journal is."""

    requests: int = 0
    rate_limited: int = 0  # 503 QUERY_LIMIT_EXCEEDED
    operating_blocked: int = 0  # 429, or OPERATION_TIME_LIMIT of a command
    batches: int = 0
    commands: int = 0  # commands of batches that were executed
    executed: int = 0  # method bodies run, singly or in a batch
    redirected: int = 0
    client_gone: int = 0
    faults: int = 0
    tokens_in_url: int = 0  # access tokens (or other secrets) in the address; webhooks are not meant
    max_depth: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)

    def note(self, entry: RequestEntry) -> None:
        """Count a finished request."""
        self.max_depth = max(self.max_depth, entry.depth)
        self.client_gone += entry.client_gone
        self.tokens_in_url += "url" in entry.carriers
        self.statuses[entry.status or 0] += 1
        if entry.code:
            self.codes[entry.code] += 1


class Journal:
    """The last entries in order; the sequence number never restarts."""

    def __init__(self, size: int = JOURNAL_SIZE) -> None:
        self._requests: deque[RequestEntry] = deque(maxlen=size)
        self._tokens: deque[TokenEntry] = deque(maxlen=size)
        self._changes: deque[ChangeEntry] = deque(maxlen=size)
        self.last_seq = 0

    def next_seq(self) -> int:
        """A number for the next entry, shared by requests and changes."""
        self.last_seq += 1
        return self.last_seq

    def open(self, entry: RequestEntry) -> None:
        """Remember a request that has just come in; the entry is filled in place."""
        self._requests.append(entry)

    def open_token(self, entry: TokenEntry) -> None:
        """Remember a request to the token server; the entry is filled in place."""
        self._tokens.append(entry)

    def change(
        self,
        t: float,
        portal: str,
        what: str,
        *,
        record: int | None = None,
        user: int | None = None,
        request: int | None = None,
        detail: str = "",
    ) -> None:
        """Remember a change of state."""
        self._changes.append(ChangeEntry(self.next_seq(), t, portal, what, record, user, request, detail))

    def requests(self, *, since: int = 0, portal: str | None = None) -> Iterator[RequestEntry]:
        """Requests after a sequence number, oldest first."""
        return (e for e in self._requests if e.seq > since and portal in (None, e.portal))

    def tokens(self, *, since: int = 0, portal: str | None = None) -> Iterator[TokenEntry]:
        """Requests to the token server after a sequence number, oldest first."""
        return (e for e in self._tokens if e.seq > since and portal in (None, e.portal))

    def changes(self, *, since: int = 0, portal: str | None = None) -> Iterator[ChangeEntry]:
        """Changes after a sequence number, oldest first."""
        return (e for e in self._changes if e.seq > since and portal in (None, e.portal))

    def clear(self) -> None:
        """Forget the entries; numbers go on."""
        self._requests.clear()
        self._tokens.clear()
        self._changes.clear()


def entry_json(entry: Entry) -> dict[str, object]:
    """An entry as JSON, `kind` telling the sorts apart."""
    return {"kind": _KINDS[type(entry)], **asdict(entry)}
