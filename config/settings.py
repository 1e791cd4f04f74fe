"""Settings are read once, from the environment and `.env`, and either all of them are right or the process refuses.

Importing this module costs pydantic (about 0.1 s); code that must start fast imports it at first use.
"""

import base64
import binascii
import difflib
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from config.addresses import AddressError, Transport, parse_address
from config.errors import ConfigurationError, Problem

# What each kind of process cannot do without. Development commands start a server of their own and need nothing.
PRODUCER: Final = frozenset({"REDIS_URL"})
WORKER: Final = frozenset({"REDIS_URL", "B24PAY_SECRET_KEYS"})
DEVELOPMENT: Final[frozenset[str]] = frozenset()

# A Bitrix24 portal ends a REST call after 60 s at the latest; an "unpaid" read earlier may still turn into "paid".
PORTAL_CUT_S: Final = 60.0
# An admission is acknowledged within a second; five minutes leave room for a ledger that is away for a while.
# A lease must end before an unacknowledged message is delivered again.
VISIBILITY_TIMEOUT_S: Final = 300
_FERNET_KEY_BYTES: Final = 32
_PREFIX: Final = "B24PAY_"
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


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


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _ledger_url(value: str) -> str:
    try:
        parse_address(value)
    except AddressError as error:
        raise ValueError(str(error)) from None
    return value


def _celery_url(value: str) -> str:
    """Any broker or backend Celery knows; the forms that we translate ourselves are read in full."""
    if not _SCHEME.match(value):
        raise ValueError("is not a URL with a scheme")
    if value.partition("://")[0] in set(Transport):
        return _ledger_url(value)
    return value


def _secret_keys(value: object) -> object:
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


LedgerUrl = Annotated[SecretStr, BeforeValidator(_ledger_url)]
CeleryUrl = Annotated[SecretStr, BeforeValidator(_celery_url)]
# An hour is far beyond any sensible call; a larger number is a slip (milliseconds).
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Every setting of a b24pay process; frozen, and safe to print: secrets show as stars.

    Fields are named after their variables without the prefix. `load_settings` is the door: it reads the
    environment, and it alone reports every problem at once.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, hide_input_in_errors=True, env_file_encoding="utf-8"
    )

    redis: LedgerUrl | None = Field(None, alias="REDIS_URL", description="ledger, limiter and, by default, broker")
    broker: CeleryUrl | None = Field(None, alias="BROKER_URL", description="Celery's broker; REDIS_URL if not set")
    result_backend: CeleryUrl | None = Field(
        None, alias="RESULT_BACKEND_URL", description="where producers read results; REDIS_URL if not set"
    )
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_secret_keys)] = Field(
        (), alias="B24PAY_SECRET_KEYS", description="Fernet keys for stored credentials; the first encrypts"
    )
    allow_insecure_portals: Annotated[bool, BeforeValidator(_lower)] = Field(
        False,  # noqa: FBT003 - pydantic takes a field's default by position
        alias="B24PAY_ALLOW_INSECURE_PORTALS",
        description="http:// and loopback portals (emulator, tests)",
    )
    http_total_s: Seconds = Field(60.0, alias="B24PAY_HTTP_TOTAL_S", description="hard end of one REST call, seconds")
    portal_cut_s: Seconds = Field(
        PORTAL_CUT_S,
        alias="B24PAY_PORTAL_CUT_S",
        description="how long a portal may go on with a call we lost, seconds",
    )
    # Longer than the slowest call (60 s) plus the step that writes its outcome down, or a live driver loses its lane.
    lease_s: Seconds = Field(
        75.0, alias="B24PAY_LEASE_S", description="lane lease, seconds; longer than the HTTP total"
    )
    retention_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        35, alias="B24PAY_RETENTION_DAYS", description="how long finished payments are remembered"
    )
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field(
        LogLevel.INFO, alias="B24PAY_LOG_LEVEL", description="least severe line that is written"
    )
    log_format: Annotated[LogFormat | None, BeforeValidator(_lower)] = Field(
        None, alias="B24PAY_LOG_FORMAT", description="json, or console for people; console on a terminal if not set"
    )
    failpoints: str | None = Field(
        None, alias="B24PAY_FAILPOINTS", description="for tests only: places where a test may break the process"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what `load_settings` read, so that tests can hand in an environment of their own."""
        return (init_settings,)

    @property
    def redis_url(self) -> str:
        """The ledger's URL with its password; raises ConfigurationError where none is set."""
        if self.redis is None:
            raise ConfigurationError([_missing("REDIS_URL")])
        return self.redis.get_secret_value()

    @property
    def broker_url(self) -> str:
        """The broker's URL as it was given (see `config.connections.celery_url` for Celery's spelling)."""
        return self.broker.get_secret_value() if self.broker else self.redis_url

    @property
    def result_backend_url(self) -> str:
        """The result backend's URL as it was given."""
        return self.result_backend.get_secret_value() if self.result_backend else self.redis_url

    @property
    def quiet_s(self) -> float:
        """Seconds after a send during which "unpaid" proves nothing: our own timeout, then the portal's."""
        return self.http_total_s + self.portal_cut_s


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    require: Iterable[str] = PRODUCER,
    env_file: str | Path | None = ".env",
) -> Settings:
    """Read every setting once, or raise one ConfigurationError with all problems.

    `environ` replaces the process environment and `.env` together. In `.env`, a variable that the process
    environment also has loses. An empty value counts as not set.
    """
    given = _from_process(env_file) if environ is None else _without_empty(environ)
    problems = _unknown(given)
    settings, invalid = _validate(given)
    problems += invalid
    problems += [_missing(variable) for variable in sorted(require) if variable not in given]
    problems += _contradictions(settings, broken={problem.variable for problem in problems})
    if problems:
        raise ConfigurationError(problems)
    return settings


def variables() -> dict[str, str]:
    """Every variable a process reads, with the name of its field."""
    return {str(field.alias): name for name, field in Settings.model_fields.items()}


def _from_process(env_file: str | Path | None) -> dict[str, str]:
    from_file = DotEnvSettingsSource(Settings, env_file=env_file).env_vars
    from_environment = EnvSettingsSource(Settings).env_vars
    return {**_without_empty(from_file), **_without_empty(from_environment)}


def _without_empty(environ: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if value is not None and value.strip()}


def _validate(given: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """The settings, with defaults in the place of bad values so that the remaining checks still speak."""
    values: dict[str, Any] = {name: value.strip() for name, value in given.items() if name in variables()}
    try:
        return Settings(**values), []
    except ValidationError as error:
        problems = {str(row["loc"][0]): _invalid(str(row["loc"][0]), row["msg"], row["type"]) for row in error.errors()}
    return Settings(**{name: value for name, value in values.items() if name not in problems}), list(problems.values())


def _unknown(given: Mapping[str, str]) -> list[Problem]:
    known = list(variables())
    problems = []
    for name in sorted(name for name in given if name.startswith(_PREFIX) and name not in known):
        near = difflib.get_close_matches(name, [each for each in known if each.startswith(_PREFIX)], n=1)
        hint = f"Did you mean {near[0]}?" if near else "Remove it; b24pay doctor lists every variable."
        problems.append(Problem(name, "is not a setting", hint))
    return problems


_HINTS: Final = {
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
    "B24PAY_FAILPOINTS": "Remove it; it serves the project's own tests",
}


def _missing(variable: str) -> Problem:
    return Problem(variable, "is required and not set", _HINTS[variable])


def _invalid(variable: str, message: str, kind: str) -> Problem:
    text = message.removeprefix("Value error, ")
    if kind != "value_error":
        text = f"is not accepted ({text[:1].lower()}{text[1:]})"
    return Problem(variable, text, _HINTS[variable])


def _contradictions(settings: Settings, *, broken: set[str]) -> list[Problem]:
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
    if settings.failpoints and not settings.allow_insecure_portals:
        text = "lets another process break this one, and portals are real here"
        problems.append(Problem("B24PAY_FAILPOINTS", text, _HINTS["B24PAY_FAILPOINTS"]))
    too_short = settings.portal_cut_s < PORTAL_CUT_S and not settings.allow_insecure_portals
    if too_short and not broken & {"B24PAY_PORTAL_CUT_S", "B24PAY_ALLOW_INSECURE_PORTALS"}:
        text = f"is below {PORTAL_CUT_S:g}; a real portal goes on for so long, and an early 'unpaid' would pay twice"
        hint = "Leave it out, or set B24PAY_ALLOW_INSECURE_PORTALS=1 where only emulators are paid"
        problems.append(Problem("B24PAY_PORTAL_CUT_S", text, hint))
    return problems
