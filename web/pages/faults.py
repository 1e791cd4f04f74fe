"""Refusals as pages, where a page was asked for: what happened, and what to do."""

from typing import Final

from aiohttp import web

from web.access import TABLE
from web.guards import REQUEST_ID
from web.pages.rendering import render
from web.problems import Problem, answer

_TITLES: Final = {
    401: "Not signed in",
    403: "Not permitted",
    404: "Not found",
    405: "Not here",
    409: "Not now",
    413: "Too large",
    422: "Something is wrong in the form",
    429: "Too often",
    500: "A fault of ours",
    503: "Not reachable",
}
_AWAY: Final = 503


def tell(request: web.Request, problem: Problem) -> web.Response:
    """The problem, as whoever asks can read it."""
    if not _wants_page(request):
        return answer(problem, request[REQUEST_ID])
    page = render(
        request,
        "fault.html",
        status=problem.status,
        title=_TITLES.get(problem.status, "Refused"),
        problem=problem,
        request_id=request[REQUEST_ID],
        comes_back=problem.status == _AWAY,
    )
    page.headers.update(problem.headers)
    return page


def _wants_page(request: web.Request) -> bool:
    found = request.match_info
    route = request.app[TABLE].get(found.route) if found.http_exception is None else None
    if route is not None:
        return route.page
    return "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/v1/")
