"""Settings are read once, from the environment and `.env`, and either all of them are right or the process refuses.

pydantic is the judge, and importing this module costs it (about 0.1 s); what must start fast asks `config.plain` first.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from config.callbacks import CallbackRules, as_callback_hosts
from config.errors import ConfigurationError, Problem
from config.rules import (
    HINTS,
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

__all__ = [
    "DEVELOPMENT",
    "PRODUCER",
    "WEB",
    "WORKER",
    "LogFormat",
    "LogLevel",
    "Settings",
    "load_settings",
    "variables",
]

# What each kind of process cannot do without. Development commands start a server of their own and need nothing.
PRODUCER: Final = frozenset({"REDIS_URL"})
WORKER: Final = frozenset({"REDIS_URL", "B24PAY_SECRET_KEYS"})
WEB: Final = WORKER
DEVELOPMENT: Final[frozenset[str]] = frozenset()


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


LedgerUrl = Annotated[SecretStr, BeforeValidator(as_ledger_url)]
CeleryUrl = Annotated[SecretStr, BeforeValidator(as_celery_url)]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_S, allow_inf_nan=False)]


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
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(as_secret_keys)] = Field(
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
    retention_days: Annotated[int, Field(ge=1, le=LONGEST_RETENTION_DAYS)] = Field(
        35, alias="B24PAY_RETENTION_DAYS", description="how long finished payments are remembered"
    )
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field(
        LogLevel.INFO, alias="B24PAY_LOG_LEVEL", description="least severe line that is written"
    )
    log_format: Annotated[LogFormat | None, BeforeValidator(_lower)] = Field(
        None, alias="B24PAY_LOG_FORMAT", description="json, or console for people; console on a terminal if not set"
    )
    web_listen: Annotated[tuple[str, int], NoDecode, BeforeValidator(as_listen)] = Field(
        ("127.0.0.1", 8080), alias="B24PAY_WEB_LISTEN", description="host and port that the web process listens on"
    )
    web_url: Annotated[str | None, BeforeValidator(as_web_url)] = Field(
        None, alias="B24PAY_WEB_URL", description="how Bitrix24 reaches the web processes: https://host"
    )
    web_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(as_networks)] = Field(
        (), alias="B24PAY_WEB_PROXIES", description="networks of proxies whose X-Forwarded-For is believed"
    )
    metrics_listen: Annotated[tuple[str, int] | None, NoDecode, BeforeValidator(as_listen)] = Field(
        None, alias="B24PAY_METRICS_LISTEN", description="host and port where a worker shows metrics and health"
    )
    callback_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(as_callback_hosts)] = Field(
        (), alias="B24PAY_CALLBACK_HOSTS", description="hosts that may be told of a payment's end: host, *.host"
    )
    portal_proxy: Annotated[SecretStr | None, BeforeValidator(as_proxy)] = Field(
        None, alias="B24PAY_PORTAL_PROXY", description="HTTP proxy for calls to portals and their token servers"
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
    def portal_proxy_url(self) -> str | None:
        """The proxy's URL with its password."""
        return self.portal_proxy.get_secret_value() if self.portal_proxy else None

    @property
    def callback_rules(self) -> CallbackRules:
        """Who may be told of a payment's end."""
        return CallbackRules(self.callback_hosts, self.allow_insecure_portals)

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
    told = given(env_file) if environ is None else without_empty(environ)
    problems = _unknown(told)
    settings, invalid = _validate(told)
    problems += invalid
    problems += [_missing(variable) for variable in sorted(require) if variable not in told]
    problems += contradictions(settings, broken={problem.variable for problem in problems})
    if problems:
        raise ConfigurationError(problems)
    return settings


def variables() -> dict[str, str]:
    """Every variable a process reads, with the name of its field."""
    return {str(field.alias): name for name, field in Settings.model_fields.items()}


def _validate(told: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """The settings, with defaults in the place of bad values so that the remaining checks still speak."""
    values: dict[str, Any] = {name: value.strip() for name, value in told.items() if name in variables()}
    try:
        return Settings(**values), []
    except ValidationError as error:
        problems = {str(row["loc"][0]): _invalid(str(row["loc"][0]), row["msg"], row["type"]) for row in error.errors()}
    return Settings(**{name: value for name, value in values.items() if name not in problems}), list(problems.values())


def _unknown(told: Mapping[str, str]) -> list[Problem]:
    known = list(variables())
    problems = []
    for name in sorted(name for name in told if name.startswith(PREFIX) and name not in known):
        near = difflib.get_close_matches(name, [each for each in known if each.startswith(PREFIX)], n=1)
        hint = f"Did you mean {near[0]}?" if near else "Remove it; b24pay doctor lists every variable."
        problems.append(Problem(name, "is not a setting", hint))
    return problems


def _missing(variable: str) -> Problem:
    return Problem(variable, "is required and not set", HINTS[variable])


def _invalid(variable: str, message: str, kind: str) -> Problem:
    text = message.removeprefix("Value error, ")
    if kind != "value_error":
        text = f"is not accepted ({text[:1].lower()}{text[1:]})"
    return Problem(variable, text, HINTS[variable])
