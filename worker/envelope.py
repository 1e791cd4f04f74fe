"""What surrounds a message in a Redis list, read without trust: whatever the bytes are, a message comes out.

Kombu takes an envelope as it is, and a list element that is no JSON ends the whole worker. Here a spoilt one becomes
a message that carries its error, kombu's own way of telling a consumer (`on_decode_error`).
"""

import binascii
import bz2
import json
import lzma
import zlib
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kombu.exceptions import DecodeError
from kombu.transport import virtual

# A bulk message of 1,000 payments has a quarter of a megabyte; what is much longer is not read at all.
LONGEST_MESSAGE: Final = 4_000_000
# The scripts put one blank in front of a message that goes back: to every reader the same JSON, to us a mark.
PUT_BACK: Final = b" "
# Compressed ones may grow so far: a few kilobytes can hold gigabytes of zeros.
LONGEST_BODY: Final = 4_000_000
# Kombu has no types; for the checker our class stands on Any.
_virtual: Any = virtual
_LZMA_MEMORY: Final = 64_000_000


class Unreadable(DecodeError):  # noqa: N818 - a fact about a message
    """The envelope is not one of Celery's; the text says why and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A list element that is not a message."""

    raw: bytes
    tag: str
    queue: str
    reason: str


def read_envelope(raw: bytes, tag: str, queue: str) -> dict[str, Any] | Spoilt:
    """The envelope as kombu wants it, under the tag that it was fetched with, whatever tag it came with."""
    try:
        envelope = _envelope(raw)
        _uncompress(envelope)
    except Unreadable as error:
        return Spoilt(raw, tag, queue, str(error))
    properties = envelope["properties"]
    properties["delivery_tag"] = tag
    info = properties["delivery_info"] = {
        "exchange": "",
        "routing_key": queue,
        **(properties.get("delivery_info") or {}),
    }
    if raw.startswith(PUT_BACK):
        # Celery asks for it before it runs a task again whose result is known.
        envelope["headers"] = {**(envelope.get("headers") or {}), "redelivered": True}
        info["redelivered"] = True
    return envelope


class Message(_virtual.Message):  # type: ignore[misc]  # kombu has no types
    """A message; a spoilt one has its error in `errors` and its bytes in `body`."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        if not isinstance(payload, Spoilt):
            super().__init__(payload, channel=channel, **options)
            return
        self.errors = [(Unreadable, Unreadable(payload.reason), None)]
        self._raw = payload
        super(_virtual.Message, self).__init__(
            body=payload.raw,
            delivery_tag=payload.tag,
            delivery_info={"exchange": "", "routing_key": payload.queue},
            channel=channel,
        )


def _envelope(raw: bytes) -> dict[str, Any]:
    if len(raw) > LONGEST_MESSAGE:
        raise Unreadable(f"it is longer than {LONGEST_MESSAGE} bytes")
    try:
        envelope = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is not JSON ({type(error).__name__})") from None
    if not isinstance(envelope, dict):
        raise Unreadable("it is JSON, but not an object")
    _require(envelope, "properties", dict)
    _require(envelope["properties"], "delivery_info", dict, optional=True)
    for name in ("content-type", "content-encoding"):
        _require(envelope, name, str, optional=True)
    _require(envelope, "headers", dict, optional=True)
    _require(envelope, "body", str, optional=True)
    encoding = envelope["properties"].get("body_encoding")
    if encoding not in (None, "", "base64", "utf-8"):
        raise Unreadable("its body_encoding is neither base64 nor utf-8")
    if encoding == "base64":
        _decoded(envelope)
    return envelope


def _require(holder: Mapping[str, Any], name: str, kind: type, *, optional: bool = False) -> None:
    value = holder.get(name)
    if isinstance(value, kind) or (optional and value is None):
        return
    raise Unreadable(f"it has no {name!r}" if value is None else f"its {name!r} is of type {type(value).__name__}")


def _decoded(envelope: Mapping[str, Any]) -> bytes:
    body = envelope.get("body") or ""
    if envelope["properties"].get("body_encoding") != "base64":
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return b64decode(body)
    except (binascii.Error, ValueError):
        raise Unreadable("its body is not base64") from None


def _uncompress(envelope: dict[str, Any]) -> None:
    """Replace a compressed body by what it contains, up to a limit; kombu knows none."""
    headers = envelope.get("headers") or {}
    compression = headers.pop("compression", None)
    if not compression:
        return
    expand = _EXPAND.get(compression) if isinstance(compression, str) else None
    if expand is None:
        raise Unreadable(f"its compression is none of {', '.join(_EXPAND)}")
    try:
        body = expand(_decoded(envelope))
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError):
        raise Unreadable("its compressed body is damaged") from None
    if len(body) > LONGEST_BODY:
        raise Unreadable(f"its compressed body is longer than {LONGEST_BODY} bytes")
    envelope["body"] = body
    envelope["properties"]["body_encoding"] = None


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, LONGEST_BODY + 1)


def _bunzip(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, LONGEST_BODY + 1)


def _unlzma(data: bytes) -> bytes:
    return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY).decompress(data, LONGEST_BODY + 1)


_EXPAND: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    **dict.fromkeys(("application/x-gzip", "gzip", "zlib"), _inflate),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), _bunzip),
    **dict.fromkeys(("application/x-lzma", "lzma", "xz"), _unlzma),
}
