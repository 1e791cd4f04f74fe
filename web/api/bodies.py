"""Reading what somebody sends: bounded, strict, and with every problem told at once."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Final, TypeVar

from aiohttp import http_exceptions, web
from pydantic import ValidationError

from tasks.payment import LARGEST_ID
from web.api.models import ChangeRequest, Strict
from web.api.wrongs import Wrong, pointer, refusal, shown, wrongs_of
from web.problems import Problem

M = TypeVar("M", bound=Strict)

JSON: Final = "application/json"
# A body of this API comes at once; whoever sends a byte now and then keeps a connection and nothing else.
READ_S: Final = 30.0


class Broken(Exception):  # noqa: N818 - a fact about a connection
    """The body ended before its end: the connection is gone, or its framing or compression is wrong."""


class _Beyond:
    """Stands for a number that JSON readers do not keep exact; no field takes it."""


class _Unreadable(ValueError):  # noqa: N818 - what is wrong with a text
    """Not the JSON that everybody reads alike."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    read = dict(pairs)
    if len(read) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise _Unreadable(f"the name {shown(twice)} stands twice in one object")
    if any("\ud800" <= sign <= "\udfff" for name in read if not name.isascii() for sign in name):
        raise _Unreadable("a name has half a character (a lone surrogate)")
    return read


def _constant(name: str) -> object:
    raise _Unreadable(f"{name} is no JSON")


def _integer(text: str) -> object:
    return int(text) if len(text) <= len(str(LARGEST_ID)) + 1 else _Beyond()


def _fraction(text: str) -> object:
    value = float(text)
    return value if math.isfinite(value) else _Beyond()


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_fraction
)


def parse(text: bytes) -> object:
    """JSON as everybody reads it alike; raises Problem 400 for anything else."""
    try:
        return _DECODER.decode(text.decode())
    except UnicodeDecodeError as error:
        cause = f"Byte {error.start} is not UTF-8."
    except json.JSONDecodeError as error:
        cause = f"Line {error.lineno}, column {error.colno}: {error.msg}."
    except _Unreadable as error:
        cause = f"{str(error)[0].upper()}{str(error)[1:]}."
    except RecursionError:
        cause = "It is nested too deeply."
    raise Problem(400, "bad-json", cause, "Send JSON as RFC 8259 describes it, each name once.")


def validated(model: type[M], data: object, path: tuple[str | int, ...] = ()) -> M | list[Wrong]:
    """The data as a model, or everything that is wrong with it."""
    wrongs = []
    if isinstance(data, dict):
        wrongs = [
            Wrong(pointer(path) + each.place, each.rule, each.text, each.next_step) for each in model.across(data)
        ]
    try:
        read = model.model_validate(data)
    except ValidationError as error:
        return wrongs_of(error, lambda place: pointer((*path, *place))) + wrongs
    return wrongs or read


def required(model: type[M], data: object) -> M:
    """The data as a model; raises Problem."""
    read = validated(model, data)
    if isinstance(read, list):
        raise refusal(read)
    return read


async def read_body(request: web.Request, model: type[M], largest: int) -> M:
    """The body as a model; raises Problem."""
    require_type(request, JSON)
    return required(model, parse(await read_bytes(request, largest)))


async def read_why(request: web.Request, largest: int) -> str | None:
    """Why something is to be changed, where a body says so."""
    if not request.can_read_body:
        return None
    return (await read_body(request, ChangeRequest, largest)).because


def require_type(request: web.Request, *known: str) -> str:
    """The body's media type; raises Problem 415 unless it is one of these, in UTF-8."""
    given = request.content_type
    if given not in known or (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        cause = f"The body is {shown(given)}; this address takes {' or '.join(known)}, in UTF-8."
        raise Problem(415, "wrong-type", cause, "Say with Content-Type what you send.", headers={"Accept": known[0]})
    return given


async def read_bytes(request: web.Request, largest: int) -> bytes:
    """The whole body, at most so many bytes of it; raises Problem."""
    if (request.content_length or 0) > largest:
        raise too_large(largest)
    body = bytearray()
    if request.content.is_eof() and request.content.exception() is None:  # it came with its head, as a small one does
        body += request.content.read_nowait()
        if len(body) > largest:
            raise too_large(largest)
        return bytes(body)
    try:
        async with asyncio.timeout(READ_S):
            async for chunk in chunks(request):
                body += chunk
                if len(body) > largest:
                    raise too_large(largest)
    except TimeoutError:
        raise Problem(408, "too-slow", "The body did not come in time.", "Send it at once.") from None
    except Broken:
        raise Problem(400, "broken-body", "The body ended before its end.", "Send it again.") from None
    return bytes(body)


def too_large(largest: int) -> Problem:
    """More than an address takes."""
    step = "Send less, or many payments as NDJSON (application/x-ndjson), a line each."
    return Problem(413, "too-large", f"The body has more than {largest:,} bytes.", step)


async def chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes; raises Broken."""
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except (web.RequestPayloadError, http_exceptions.BadHttpMessage, http_exceptions.PayloadEncodingError, OSError):
        raise Broken from None


def read_query(request: web.Request, model: type[M]) -> M:
    """The query as a model; raises Problem."""
    given: dict[str, object] = {}
    wrongs = []
    for name in dict.fromkeys(request.query):
        values = request.query.getall(name)
        given[name] = values if name in model.repeatable else values[0]
        if len(values) > 1 and name not in model.repeatable:
            wrongs.append(Wrong(shown(name), "once", "is given twice", "Give it once.", within="parameter"))
    try:
        read = model.model_validate(given)
    except ValidationError as error:
        found = wrongs_of(error, lambda place: shown(str(place[0])))
        wrongs = [Wrong(each.place, each.rule, each.text, each.next_step, "parameter") for each in found] + wrongs
    if wrongs:
        raise refusal(wrongs)
    return read
