"""The byte matrix: the first call of a portal is cut at one byte of its request or its reply, every byte at once."""

import asyncio
import json
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from bitrix24.portal import parse_portal
from bitrix24.registry import PortalRegistry
from chaos.proxy import Direction, Gate, Proxy, running_proxy
from chaos.toxics import Ending, Flow, Toxics
from config.connections import async_redis_client
from emulator import Handle as Emulator
from emulator.journal import RequestEntry
from ledger.payment import Handle, NewPayment, Payment, PortalKey, State
from ledger.redis import RedisLedger
from tests.house import House, a_house, open_ledger
from tests.matrix.books import PAY, READ, blindly_repeated, is_final
from tests.matrix.patience import until

INVOICES: Final = (101, 102, 103)
# Seconds for a call and a lease, longer than for the other tests: hundreds of calls share two cores.
PATIENT: Final = {"B24PAY_HTTP_TOTAL_S": "6", "B24PAY_PORTAL_CUT_S": "1", "B24PAY_LEASE_S": "8"}
AT_ONCE: Final = 100  # portals whose first call may be under way
AT_A_TIME: Final = 50
LOOKED_AT: Final = 300  # results at a time
WITHIN_S: Final = 150.0
# The portal's answer tells times, whose length varies by some bytes.
BEYOND: Final = 12
EDGE: Final = 2 * BEYOND  # bytes near an edge, each of which is cut in every run


@dataclass(frozen=True, slots=True)
class Tear:
    """Where and how a call is cut."""

    direction: Direction
    offset: int
    ending: Ending


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one call with three payments, in bytes."""

    request_head: int
    request: int
    reply_head: int
    reply: int


@dataclass(slots=True)
class Torn:
    """A portal and its three payments."""

    tear: Tear
    key: str
    gate: Gate
    payments: list[NewPayment]
    wrong: list[str] = field(default_factory=list)
    ended: str = ""

    @property
    def was_met(self) -> bool:
        """Whether its first call is over, cut or not."""
        return self.gate.traffic.cuts > 0 or self.gate.traffic.reply_bytes > 0


@dataclass(frozen=True, slots=True)
class Tearing:
    """One run: a house with one worker, and what it showed."""

    sizes: Sizes
    torn: Sequence[Torn]


def every_offset(sizes: Sizes, ending: "EndingOf", stride: int) -> list[Tear]:
    """A cut at every byte of the request and of the reply, from before the first to behind the last; or at some of
    them, and at every byte near the edges of heads and bodies."""
    flows: list[tuple[Direction, int, int]] = [
        ("request", sizes.request_head, sizes.request),
        ("reply", sizes.reply_head, sizes.reply + BEYOND),
    ]
    return [
        Tear(name, offset, ending(offset))
        for name, head, size in flows
        for offset in range(size + 1)
        if offset % stride == 0 or min(offset, abs(offset - head), size - offset) <= EDGE
    ]


class EndingOf:
    """How a cut at an offset ends the connection."""

    def __init__(self, *endings: Ending) -> None:
        self._endings = endings

    def __call__(self, offset: int) -> Ending:
        """In turn, if there are several."""
        return self._endings[offset % len(self._endings)]


def tear(ending: EndingOf, *, stride: int = 1) -> Tearing:
    """Cut calls at every offset, or every so many, and wait until all payments have ended."""
    with a_house(**PATIENT) as house:
        house.start_worker()
        return asyncio.run(_torn(house, ending, stride))


async def _torn(house: House, ending: EndingOf, stride: int) -> Tearing:
    async with _bench(house) as bench:
        sizes = await bench.measure()
        torn = await bench.set_up(every_offset(sizes, ending, stride))
        await bench.pay(torn)
        await bench.judge(torn, sizes)
        return Tearing(sizes, torn)


@dataclass(slots=True)
class Bench:
    """What the tears are made with."""

    house: House
    ledger: RedisLedger
    registry: PortalRegistry
    emulator: Emulator
    proxy: Proxy
    redis: Any
    portals: int = 0

    async def measure(self) -> Sizes:
        """Make one call through a relay that counts."""
        relay = _Relay(self.house.emulator)
        server = await asyncio.start_server(relay.serve, self._next_host(), 0)
        key, authority = "measured", "{}:{}".format(*server.sockets[0].getsockname())
        await self._register(key, authority)
        payments = _payments(key)
        await self.ledger.open(payments)
        await until(lambda: self._are_final([payment.id for payment in payments]), within_s=WITHIN_S)
        server.close()
        return relay.sizes[0]

    async def set_up(self, tears: Sequence[Tear]) -> list[Torn]:
        """A gate and a portal for each."""
        torn = []
        for tear in tears:
            gate = self.proxy.open(self.house.emulator, f"{self._next_host()}:0")
            flow = Flow(cut_after=tear.offset, ending=tear.ending, cuts=1)
            gate.toxics = Toxics(request=flow) if tear.direction == "request" else Toxics(reply=flow)
            key = f"torn-{self.portals}"
            await self._register(key, gate.authority)
            torn.append(Torn(tear, key, gate, _payments(key)))
        return torn

    async def pay(self, torn: Sequence[Torn]) -> None:
        """Enqueue, so that only some first calls are under way at a time, and wait until everything is paid."""
        for start in range(0, len(torn), AT_A_TIME):
            before = torn[:start]
            await until(lambda: _few_wait(before), within_s=WITHIN_S)  # noqa: B023 - awaited before the next
            await self.ledger.open([payment for each in torn[start : start + AT_A_TIME] for payment in each.payments])
        waiting = [payment.id for each in torn for payment in each.payments]
        await until(lambda: self._are_final(waiting), within_s=WITHIN_S)

    async def judge(self, torn: Sequence[Torn], sizes: Sizes) -> None:
        """Compare the ledger, the results and the portals."""
        requests = await self._journal()
        for each in torn:
            rows = await self.ledger.find([payment.id for payment in each.payments])
            heard = requests[each.gate.authority]
            each.ended = _ended(heard)
            each.wrong = [*_wrong_rows(rows, each.ended), *_wrong_ending(each, sizes)]
            each.wrong += [f"invoice {n} was sent again before a read" for n in blindly_repeated(heard)]
        tally = (await self.emulator.effects()).tally
        wanted = len(INVOICES) * (len(torn) + 1)
        found = (tally.effects, tally.paid, tally.doubles, tally.repeats, tally.overlaps)
        if found != (wanted, wanted, 0, 0, 0):
            torn[0].wrong.append(f"effects, paid, doubles, repeats, overlaps are {found} instead of {wanted}, ..., 0")

    async def _are_final(self, waiting: list[Handle]) -> bool:
        """Whether every result is final; those that are leave the list."""
        while waiting:
            some = waiting[:LOOKED_AT]
            stored = await self.redis.mget([f"celery-task-meta-{handle}" for handle in some])
            if not all(is_final(each) for each in stored):
                return False
            del waiting[:LOOKED_AT]
        return True

    async def _register(self, key: str, authority: str) -> None:
        webhook = f"http://{authority}/rest/1/emulator-secret/"
        await self.registry.put(parse_portal(key, {"webhook": webhook}, allow_insecure=True))
        await self.ledger.add_lane(key)

    async def _journal(self) -> Mapping[str, list[RequestEntry]]:
        found: dict[str, list[RequestEntry]] = defaultdict(list)
        since = 0
        while page := await self.emulator.requests(since=since):
            for request in page:
                found[request.portal].append(request)
            since = page[-1].seq
        return found

    def _next_host(self) -> str:
        """Addresses of one length, so that all requests have the same size."""
        self.portals += 1
        high, low = divmod(self.portals, 150)
        return f"127.3.{100 + high}.{100 + low}"


@asynccontextmanager
async def _bench(house: House) -> AsyncIterator[Bench]:
    redis = async_redis_client(house.server.url, max_connections=4, decode_responses=True)
    async with (
        running_proxy() as proxy,
        open_ledger(house.server.url) as (ledger, registry),
        redis,
        Emulator.connect(house.emulator) as emulator,
    ):
        yield Bench(house, ledger, registry, emulator, proxy, redis)


def _payments(key: str) -> list[NewPayment]:
    return [
        NewPayment(id=Handle(str(uuid.uuid4())), portal=PortalKey(key), invoice_id=invoice, pay_system_id=1)
        for invoice in INVOICES
    ]


async def _few_wait(torn: Sequence[Torn]) -> bool:
    return sum(not each.was_met for each in torn) < AT_ONCE


# What the portal heard, in order: P a call that pays, R a read of its own.
ENDED: Final = {"P": "paid as answered", "PR": "read back as paid", "RP": "read back as unpaid, sent again"}


def _ended(heard: Sequence[RequestEntry]) -> str:
    """In one way for all three; on a busy machine they may go again one after the other."""
    return " and ".join(dict.fromkeys(_ending_of(str(invoice), heard) for invoice in INVOICES))


def _ending_of(invoice: str, heard: Sequence[RequestEntry]) -> str:
    pays = [
        request for request in heard if any(method == PAY and row == invoice for _, method, row in request.commands)
    ]
    reads = [request for request in heard if request.method == READ]
    if len(pays) != 1:
        return f"{len(pays)} calls"
    kinds = "P" if not reads else "RP" if reads[0].seq < pays[0].seq else "PR"
    return ENDED[kinds]


def _wrong_rows(rows: Sequence[Payment | None], ended: str) -> list[str]:
    attempts = 2 if ended == ENDED["RP"] else 1
    facts = {(row.state, row.evidence, row.attempts) for row in rows if row is not None}
    told = json.dumps(sorted(map(str, facts)))
    right = len(facts) == 1 and all(state is State.PAID and evidence == "read_back" for state, evidence, _ in facts)
    return [] if right and all(times >= attempts for *_, times in facts) else [f"the ledger says {told}"]


def _wrong_ending(torn: Torn, sizes: Sizes) -> list[str]:
    """A call that did not arrive whole has no effect; one whose answer was torn is proven by a read."""
    cut, met = torn.tear, torn.gate.traffic.cuts > 0
    if cut.direction == "request":
        right = [ENDED["PR"]] if cut.offset == sizes.request else [ENDED["RP"]]
    elif not met:
        right = [ENDED["P"]]  # the answer was shorter than the offset
    elif cut.offset < sizes.reply - BEYOND:
        right = [ENDED["PR"]]
    else:
        right = [ENDED["PR"], ENDED["P"]]  # behind the last byte, or a few before it: answers differ in length
    return [] if torn.ended in right else [f"{torn.ended}, not {' or '.join(right)}"]


class _Relay:
    """Passes calls on and notes their sizes."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.sizes: list[Sizes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One call; then the connection is closed."""
        host, _, port = self._upstream.partition(":")
        request_head, request = await _message(reader)
        answering, asking = await asyncio.open_connection(host, int(port))
        asking.write(request)
        reply_head, reply = await _message(answering)
        self.sizes.append(Sizes(request_head, len(request), reply_head, len(reply)))
        writer.write(reply)
        await writer.drain()
        writer.close()
        asking.close()


async def _message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The size of the head, and the whole message."""
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head), head + await reader.readexactly(int(length.partition(b":")[2]))
