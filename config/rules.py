"""What is right and what is wrong about settings, and where they come from; loads nothing heavy."""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from config.addresses import AddressError, Transport, parse_address
from config.errors import Problem

PREFIX: Final = "B24PAY_"
# A Bitrix24 portal ends a REST call after 60 s at the latest; an "unpaid" read earlier may still turn into "paid".
PORTAL_CUT_S: Final = 60.0
# An admission is acknowledged within a second; five minutes leave room for a ledger that is away for a while.
# A lease must end before an unacknowledged message is delivered again.
VISIBILITY_TIMEOUT_S: Final = 300
_FERNET_KEY_BYTES: Final = 32
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LISTEN: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?/?")
_PROXY: Final = re.compile(r"http://(?:[^\s/@:]+:[^\s/@]*@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}/?")
_LAST_PORT: Final = 65_535
LONGEST_S: Final = 3600  # an hour is far beyond any sensible call; a larger number is a slip (milliseconds)
LONGEST_RETENTION_DAYS: Final = 3650


class LogLevel(StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class LogFormat(StrEnum):
    """How a line looks: for machines, or for a person at a terminal."""

    JSON = "json"
    CONSOLE = "console"


def as_ledger_url(value: str) -> str:
    """A Redis URL that we connect to; raises ValueError for every other."""
    try:
        parse_address(value)
    except AddressError as error:
        raise ValueError(str(error)) from None
    return value


def as_celery_url(value: str) -> str:
    """Any broker or backend Celery knows; the forms that we translate ourselves are read in full. Raises ValueError."""
    if not _SCHEME.match(value):
        raise ValueError("is not a URL with a scheme")
    if value.partition("://")[0] in set(Transport):
        return as_ledger_url(value)
    return value


def as_listen(value: object) -> object:
    """`HOST:PORT` as (host, port), port 0 for any free one; raises ValueError."""
    if not isinstance(value, str):
        return value
    match = _LISTEN.fullmatch(value)
    if match is None or int(match["port"]) > _LAST_PORT:
        raise ValueError("is not HOST:PORT")
    return match["host"].strip("[]"), int(match["port"])


def as_web_url(value: object) -> object:
    """The origin of an http(s) URL without a path; raises ValueError."""
    if isinstance(value, str) and not _ORIGIN.fullmatch(value):
        raise ValueError("is not an http:// or https:// address without a path")
    return value.rstrip("/") if isinstance(value, str) else value


def as_proxy(value: object) -> object:
    """`http://[USER:PASSWORD@]HOST:PORT`; raises ValueError, which does not repeat the password."""
    if isinstance(value, str) and not _PROXY.fullmatch(value):
        raise ValueError("is not http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")
    return value


def as_networks(value: object) -> object:
    """Networks between commas, as texts in their plain form; raises ValueError with the position of a bad one."""
    if not isinstance(value, str):
        return value
    import ipaddress

    networks = []
    given = [word.strip() for word in value.split(",") if word.strip()]
    for position, word in enumerate(given, start=1):
        try:
            networks.append(str(ipaddress.ip_network(word)))
        except ValueError:
            raise ValueError(f"entry {position} of {len(given)} is not an address or network") from None
    return tuple(networks)


def as_secret_keys(value: object) -> object:
    """Fernet keys between commas; raises ValueError, which names the position of a bad one and not the key."""
    if not isinstance(value, str):
        return value
    keys = tuple(key.strip() for key in value.split(",") if key.strip())
    for position, key in enumerate(keys, start=1):
        if not _is_fernet_key(key):
            raise ValueError(f"key {position} of {len(keys)} is not a Fernet key (32 bytes in URL-safe base64)")
    return keys


def _is_fernet_key(key: str) -> bool:
    # Checked here by hand: importing cryptography only to look at a key would double the cost of this module.
    try:
        return len(base64.b64decode(key, altchars=b"-_", validate=True)) == _FERNET_KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def given(env_file: str | Path | None = ".env") -> dict[str, str]:
    """What the process environment and `.env` set; the environment wins, an empty value counts as not set."""
    return {**without_empty(_from_file(env_file)), **without_empty(os.environ)}


def _from_file(env_file: str | Path | None) -> Mapping[str, str | None]:
    path = Path(env_file).expanduser() if env_file is not None else None
    if path is None or not (path.is_file() or path.is_fifo()):
        return {}
    from dotenv import dotenv_values

    return dotenv_values(path, encoding="utf-8")


def without_empty(environ: Mapping[str, str | None]) -> dict[str, str]:
    """Only what has a value."""
    return {name: value for name, value in environ.items() if value is not None and value.strip()}


HINTS: Final = {
    "REDIS_URL": "Example: redis://127.0.0.1:6379/0 (also rediss://, redis+socket://, sentinel://)",
    "BROKER_URL": "Example: redis://127.0.0.1:6379/0, or leave it out to use REDIS_URL",
    "RESULT_BACKEND_URL": "Example: redis://127.0.0.1:6379/0, or leave it out to use REDIS_URL",
    "B24PAY_SECRET_KEYS": "Make one: python -c 'from cryptography.fernet import Fernet as F; "
    "print(F.generate_key().decode())'",
    "B24PAY_ALLOW_INSECURE_PORTALS": "Use 0 or 1",
    "B24PAY_HTTP_TOTAL_S": "Use seconds above 0 and at most 3600, for example 60",
    "B24PAY_PORTAL_CUT_S": "Use seconds above 0 and at most 3600, for example 60",
    "B24PAY_LEASE_S": "Use seconds above B24PAY_HTTP_TOTAL_S, for example 75",
    "B24PAY_RETENTION_DAYS": "Use whole days from 1 to 3650, for example 35",
    "B24PAY_LOG_LEVEL": f"Use one of {', '.join(LogLevel)}",
    "B24PAY_LOG_FORMAT": f"Use one of {', '.join(LogFormat)}",
    "B24PAY_WEB_LISTEN": "Example: 127.0.0.1:8080",
    "B24PAY_WEB_URL": "Example: https://pay.example.com, the address under which Bitrix24 reaches the web process",
    "B24PAY_WEB_PROXIES": "Example: 10.0.0.0/8, or leave it out where no proxy stands before the web process",
    "B24PAY_METRICS_LISTEN": "Example: 127.0.0.1:9464 (port 0: any free one, told in the log), or leave it out",
    "B24PAY_PORTAL_PROXY": "Example: http://proxy.example.com:3128, or leave it out where portals are reached directly",
    "B24PAY_CALLBACK_HOSTS": "Example: shop.example.com,*.example.org, without scheme and port",
    "B24PAY_FAILPOINTS": "Remove it; it serves the project's own tests",
}


class Values(Protocol):
    """The settings that can contradict each other."""

    @property
    def http_total_s(self) -> float:
        """Hard end of one REST call."""

    @property
    def portal_cut_s(self) -> float:
        """How long a portal may go on with a call we lost."""

    @property
    def lease_s(self) -> float:
        """Lane lease."""

    @property
    def allow_insecure_portals(self) -> bool:
        """Whether portals may be emulators."""

    @property
    def web_url(self) -> str | None:
        """The public address of the web processes."""

    @property
    def failpoints(self) -> str | None:
        """Where a test may break the process."""


def contradictions(settings: Values, *, broken: set[str]) -> list[Problem]:
    """Values that are fine alone and wrong together; a pair with a value that is already reported stays silent."""
    problems = []
    if settings.lease_s <= settings.http_total_s and not broken & {"B24PAY_LEASE_S", "B24PAY_HTTP_TOTAL_S"}:
        text = (
            f"must be above B24PAY_HTTP_TOTAL_S ({settings.http_total_s:g}), or a live driver loses its lane in a call"
        )
        problems.append(Problem("B24PAY_LEASE_S", text, f"Try {settings.http_total_s + 15:g}"))
    if settings.lease_s >= VISIBILITY_TIMEOUT_S and "B24PAY_LEASE_S" not in broken:
        text = f"must be below {VISIBILITY_TIMEOUT_S}, after which Celery delivers an unacknowledged message again"
        problems.append(Problem("B24PAY_LEASE_S", text, "Try 75"))
    in_clear = settings.web_url is not None and settings.web_url.startswith("http://")
    if in_clear and not settings.allow_insecure_portals and "B24PAY_WEB_URL" not in broken:
        text = "is not https, and credentials come in by it"
        problems.append(Problem("B24PAY_WEB_URL", text, HINTS["B24PAY_WEB_URL"]))
    if settings.failpoints and not settings.allow_insecure_portals:
        text = "lets another process break this one, and portals are real here"
        problems.append(Problem("B24PAY_FAILPOINTS", text, HINTS["B24PAY_FAILPOINTS"]))
    too_short = settings.portal_cut_s < PORTAL_CUT_S and not settings.allow_insecure_portals
    if too_short and not broken & {"B24PAY_PORTAL_CUT_S", "B24PAY_ALLOW_INSECURE_PORTALS"}:
        text = f"is below {PORTAL_CUT_S:g}; a real portal goes on for so long, and an early 'unpaid' would pay twice"
        hint = "Leave it out, or set B24PAY_ALLOW_INSECURE_PORTALS=1 where only emulators are paid"
        problems.append(Problem("B24PAY_PORTAL_CUT_S", text, hint))
    return problems
