"""A comparison under way in a command: page after page, with the patience that the portal and Redis need."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from cli.session import Session
from config.outages import is_outage, wait_out
from reconciling.cursor import Cursor, written
from reconciling.findings import Counts, Page, Stop
from reconciling.reconciler import Reconciler

if TYPE_CHECKING:
    from bitrix24.client import Client

OUT_OF_PATIENCE: Final = "OUT_OF_PATIENCE"


class Comparison:
    """The pages of one comparison; afterwards how far it came, and why no farther."""

    def __init__(
        self, session: Session, client: "Client", portal: str, *, patience_s: float, note: Callable[[str], None]
    ) -> None:
        self.portal, self.note, self._patience_s = portal, note, patience_s
        self.reconciler = Reconciler(
            session.redis,
            ledger=session.ledger,
            registry=session.registry,
            client=client,
            renewal=session.renewal(client),
        )
        self.cursor: Cursor | None = None  # where it goes on; None at the end
        self.counts = Counts()
        self.stop: Stop | None = None
        self._told = ""

    @property
    def goes_on_with(self) -> str | None:
        """The cursor as it is given to the next command."""
        return written(self.cursor, self.portal) if self.cursor else None

    async def pages(self, cursor: Cursor) -> AsyncIterator[Page]:
        """Every page with something in it; what is to be waited for is, as long as the patience lasts."""
        self.cursor = cursor
        gives_up_at = time.monotonic() + self._patience_s
        while self.cursor is not None:
            page = await self._page(self.cursor, gives_up_at)
            if page.wait_s:
                if time.monotonic() + page.wait_s > gives_up_at:
                    step = "Give the same command again with --cursor, at a quieter time or with more --patience."
                    self.stop = Stop(OUT_OF_PATIENCE, page.reason, step)
                    return
                self._say(f"Waiting: {page.reason}.")
                await asyncio.sleep(page.wait_s)
                continue
            if page.stop is not None:
                self.stop = page.stop
                return
            self.cursor, self.counts = page.cursor, self.counts + page.counts
            yield page
            gives_up_at = time.monotonic() + self._patience_s

    async def _page(self, cursor: Cursor, gives_up_at: float) -> Page:
        """Reading changes nothing, so a page that an outage of Redis cut off is read again."""
        try:
            return await wait_out(
                lambda: self.reconciler.page(self.portal, cursor),
                until=lambda: gives_up_at,
                clock=time.monotonic,
                tell=lambda error, _: self._say(f"Waiting for Redis ({type(error).__name__})."),
            )
        except Exception as error:
            if is_outage(error):
                self.note(f"What is missing: --cursor {written(cursor, self.portal)}")
            raise

    def _say(self, text: str) -> None:
        """Tell why nothing moves, once as long as it is the same."""
        if text != self._told:
            self._told = text
            self.note(text)
