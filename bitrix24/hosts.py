"""Which addresses a portal may have: https on a public host, and only Bitrix24's own zones after a rename.

Loopback, private and link-local addresses are refused unless insecure portals are allowed (emulator, tests); names are
checked again when they are resolved (`resolver.py`), so that a name cannot be pointed inside later.
"""

import ipaddress
import re
from typing import Final

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
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NAME_MAX: Final = 253
# What C libraries and browsers read as a part of an IPv4 address: decimal, octal or hex.
_NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+")
# IPv6 that only carries an IPv4 address, in its last 32 bits: mapped, translated, NAT64.
_CARRIERS: Final = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
# The only IPv6 that is handed out. `is_global` also allows what nobody has, and more of it in older versions of Python.
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# Tunnels, which end anywhere, protocol assignments and documentation.
_SPECIAL_6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_SPECIAL_4: Final = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))


class InsideAddress(OSError):  # noqa: N818 - names what was met
    """A connection would lead to an address that is not public."""


def is_public(host: str) -> bool:
    """Whether a host is public: an address by itself, a name by its form here and by its addresses when resolved.

    A name needs a dot, and must not end in a number: `127.1` and `0x7f000001` are addresses to those who resolve them.
    """
    bare = host.strip("[]").removesuffix(".").lower()
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return _is_public_name(bare)
    return is_public_address(bare)


def is_public_address(text: str) -> bool:
    """Whether this is a public IP address in its usual notation, without a zone."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if "%" in text:
            return False
        if not any(address in network for network in _CARRIERS):
            return address in _UNICAST and not any(address in network for network in _SPECIAL_6)
        address = ipaddress.IPv4Address(address.packed[-4:])
    special = any(address in network for network in _SPECIAL_4)
    return address.is_global and not address.is_multicast and not special


def _is_public_name(bare: str) -> bool:
    labels = bare.split(".")
    well_formed = len(bare) <= _NAME_MAX and all(map(_LABEL.fullmatch, labels))
    local = any(bare == name.lstrip(".") or bare.endswith(name) for name in _LOCAL_NAMES)
    return well_formed and len(labels) > 1 and not local and not _NUMBER.fullmatch(labels[-1])


def is_oauth_host(url: URL, *, allow_insecure: bool) -> bool:
    """Whether an address is one that tokens may be renewed at: Bitrix24's own, or loopback where that is allowed."""
    if url.user or url.password:
        return False
    in_cloud = url.scheme == "https" and url.is_default_port() and (url.raw_host or "").lower() in _OAUTH_HOSTS
    return in_cloud or (allow_insecure and _is_loopback(url))


def is_cloud_portal(url: URL, *, allow_insecure: bool) -> bool:
    """Whether an address is a portal's in Bitrix24's cloud, or loopback where that is allowed."""
    if url.user or url.password:
        return False
    in_cloud = url.scheme == "https" and url.is_default_port() and _in_zone(url)
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
    return _LABEL.fullmatch(name) is not None and zone in _ZONES


def _is_loopback(url: URL) -> bool:
    host = url.raw_host or ""
    try:
        return url.scheme in ("http", "https") and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
