"""Every exception class of the libraries a worker stands on, and how one of each is made."""

import asyncio
import importlib
import json
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

MODULES: Final[Mapping[str, Sequence[str]]] = {
    "aiohttp": ("aiohttp.client_exceptions", "aiohttp.http_exceptions"),
    "redis": ("redis.exceptions",),
    "celery": ("celery.exceptions", "kombu.exceptions", "billiard.exceptions"),
}
# What the standard library raises below all of them.
PLAIN: Final[tuple[type[Exception], ...]] = (
    OSError,
    ConnectionResetError,
    BrokenPipeError,
    TimeoutError,
    asyncio.IncompleteReadError,
    ssl.SSLError,
    ssl.SSLCertVerificationError,
    UnicodeDecodeError,
    json.JSONDecodeError,
    ValueError,
    RuntimeError,
    KeyError,
    MemoryError,
    RecursionError,
)


def kinds(family: str) -> list[type[Exception]]:
    """The classes of one family, by name; whatever a newer release adds is among them."""
    found = {
        kind
        for module in MODULES[family]
        for kind in vars(importlib.import_module(module)).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning)
    }
    return sorted(found - set(PLAIN), key=name_of)


def name_of(kind: type[Exception]) -> str:
    """Its name, unique over all families."""
    return f"{kind.__module__}.{kind.__qualname__}"


def made(kind: type[Exception], text: str, url: str = "http://127.0.0.1/") -> Exception:
    """One of a class as its library makes it, with the text and the URL where that puts them."""
    for base, build in _BUILDERS.items():
        if issubclass(kind, base):
            return build(kind, text, url)
    return kind(text)


def _key(url: str) -> ConnectionKey:
    return ConnectionKey(URL(url).host or "h", 443, True, True, None, None, None)


def _response(kind: Any, text: str, url: str) -> Exception:
    headers = CIMultiDictProxy(CIMultiDict({"Authorization": f"Bearer {text}", "Location": url}))
    request = aiohttp.RequestInfo(URL(url), "POST", headers, URL(url))
    made: Exception = kind(request, (), status=502, message=text, headers=headers)
    return made


def _connector(kind: Any, text: str, url: str) -> Exception:
    made: Exception = kind(_key(url), OSError(111, text))
    return made


def _with_keys(kind: Any, text: str, url: str) -> Exception:
    made: Exception = kind(_key(url), ssl.SSLCertVerificationError(1, text))
    return made


# The first that fits; what is not here takes its text and nothing else.
_BUILDERS: Final[Mapping[type[Exception], Any]] = {
    aiohttp.ClientConnectorCertificateError: _with_keys,
    aiohttp.client_exceptions.UnixClientConnectorError: lambda kind, text, url: kind(
        text, _key(url), OSError(111, text)
    ),
    aiohttp.ClientConnectorError: _connector,
    aiohttp.ClientResponseError: _response,
    aiohttp.ServerFingerprintMismatch: lambda kind, text, _: kind(text.encode(), b"other", "h", 443),
    aiohttp.InvalidURL: lambda kind, text, url: kind(url, text),
    aiohttp.http_exceptions.HttpProcessingError: lambda kind, text, _: _processing(kind, text),
    asyncio.IncompleteReadError: lambda kind, text, _: kind(text.encode(), 10_000),
    UnicodeDecodeError: lambda kind, text, _: kind("utf-8", text.encode(), 0, 1, text),
    json.JSONDecodeError: lambda kind, text, _: kind(text, text, 0),
}


def _processing(kind: Any, text: str) -> Exception:
    try:
        made: Exception = kind(code=400, message=text)
    except TypeError:
        made = kind(text)
    return made


def special(kind: type[Exception], text: str, url: str) -> Exception:
    """The same for the few classes whose text has a form of its own."""
    if kind.__name__ in ("AskError", "MovedError"):
        return kind("3999 127.0.0.1:6381")
    if kind.__name__ == "CeleryCommandException":
        return kind(text, 1)
    return made(kind, text, url)
