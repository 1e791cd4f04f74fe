"""Signing in with a bearer token, once, and signing out."""

from typing import Final

import structlog
from aiohttp import web

from access.roles import WATCHERS
from web.access import PRINCIPAL, token_of
from web.pages.entering import SIGN_IN, clear_cookie, form_of, principal_of, session_id_of, set_cookie
from web.pages.rendering import render
from web.parts import PARTS
from web.problems import Problem

log = structlog.get_logger(__name__)

_NO_DASHBOARD: Final = (
    "This is a producer's token: it hands payments in and follows them through the API. The dashboard is for people; "
    "ask an operator for a viewer's token (b24pay token create NAME --role viewer)."
)


async def show_sign_in(request: web.Request) -> web.Response:
    """The form; whoever may come in already is sent on."""
    if await principal_of(request) is not None:
        raise web.HTTPSeeOther(_back(request.query.get("next", "")))
    return _form(request, request.query.get("next", ""))


async def sign_in(request: web.Request) -> web.StreamResponse:
    """Make a session for whoever has a token of a person. Tries are counted as those with bearer tokens are."""
    form = form_of(request)
    back = form.one("next")
    try:
        token = await token_of(request, form.one("token"))
    except Problem as problem:
        return _form(request, back, problem=problem)
    if token.principal.role not in WATCHERS:
        return _form(request, back, problem=Problem(403, "wrong-role", _NO_DASHBOARD, ""))
    sessions = request.app[PARTS].sessions
    await sessions.end(session_id_of(request))  # a browser has one session, and never one that somebody gave it
    response = web.Response(status=303, headers={"Location": _back(back)})
    set_cookie(request, response, await sessions.begin(token.id))
    log.info("web.signed_in", who=token.name, token=token.id)
    return response


async def sign_out(request: web.Request) -> web.Response:
    """End the session, here and in every tab."""
    await request.app[PARTS].sessions.end(session_id_of(request))
    response = web.Response(status=303, headers={"Location": f"{SIGN_IN}?out=1"})
    clear_cookie(request, response)
    log.info("web.signed_out", who=request[PRINCIPAL].name)
    return response


def _form(request: web.Request, back: str, *, problem: Problem | None = None) -> web.Response:
    page = render(
        request,
        "sign_in.html",
        status=problem.status if problem else 200,
        title="Sign in",
        back=_back(back),
        problem=problem,
        out="out" in request.query,
    )
    if problem is not None:
        page.headers.update({name: value for name, value in problem.headers.items() if name == "Retry-After"})
    return page


def _back(path: str) -> str:
    """A path of ours; whatever else somebody has put there leads home."""
    fine = path.startswith("/") and not path.startswith(("//", "/\\", SIGN_IN)) and path.isprintable()
    return path if fine and "\\" not in path else "/"
