"""What every request passes: its id, its line in the log, its headers, and the way errors become problems."""

import os
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web
from redis.exceptions import RedisError

from web.problems import Problem, answer, of_http, unavailable

log = structlog.get_logger(__name__)

REQUEST_ID: Final = web.RequestKey("request_id", str)
WHO: Final = web.RequestKey("who", str)  # the name of the token, once it is known
TOLD: Final = web.RequestKey("told", dict)  # what else the request's line tells
_ID_HEADER: Final = "X-Request-ID"
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics", "/static/{name}"})
# Nobody waited for the answer any more: the sender has gone, or the process is stopping.
_BROKEN_OFF: Final = 499
_POLICY: Final = "Content-Security-Policy"
# What a response may say for itself: a page that brings its own style, a file that never changes.
_ITS_OWN: Final = frozenset({_POLICY, "Cache-Control", "Referrer-Policy"})
_HEADERS: Final = {
    "Cache-Control": "no-store",
    _POLICY: "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "b24pay",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# How a problem is told: as JSON for programs, unless the application has a way for people as well.
TELL: Final[web.AppKey[Callable[[web.Request, Problem], web.Response]]] = web.AppKey("tell")


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers of every response."""
    for name, value in _HEADERS.items():
        if name not in _ITS_OWN or name not in response.headers:
            response.headers[name] = value
    if REQUEST_ID in request:
        response.headers[_ID_HEADER] = request[REQUEST_ID]


@web.middleware
async def noted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id and write one line about it. The route is named and not the path, which holds a secret."""
    given = request.headers.get(_ID_HEADER)
    request_id = given if given and _ID.fullmatch(given) else os.urandom(16).hex()
    request[REQUEST_ID] = request_id
    began, status = time.monotonic(), _BROKEN_OFF
    bound = structlog.contextvars.bind_contextvars(request_id=request_id)
    try:
        response = await _explained(request, handler)
        status = response.status
        return response
    finally:
        _note(request, status, round((time.monotonic() - began) * 1000))
        structlog.contextvars.reset_contextvars(**bound)


def _note(request: web.Request, status: int, took_ms: int) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "none"
    if route in _QUIET and status in range(200, 300):
        return
    told: dict[str, object] = {"who": request[WHO]} if WHO in request else {}
    if TOLD in request:
        more: dict[str, object] = request[TOLD]
        told.update(more)
    log.info("web.answered", method=request.method, route=route, status=status, took_ms=took_ms, **told)


async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return _told(request, problem)
    except web.HTTPException as error:
        return _told(request, of_http(error))
    except RedisError as error:
        log.warning("web.ledger_away", error=type(error).__name__)
        return _told(request, unavailable("Redis did not answer."))
    except Exception as error:
        log.exception("web.crashed", error=type(error).__name__)
        cause, step = "A fault of ours.", "Tell the operator the request id; the log has the rest."
        return _told(request, Problem(500, "fault", cause, step))


def _told(request: web.Request, problem: Problem) -> web.Response:
    if TELL in request.app:
        return request.app[TELL](request, problem)
    return answer(problem, request[REQUEST_ID])


GUARDS: Final = (noted,)
