"""How often one address may knock. Kept in the process: strangers must not write into the ledger's server."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from web.problems import Problem

# A portal sends one event and repeats it a few times; whoever tries names of doors gets nowhere with this.
BURST: Final = 30
PER_S: Final = 0.5
# About 2 MB; beyond it whoever knocked longest ago is forgotten.
_ADDRESSES: Final = 10_000
_SITE_OF_IPV6: Final = 64  # one customer has so many bits to play with

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Throttle:
    """A leaky bucket per sender. `proxies` are networks whose X-Forwarded-For is believed."""

    def __init__(
        self,
        proxies: Sequence[str] = (),
        *,
        burst: int = BURST,
        per_s: float = PER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proxies = [ipaddress.ip_network(each) for each in proxies]
        self._burst, self._per_s = burst, per_s
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def pass_or_refuse(self, request: web.Request) -> None:
        """Count a request; raises Problem 429 where its address has knocked too often."""
        refuse_if_it_must_wait(self.count(self.sender_of(request)), "from this address")

    def count(self, sender: str) -> float:
        """Take one request of a sender; 0, or the seconds until the next is let through."""
        now = self._clock()
        level, seen_at = self._levels.pop(sender, (0.0, now))
        level = max(0.0, level - (now - seen_at) * self._per_s)
        refused = level + 1 > self._burst
        self._levels[sender] = (level if refused else level + 1, now)
        if len(self._levels) > _ADDRESSES:
            self._levels.popitem(last=False)
        return (level + 1 - self._burst) / self._per_s if refused else 0.0

    def wait_s(self, sender: str) -> float:
        """How long the sender's next request would have to wait; nothing is counted."""
        level, seen_at = self._levels.get(sender, (0.0, 0.0))
        level = max(0.0, level - (self._clock() - seen_at) * self._per_s)
        return max(0.0, (level + 1 - self._burst) / self._per_s)

    def sender_of(self, request: web.Request) -> str:
        """Who sent a request."""
        return self.sender(request.remote, request.headers.getall("X-Forwarded-For", []))

    def sender(self, remote: str | None, forwarded: Sequence[str]) -> str:
        """Who knocks: the peer, or the last address that our proxies did not write down of each other."""
        hops = [word.strip() for line in forwarded for word in line.split(",")]
        address = _address(remote)
        while hops and address is not None and self._is_proxy(address):
            address = _address(hops.pop())
        if address is None:
            return "nobody"
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((address, _SITE_OF_IPV6), strict=False))
        return str(address)

    def _is_proxy(self, address: _Address) -> bool:
        return any(address in network for network in self._proxies)


THROTTLE: Final = web.AppKey("throttle", Throttle)


def refuse_if_it_must_wait(wait_s: float, whence: str) -> None:
    """Raise Problem 429 where there are seconds to wait."""
    if wait_s > 0:
        headers = {"Retry-After": str(int(wait_s) + 1)}
        step = "Wait as long as Retry-After says."
        raise Problem(429, "too-often", f"Too many requests {whence}.", step, headers=headers)


def _address(text: str | None) -> _Address | None:
    try:
        address = ipaddress.ip_address((text or "").strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
