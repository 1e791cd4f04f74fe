"""The tables of docs/configuration.md: every setting, from the model that judges it."""

from collections.abc import Iterator
from typing import Final

from pydantic.fields import FieldInfo

from config.rules import HINTS
from config.settings import DEVELOPMENT, PRODUCER, WEB, WORKER, Settings
from manual.markdown import code, table

_UNITS: Final = {"_S": "seconds", "_DAYS": "days"}
_KINDS: Final = {"_URL": "URL", "_LISTEN": "HOST:PORT", "_PROXY": "URL", "_KEYS": "keys, between commas"}
_OTHERS: Final = {
    "B24PAY_ALLOW_INSECURE_PORTALS": "0 or 1",
    "B24PAY_LOG_LEVEL": "word",
    "B24PAY_LOG_FORMAT": "word",
    "B24PAY_WEB_PROXIES": "networks, between commas",
    "B24PAY_CALLBACK_HOSTS": "hosts, between commas",
    "B24PAY_FAILPOINTS": "for tests",
}
# What a default looks like where the value itself says too little.
_SHOWN: Final = {"B24PAY_LOG_FORMAT": "`console` on a terminal, else `json`"}
_NEEDS: Final = (
    ("a producer with `tasks.enqueue`, most commands of `b24pay`", PRODUCER, ""),
    ("`python -m worker`", WORKER, ""),
    ("`python -m web`", WEB, "; off loopback a [token](access.md) as well"),
    ("`b24pay demo`, `chaos`, `emulator`, `make test`", DEVELOPMENT, "nothing: they start a server of their own"),
)


def sections() -> dict[str, str]:
    """The page's tables."""
    needs = ([who, ", ".join(map(code, sorted(names))) + more] for who, names, more in _NEEDS)
    return {
        "settings": table(["name", "default", "unit", "means", "example"], _rows()),
        "needs": table(["process", "cannot start without"], needs),
    }


def _rows() -> Iterator[tuple[str, ...]]:
    for field in Settings.model_fields.values():
        name = str(field.alias)
        yield code(name), _default(name, field), _unit(name), f"{field.description or ''}", _hint(name)


def _default(name: str, field: FieldInfo) -> str:
    if name in _SHOWN:
        return _SHOWN[name]
    match field.default:
        case None | ():
            return "not set"
        case bool():
            return code(str(int(field.default)))
        case (str() as host, int() as port):
            return code(f"{host}:{port}")
        case float() as number:
            return code(f"{number:g}")
        case other:
            return code(str(other))


def _unit(name: str) -> str:
    if name in _OTHERS:
        return _OTHERS[name]
    return next((kind for ending, kind in (_UNITS | _KINDS).items() if name.endswith(ending)), "text")


def _hint(name: str) -> str:
    command, hint = "Make one: ", HINTS[name]
    return f"{command}`{hint.removeprefix(command)}`" if hint.startswith(command) else hint.removeprefix("Example: ")
