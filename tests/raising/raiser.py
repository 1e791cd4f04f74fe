"""Inside a worker: each exception class is raised once, in whichever process comes first, where its library raises.

A test opens each series with a file (`begin`); a class that was raised is a file as well, so that a process that died
of one does not meet it again after its start.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from tests.raising.kinds import PLAIN, kinds, name_of, special

HTTP, LEDGER, MESSAGES, BODIES = "http", "ledger", "messages", "bodies"
# What each place meets: the library's own classes, and those of what it stands on.
SERIES: Final[dict[str, list[type[Exception]]]] = {
    HTTP: [*kinds("aiohttp"), *PLAIN],
    LEDGER: [*kinds("redis"), *PLAIN],
    MESSAGES: [*kinds("celery"), *kinds("redis"), *PLAIN],
    BODIES: [*kinds("celery"), *kinds("redis"), *PLAIN],
}
_EVERY: Final = 7  # so many steps of the ledger for one that fails


class Turns:
    """The classes of one series, each given out once over all processes."""

    def __init__(self, directory: Path, series: str) -> None:
        self._directory = directory / series
        self._left = list(SERIES[series])

    def error(self, url: str | None = None) -> Exception | None:
        """The next one, None when all were raised or the series was not begun."""
        while self._left and self._directory.exists():
            kind = self._left.pop(0)
            if self._is_mine(name_of(kind)):
                return special(kind, leaking(url), url or os.environ["REDIS_URL"])
        return None

    def _is_mine(self, name: str) -> bool:
        try:
            os.close(os.open(self._directory / name, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


def leaking(url: str | None = None) -> str:
    """A text as careless libraries make it, with the secrets that this process really has."""
    redis, keys = os.environ["REDIS_URL"], os.environ["B24PAY_SECRET_KEYS"]
    password = redis.partition("://:")[2].partition("@")[0]
    return f"cannot reach {url or redis} (redis {redis}, password={password}, B24PAY_SECRET_KEYS={keys}, key {keys!r})"


def install() -> None:
    """Put the raising in front of what the libraries do."""
    import aiohttp
    import kombu.message
    import redis.asyncio

    directory = Path(os.environ["RAISE_IN"])
    http, ledger, messages, bodies = (Turns(directory, series) for series in SERIES)
    request, step, decode = aiohttp.ClientSession._request, redis.asyncio.Redis.execute_command, None
    decode = kombu.message.Message.decode
    steps = 0

    async def requesting(self: Any, method: str, url: Any, **options: Any) -> Any:
        if error := http.error(str(url)):
            raise error
        return await request(self, method, url, **options)

    def stepping(self: Any, *words: Any, **options: Any) -> Awaitable[Any]:
        nonlocal steps
        steps += 1
        if steps % _EVERY == 0 and (error := ledger.error()):
            return _raising(error)
        made: Awaitable[Any] = step(self, *words, **options)
        return made

    def decoding(self: Any) -> Any:
        _in_bodies(bodies)
        if error := messages.error():
            raise error
        return decode(self)

    patched: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (aiohttp.ClientSession, "_request", requesting),
        (redis.asyncio.Redis, "execute_command", stepping),
        (kombu.message.Message, "decode", decoding),
    )
    for place, name, raising in patched:
        setattr(place, name, raising)


async def _raising(error: Exception) -> None:
    raise error


def _in_bodies(bodies: Turns) -> None:
    """Once the worker's own modules are there: the bodies of tasks fail as well."""
    from tasks import messages

    if getattr(messages.open_payments, "raises", False):
        return
    original = messages.open_payments

    def opening(requests: Any) -> Any:
        if error := bodies.error():
            raise error
        return original(requests)

    opening.raises = True  # type: ignore[attr-defined]
    messages.open_payments = opening
