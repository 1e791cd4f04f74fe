"""The ledger's Lua scripts, and the map of the keys they own. One file is one atomic step.

All keys begin with `PREFIX`, whose hash tag keeps them on one server of a cluster:

    schema              string  version of this map
    fence               string  the latest fence number, of all lanes
    epoch               hash    id (random name of this ledger's birth), server (run id and replication id), number (of
                                the epoch), since, until (end of its guard), quiet (an "unpaid" does not count before),
                                prev (id of a ledger that was lost); times in ms
    lanes               set     portals
    sweep               string  where the sweep through the lanes goes on
    due                 zset    portal -> when its lane wants to be driven next (ms); the end of the lease while leased
    probes              zset    portal of a held lane -> when somebody looks at it again (ms)
    out                 zset    handle -> when its result became final (ms), until it is delivered
    wake                channel portal that became due
    l:<portal>          hash    owner, fence, epoch (in which it was taken), until, claim, seq, pause, held, held_text,
                                held_remedy, held_at; probe_of (the held_at that a probe may end), probe_wait (ms),
                                eased (when a probe resumed it, ms), trial (resumed, not yet answered), tally (where
                                it has come to), tallied (when it was done last, ms); counts per state
                                (q s d p f c) and r, how many of the queued ones must be read first
    q:<portal>          list    payments to send, oldest first; may hold ids that were cancelled since
    x:<portal>          list    as q:, of suspects: two of their drivers died, so they are claimed alone
    s:<portal>          zset    payments in sending -> order of their claim
    d:<portal>          zset    payments to read back -> when (ms)
    paid:<portal>       list    newest first
    cancelled:<portal>  list    newest first
    failed:<portal>     zset    -> order of their failing (a set, because a retry takes one out of the middle)
    codes:<portal>      set     codes of failed payments that have a list of their own, 50 at the most
    coded:<portal>:<c>  zset    failed payments with a code -> as in failed:; those of all other codes with none
    uncounted           set     portals whose lists by code may be incomplete: `tally` puts them right
    minutes:<n>         hash    of the n-th half hour since 1970: a p f d (accepted, paid, failed, put in doubt) and a
                                minute, 0-29 -> how many payments; expires after two days
    p:<id>              hash    a payment's record (fields: lua/prelude.lua); expires after it is finished
    j:<id>              set     its other names: h<handle>, k<idempotency key>; only where there are some
    h:<handle>          string  j<id> joined, d<id> came after the payment was paid
    k:<key>             string  payment of an idempotency key
    i:<portal>:<n/64>   hash    n%64 -> latest payment of invoice n; o: how many payments of the bucket are open
    t:<owner>           hash    request, lanes: the latest take of an owner, so that it can be repeated
    w:<id>              hash    handle -> host and address (a blank between) that its end is told to; expires with `p:`
    cb-wanted           zset    payment with a `w:` -> when a sweep looks whether it has ended untold (ms)
    cb:<event>          hash    a callback: h handle, o host, u address, e made (ms), s state (q pending, f failed,
                                d delivered), r the row as it ended (JSON), n attempts ever, t those of this round,
                                m the attempts before it was asked for again, l end of the lease, c what came of the
                                latest attempt, x when that was (ms); failed and delivered ones expire
    cb-hosts            zset    host -> when a callback to it is due first (ms)
    cb-due:<host>       zset    pending callback -> when it is due (ms); the end of the lease while leased
    cb-pending          zset    callback -> since when it is (ms)
    cb-failed           zset    the same
    cb-delivered        zset    the same

Retention is expiry by the server: `p:`, its names and its bucket go by themselves, and an index or list entry whose
record is gone counts as absent. A breaking change of a key or a field gets a new schema version and new step files,
because old workers run beside new ones during a deploy.

Each step begins with what the server may do with it when it is out of memory: `allow-oom` finishes or repairs, a step
without it (open, retry, add_lane) is refused before it has written anything (docs/decisions/0018-memory-full.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

PREFIX = "b24pay:{0}:"
SCHEMA = 1

_FOLDER = Path(__file__).parent / "lua"
_PRELUDE = "prelude"
_MARKS = "marks"
_MARKS_PLACE = "-- Here the loader puts marks.lua"
_GUARD = "guard"
_WHOLE = (
    "{shebang}\n{shared}\nlocal function step()\n{step}\nend\nlocal answer = step()\n{end}return cjson.encode(answer)\n"
)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua text and the name the server knows it by."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> "Script":
        """Name a text as the server does."""
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def load_scripts() -> Mapping[str, Script]:
    """Read every step's script by the name of its file: its flags and the prelude in front, its answer put out as JSON.

    One string instead of nested arrays: redis-py reads an array of 50 payments element by element, which was most of
    a worker's time (docs/decisions/0011-step-answers.md).
    """
    return read_scripts(_FOLDER)


def read_scripts(folder: Path) -> Mapping[str, Script]:
    """The steps of one version: its files, with its own prelude, marks and guard."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.lua"))}
    prelude, guard, marks = texts.pop(_PRELUDE), texts.pop(_GUARD), texts.pop(_MARKS, "")
    prelude = prelude.replace(_MARKS_PLACE, marks + _MARKS_PLACE)
    return {name: _whole(prelude, guard, text) for name, text in texts.items()}


def _whole(prelude: str, guard: str, text: str) -> Script:
    shebang, step = text.split("\n", 1)
    shared = prelude + guard if f"{_GUARD}(" in step else prelude
    # What was counted is written behind every step, whichever way it ends: none can forget it.
    end = "write_minutes()\n" if "function write_minutes(" in shared else ""
    return Script.of(_WHOLE.format(shebang=shebang, shared=shared, step=step, end=end))
