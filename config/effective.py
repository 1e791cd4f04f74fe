"""What a process really runs with, as rows that may be shown to anyone."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr

from config.addresses import Transport, parse_address
from config.redaction import redact
from config.settings import Settings


class Origin(StrEnum):
    """Whether a value is ours or the operator's."""

    DEFAULT = "default"
    SET = "set"


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One row of `b24pay doctor`: the variable, its value without secrets, where it is from and what it means."""

    name: str
    value: str
    origin: Origin
    meaning: str


def effective(settings: Settings) -> list[EffectiveSetting]:
    """Every setting in the order of the documentation; a URL shows without its password, keys as their number."""
    rows = []
    for field, info in Settings.model_fields.items():
        origin = Origin.SET if field in settings.model_fields_set else Origin.DEFAULT
        rows.append(EffectiveSetting(str(info.alias), _shown(getattr(settings, field)), origin, info.description or ""))
    quiet = f"{settings.quiet_s:g}"
    rows.append(EffectiveSetting("quiet time", quiet, Origin.DEFAULT, "HTTP total + portal cut, seconds (computed)"))
    return rows


def shown_url(url: str) -> str:
    """A Redis, broker or backend URL as people may see it."""
    if url.partition("://")[0] in set(Transport):
        return parse_address(url).shown
    return redact(url)


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case SecretStr():
            return shown_url(value.get_secret_value())
        case tuple():
            return f"{len(value)} key{'' if len(value) == 1 else 's'}" if value else "-"
        case bool():
            return "1" if value else "0"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
