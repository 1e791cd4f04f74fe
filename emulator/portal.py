"""One portal: its settings and everything that has happened to it so far."""

import asyncio
from dataclasses import dataclass, field
from hashlib import sha256

from emulator.buckets import LeakyBucket, Operating
from emulator.clock import Clock, iso, midnight
from emulator.journal import Counters
from emulator.oauth import TokenCounters, TokenServer
from emulator.records import RecordStore
from emulator.settings import PortalSettings


@dataclass(slots=True)
class Portal:
    """The state of one authority; made on first contact."""

    name: str
    settings: PortalSettings
    clock: Clock
    server: TokenServer
    invoices: RecordStore = field(init=False)
    payments: RecordStore = field(init=False)
    counters: Counters = field(default_factory=Counters)
    operating: Operating = field(init=False)
    tokens: TokenCounters = field(default_factory=TokenCounters)
    # What the authorization server has said of a token (a code, or None for a good one), and how long it is believed.
    token_cache: dict[str, tuple[float, str | None]] = field(default_factory=dict)
    in_flight: int = 0
    member_id: str = field(init=False)
    _buckets: dict[str, LeakyBucket] = field(default_factory=dict)
    _queues: dict[str, asyncio.Lock] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.member_id = sha256(self.name.encode()).hexdigest()[:32]
        self.operating = Operating(self.settings.operating_window_s)
        self.invoices = RecordStore(self.settings.invoices)
        self.payments = RecordStore(self.settings.payments)

    def configure(self, settings: PortalSettings) -> None:
        """Change the rules and keep what has happened; only a new window of operating time starts empty."""
        if self.settings.rate is not None:
            # Until now they drained at the old rate.
            for bucket in self._buckets.values():
                bucket.drain(self.clock.now(), self.settings.rate.per_s)
        if settings.operating_window_s != self.settings.operating_window_s:
            self.operating = Operating(settings.operating_window_s)
        if settings.oauth.failure != self.settings.oauth.failure:
            # As if the portal had just asked anew: whoever sets a mood means it at once.
            self.token_cache.clear()
        self.settings = settings
        self.invoices.settings = settings.invoices
        self.payments.settings = settings.payments

    def now(self) -> float:
        """The portal's own clock."""
        return self.clock.now() + self.settings.clock_skew_s

    def date(self, at: float | None) -> str:
        """An instant as REST shows it; empty when there is none."""
        return "" if at is None else iso(at, self.settings.utc_offset_s)

    def today(self) -> float:
        """The start of the portal's day."""
        return midnight(self.now(), self.settings.utc_offset_s)

    def takes(self, ip: str) -> bool:
        """Count a request of an address; False when it is one too many."""
        rate = self.settings.rate
        if rate is None:
            return True
        bucket = self._buckets.get(ip)
        if bucket is None:
            bucket = self._buckets[ip] = LeakyBucket(at=self.clock.now())
        return bucket.take(self.clock.now(), burst=rate.burst, rate=rate.per_s, count_rejected=rate.count_rejected)

    def queue(self, credential: str) -> asyncio.Lock:
        """The lock that lets one credential's requests run one after another."""
        return self._queues.setdefault(credential, asyncio.Lock())
