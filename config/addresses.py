"""Where a Redis or Valkey server is: the four URL forms of `REDIS_URL`, read into one value.

* `redis://[user:password@]host[:port][/db]`            TCP
* `rediss://…`                                          TCP with TLS
* `redis+socket://[:password@]/path[?virtual_host=db]`  Unix socket
* `sentinel://[user:password@]host:port,host:port/db?master=name`

Nothing here connects, and no error text repeats a part of the URL: a misplaced `@` would show the password.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

REDIS_PORT = 6379
SENTINEL_PORT = 26379
_MAX_PORT = 65535
# sun_path of a Linux socket address holds 108 bytes with the closing zero.
MAX_SOCKET_PATH_BYTES = 107


class Transport(StrEnum):
    """How the server is reached; the value is the URL's scheme."""

    TCP = "redis"
    TLS = "rediss"
    SOCKET = "redis+socket"
    SENTINEL = "sentinel"


class AddressError(ValueError):
    """The URL cannot be used; the text says why and carries nothing of the URL itself."""


@dataclass(frozen=True, slots=True)
class Address:
    """One server (or one set of sentinels), with the credentials kept out of `repr`."""

    transport: Transport
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    master: str = ""
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """The URL as people may see it: password, user name and options left out."""
        credentials = "***@" if self.password or self.username else ""
        if self.transport is Transport.SOCKET:
            return f"{self.transport}://{credentials}{self.path}?virtual_host={self.db}"
        hosts = ",".join(f"{_bracketed(host)}:{port}" for host, port in self.hosts)
        master = f"?master={self.master}" if self.master else ""
        return f"{self.transport}://{credentials}{hosts}/{self.db}{master}"

    @property
    def celery_url(self) -> str:
        """The URL as Celery and kombu spell it; sentinels are separate URLs joined by `;`."""
        credentials = self._credentials()
        if self.transport is Transport.SOCKET:
            return f"redis+socket://{credentials}{quote(self.path)}?virtual_host={self.db}"
        nodes = [f"{self.transport}://{credentials}{_bracketed(host)}:{port}/{self.db}" for host, port in self.hosts]
        options = dict(self.options)
        if self.transport is Transport.TLS:
            # Celery's result backend refuses a rediss:// URL that does not say how the certificate is checked.
            options.setdefault("ssl_cert_reqs", "required")
        return ";".join(nodes) + (f"?{urlencode(options)}" if options else "")

    def _credentials(self) -> str:
        if not (self.username or self.password):
            return ""
        return f"{quote(self.username or '', safe='')}:{quote(self.password or '', safe='')}@"


def parse_address(url: str) -> Address:
    """Read a Redis URL; raises AddressError for every form we would not connect to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise AddressError("is not a URL") from None
    if parts.scheme not in set(Transport):
        raise AddressError(f"needs one of the schemes {', '.join(f'{scheme}://' for scheme in Transport)}")
    if parts.fragment or "#" in url:
        raise AddressError("contains '#'; in a password it must be written %23")
    match Transport(parts.scheme):
        case Transport.SOCKET:
            return _socket(parts)
        case Transport.SENTINEL:
            return _sentinel(parts)
        case transport:
            return _tcp(transport, parts)


def _socket(parts: SplitResult) -> Address:
    username, password, hosts = _split_netloc(parts.netloc)
    path = unquote(parts.path)
    if hosts:
        raise AddressError("needs an absolute socket path after three slashes: redis+socket:///run/redis.sock")
    if not path.startswith("/") or path == "/":
        raise AddressError("needs the path of a socket: redis+socket:///run/redis.sock")
    if len(path.encode()) > MAX_SOCKET_PATH_BYTES:
        raise AddressError(f"has a socket path longer than {MAX_SOCKET_PATH_BYTES} bytes, the system's limit")
    options = dict(parse_qsl(parts.query))
    db = _db(options.pop("virtual_host", "0"))
    _refuse_options(options)
    return Address(Transport.SOCKET, path=path, db=db, username=username, password=password)


def _sentinel(parts: SplitResult) -> Address:
    username, password, netloc = _split_netloc(parts.netloc)
    options = dict(parse_qsl(parts.query))
    master = options.pop("master", "")
    if not master:
        raise AddressError("needs the name of the monitored server: sentinel://host:26379/0?master=NAME")
    _refuse_options(options)
    hosts = tuple(_host(node, SENTINEL_PORT) for node in netloc.split(","))
    db = _db(parts.path.strip("/") or "0")
    return Address(Transport.SENTINEL, hosts, db=db, username=username, password=password, master=master)


def _tcp(transport: Transport, parts: SplitResult) -> Address:
    username, password, netloc = _split_netloc(parts.netloc)
    options = dict(parse_qsl(parts.query))
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    _refuse_options({name: value for name, value in options.items() if name not in tls})
    if tls and transport is Transport.TCP:
        raise AddressError("has TLS options but no TLS; write rediss://")
    db = _db(parts.path.strip("/") or "0")
    host = _host(netloc, REDIS_PORT)
    return Address(transport, (host,), db=db, username=username, password=password, options=tuple(tls.items()))


def _split_netloc(netloc: str) -> tuple[str | None, str | None, str]:
    credentials, _, hosts = netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    return unquote(username) or None, unquote(password) or None, hosts


def _host(node: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{node}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressError(f"has a port that is not a number from 1 to {_MAX_PORT}") from None
    if not host or port == 0:
        raise AddressError("needs a host and, if given, a port above 0")
    return host, port or default_port


def _db(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise AddressError("has a database that is not a number from 0")
    return int(text)


def _refuse_options(options: dict[str, str]) -> None:
    if options:
        # Names are the operator's own words, but values may be secrets.
        raise AddressError("has options that are not understood; leave them out (timeouts and pools are set in code)")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
