"""A house with everything in it, and visitors who look at its dashboard through Chromium.

Playwright keeps its thread's event loop to itself, so whatever is done to the house meanwhile is done in another one.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from access.roles import Role
from config.connections import async_redis_client
from ledger.payment import Handle, NewPayment, PortalKey
from tasks.payment import new_ids
from tests.bearers import a_token
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, a_house, open_ledger, wait_for
from tests.integration.web.conftest import Street, Web

T = TypeVar("T")
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
HOSTILE: Final = "<script>alert(1)</script><img src=x onerror=alert(2)>"
REFUSED: Final = "PAY_SYSTEM"  # what the emulator says of pay system 99


def chromium_path() -> str | None:
    """The machine's Chromium."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Theatre:
    """The house, its web process and its tokens."""

    house: House
    web: Web
    tokens: Mapping[str, str]
    portals: Sequence[EmulatedPortal] = ()
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    invoices: int = 0

    def aside(self, work: Callable[[], T]) -> T:
        """Do something to the house while a browser looks."""
        return self.pool.submit(work).result()

    def pay(self, portal: str, count: int, pay_system: int = 1) -> list[str]:
        """Hand payments in; their ids."""
        first, self.invoices = self.invoices + 1, self.invoices + count
        asks = [
            NewPayment(id=Handle(name), portal=PortalKey(portal), invoice_id=first + n, pay_system_id=pay_system)
            for n, name in enumerate(new_ids(count))
        ]

        async def opened() -> None:
            async with open_ledger(self.house.server.url) as (ledger, _):
                await ledger.open(asks)

        self.aside(lambda: wait_for(opened()))
        return [str(ask.id) for ask in asks]

    def ledger(self, work: Callable[[Any], Any]) -> Any:
        """Ask the ledger, or change it."""

        async def done() -> Any:
            async with open_ledger(self.house.server.url) as (ledger, _):
                return await work(ledger)

        return self.aside(lambda: wait_for(done()))

    def settled(self, portal: str, state: str, count: int) -> None:
        """Wait until so many payments of a portal are in a state."""

        def there() -> bool:
            [lane] = self.ledger(lambda ledger: ledger.lanes([portal]))
            counts = {each.value: number for each, number in lane.counts.items()}
            return counts[state] >= count

        eventually_sync(there)


async def _tokens(url: str) -> dict[str, str]:
    async with async_redis_client(url, max_connections=2, decode_responses=False) as redis:
        made = {
            "ops": await a_token(redis, "ops", Role.OPERATOR),
            "looker": await a_token(redis, "looker", Role.VIEWER),
        }
    return {name: issued.text for name, issued in made.items()}


@contextmanager
def a_theatre(reason: str = HOSTILE) -> Iterator[Theatre]:
    """Payments in every state: paid, failed, queued behind a hold with a reason that may be hostile."""
    with a_house() as house:
        street = Street(house, [])
        theatre = None
        try:
            tokens = wait_for(_tokens(house.server.url))
            portals = [house.add_portal() for _ in range(3)]
            theatre = Theatre(house, street.start("web"), tokens, portals)
            house.start_worker()
            one, two, held = (portal.key for portal in portals)
            theatre.ledger(lambda ledger: ledger.hold(held, "OPERATOR", reason, remedy="Look into the portal."))
            theatre.pay(one, 30)
            theatre.pay(two, 20)
            theatre.pay(two, 4, pay_system=99)
            theatre.pay(held, 12)
            theatre.settled(one, "paid", 30)
            theatre.settled(two, "failed", 4)
            theatre.settled(two, "paid", 20)
            yield theatre
        finally:
            if theatre is not None:
                theatre.pool.shutdown()
            street.close()


@dataclass
class Visitor:
    """Somebody's browser window; what the browser complains about is remembered."""

    page: Any
    theatre: Theatre
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # parts of complaints that a test provokes

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._asked)

    def open(self, path: str) -> None:
        """Go to a page."""
        self.page.goto(f"{self.theatre.web.address}{path}")

    def sign_in(self, name: str = "ops") -> "Visitor":
        """As a person does."""
        self.open("/sign-in")
        self.page.get_by_label("Token").fill(self.theatre.tokens[name])
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.theatre.web.address}/")
        return self

    def is_live(self) -> None:
        """Wait until the page hears of changes."""
        self.page.wait_for_selector("#pulse[data-state=live]")

    def close(self) -> None:
        """Nothing was refused by the policy, nothing failed, nothing was asked of anybody else."""
        self.page.context.close()
        unexpected = [each for each in self.complaints if not any(part in each for part in self.expected)]
        assert unexpected == []

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((f"{self.theatre.web.address}/", "data:")):
            self.complaints.append(f"asked elsewhere: {request.url}")
