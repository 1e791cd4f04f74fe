"""The settings of a process that lives a moment: a command, or a producer before its first payment.

What is written plainly is read here, without pydantic, whose import takes longer than a whole command. Whatever is not
plain - a name that is not known, an unusual form, a contradiction, something missing - is left to `config.settings`,
which alone says what is wrong. So everything that is accepted here is accepted there, and means the same.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from config.callbacks import CallbackRules, as_callback_hosts
from config.rules import (
    LONGEST_RETENTION_DAYS,
    LONGEST_S,
    PORTAL_CUT_S,
    PREFIX,
    LogFormat,
    LogLevel,
    as_celery_url,
    as_ledger_url,
    as_listen,
    as_networks,
    as_proxy,
    as_secret_keys,
    as_web_url,
    contradictions,
    given,
    without_empty,
)

if TYPE_CHECKING:
    from config.settings import Settings

_SECONDS: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
_DAYS: Final = re.compile(r"[1-9][0-9]{0,3}")
_SWITCHES: Final = {"0": False, "1": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSettings:
    """What a command or a producer needs of the settings; secrets are not printed."""

    redis_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    secret_keys: tuple[str, ...] = field(default=(), repr=False)
    allow_insecure_portals: bool = False
    http_total_s: float = 60.0
    portal_cut_s: float = PORTAL_CUT_S
    lease_s: float = 75.0
    retention_days: int = 35
    log_level: LogLevel | None = None  # None: nobody has chosen one
    web_url: str | None = None
    callback_hosts: tuple[str, ...] = ()
    portal_proxy_url: str | None = field(default=None, repr=False)
    failpoints: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: "Settings") -> "PlainSettings":
        """The same settings, as they were read by the judge; raises ConfigurationError without a REDIS_URL."""
        return cls(
            redis_url=settings.redis_url,
            broker_url=settings.broker_url,
            secret_keys=tuple(key.get_secret_value() for key in settings.secret_keys),
            allow_insecure_portals=settings.allow_insecure_portals,
            http_total_s=settings.http_total_s,
            portal_cut_s=settings.portal_cut_s,
            lease_s=settings.lease_s,
            retention_days=settings.retention_days,
            log_level=settings.log_level if "log_level" in settings.model_fields_set else None,
            web_url=settings.web_url,
            callback_hosts=settings.callback_hosts,
            portal_proxy_url=settings.portal_proxy_url,
            failpoints=settings.failpoints,
        )

    @property
    def callback_rules(self) -> CallbackRules:
        """Who may be told of a payment's end."""
        return CallbackRules(self.callback_hosts, self.allow_insecure_portals)


def plain_settings(environ: Mapping[str, str] | None = None) -> PlainSettings:
    """Read the settings once, as `load_settings` does; raises its ConfigurationError, with all problems."""
    plain = plainly(given() if environ is None else without_empty(environ))
    if plain is not None:
        return plain
    from config.settings import load_settings

    return PlainSettings.of(load_settings(environ))


def plainly(told: Mapping[str, str]) -> PlainSettings | None:
    """The settings, None where anything about them is not plain."""
    ours = {name: value.strip() for name, value in told.items() if name in _READ or name.startswith(PREFIX)}
    if "REDIS_URL" not in ours or not ours.keys() <= _READ.keys():
        return None
    try:
        read = {name: _READ[name](value) for name, value in ours.items()}
    except ValueError:
        return None
    settings = PlainSettings(
        redis_url=read["REDIS_URL"],
        broker_url=read.get("BROKER_URL", read["REDIS_URL"]),
        **{field: read[name] for name, field in _FIELDS.items() if name in read},
    )
    return None if contradictions(settings, broken=set()) else settings


def _seconds(value: str) -> float:
    if not _SECONDS.fullmatch(value) or not 0 < float(value) <= LONGEST_S:
        raise ValueError
    return float(value)


def _days(value: str) -> int:
    if not _DAYS.fullmatch(value) or int(value) > LONGEST_RETENTION_DAYS:
        raise ValueError
    return int(value)


def _switch(value: str) -> bool:
    if value not in _SWITCHES:
        raise ValueError
    return _SWITCHES[value]


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "REDIS_URL": as_ledger_url,
    "BROKER_URL": as_celery_url,
    "RESULT_BACKEND_URL": as_celery_url,
    "B24PAY_SECRET_KEYS": as_secret_keys,
    "B24PAY_ALLOW_INSECURE_PORTALS": _switch,
    "B24PAY_HTTP_TOTAL_S": _seconds,
    "B24PAY_PORTAL_CUT_S": _seconds,
    "B24PAY_LEASE_S": _seconds,
    "B24PAY_RETENTION_DAYS": _days,
    "B24PAY_LOG_LEVEL": lambda value: LogLevel(value.lower()),
    "B24PAY_LOG_FORMAT": lambda value: LogFormat(value.lower()),
    "B24PAY_WEB_LISTEN": as_listen,
    "B24PAY_METRICS_LISTEN": as_listen,
    "B24PAY_WEB_URL": as_web_url,
    "B24PAY_WEB_PROXIES": as_networks,
    "B24PAY_CALLBACK_HOSTS": as_callback_hosts,
    "B24PAY_PORTAL_PROXY": as_proxy,
}
_FIELDS: Final[Mapping[str, str]] = {
    "B24PAY_SECRET_KEYS": "secret_keys",
    "B24PAY_ALLOW_INSECURE_PORTALS": "allow_insecure_portals",
    "B24PAY_HTTP_TOTAL_S": "http_total_s",
    "B24PAY_PORTAL_CUT_S": "portal_cut_s",
    "B24PAY_LEASE_S": "lease_s",
    "B24PAY_RETENTION_DAYS": "retention_days",
    "B24PAY_LOG_LEVEL": "log_level",
    "B24PAY_WEB_URL": "web_url",
    "B24PAY_CALLBACK_HOSTS": "callback_hosts",
    "B24PAY_PORTAL_PROXY": "portal_proxy_url",
}
