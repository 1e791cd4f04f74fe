"""Which addresses a portal may have: https on a public host, and only Bitrix24's own zones after a rename.

Loopback, private and link-local addresses are refused unless insecure portals are allowed (emulator, tests); names are
checked again when they are resolved, so that a name cannot be pointed inside later.
"""

import ipaddress
import socket
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

# Where Bitrix24 keeps cloud portals. A redirect to any other host is not followed: it would hand the credential over.
_ZONES: Final = frozenset(
    f"bitrix24.{zone}"
    for zone in (
        *("com", "net", "ru", "by", "kz", "ua", "uz", "eu", "de", "fr", "es", "it", "pl", "in", "cn"),
        *("tech", "mx", "co", "jp", "vn", "id", "site", "com.br", "com.tr"),
    )
)
# Who issues tokens (`protocol.md` §6). Client secrets go nowhere else.
_OAUTH_HOSTS: Final = frozenset({"oauth.bitrix.info", "oauth.bitrix24.tech"})
_LOCAL_NAMES: Final = ("localhost", ".localhost", ".local", ".internal")


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only; a name that points inside does not resolve."""

    def __init__(self) -> None:
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The public addresses of a host; raises OSError where there is none."""
        found = await self._resolver.resolve(host, port, family)
        public = [address for address in found if is_public(address["host"])]
        if not public:
            raise OSError("the name leads to a private address")
        return public

    async def close(self) -> None:
        """Release the resolver below."""
        await self._resolver.close()


def is_public(host: str) -> bool:
    """Whether an IP address is public; a name is judged by its ending here and by its addresses when resolved."""
    bare = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return not any(bare == name.lstrip(".") or bare.endswith(name) for name in _LOCAL_NAMES)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast


def is_oauth_host(url: URL, *, allow_insecure: bool) -> bool:
    """Whether an address is one that tokens may be renewed at: Bitrix24's own, or loopback where that is allowed."""
    if url.user or url.password:
        return False
    in_cloud = url.scheme == "https" and url.is_default_port() and (url.raw_host or "").lower() in _OAUTH_HOSTS
    return in_cloud or (allow_insecure and _is_loopback(url))


def host_key(endpoint: str) -> str:
    """The identity of a portal's address: host in lower case with its port, default ports left out."""
    url = URL(endpoint)
    host = (url.raw_host or "").rstrip(".").lower()
    return host if url.is_default_port() else f"{host}:{url.port}"


def new_endpoint(old: str, location: str | None, *, allow_insecure: bool) -> str | None:
    """The endpoint a redirect names if it may be the same portal under a new address, else None.

    Only https to a host of Bitrix24's zones, from such a host, with a REST path; with insecure portals allowed also
    from loopback to loopback.
    """
    if not location:
        return None
    try:
        was = URL(old)
        now = was.join(URL(location))
    except ValueError:
        return None
    if not now.path.startswith("/rest/") or now.user or now.password or now.origin() == was.origin():
        return None
    in_cloud = now.scheme == "https" and now.is_default_port() and _in_zone(now) and _in_zone(was)
    in_a_test = allow_insecure and _is_loopback(was) and _is_loopback(now)
    return f"{now.origin()}/rest/" if in_cloud or in_a_test else None


def _in_zone(url: URL) -> bool:
    name, _, zone = (url.raw_host or "").lower().partition(".")
    return bool(name) and zone in _ZONES


def _is_loopback(url: URL) -> bool:
    host = url.raw_host or ""
    try:
        return url.scheme in ("http", "https") and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
