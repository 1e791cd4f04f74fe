"""
How a page is made: a template, what it shows, and the frame around it.

    return render(request, "portals.html", title="Portals", here="/portals", lanes=lanes)

Every text that a template is given is escaped; a name that a template uses and is not given is a fault and no blank.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from access.roles import CHANGERS, Principal
from web.access import PRINCIPAL
from web.pages import assets, charts, phrases, wording
from web.pages.entering import form_key_of, is_development

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# With no-referrer a browser sends `Origin: null` with our own forms, and they could not be told from others'.
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the navigation; `key` opens it after `g`."""

    path: str
    name: str
    key: str


NAVIGATION: Final = (
    Link("/", "Overview", "o"),
    Link("/portals", "Portals", "p"),
    Link("/payments", "Payments", "y"),
    Link("/failures", "Failures", "f"),
    Link("/doubts", "Doubts", "d"),
    Link("/reconcile", "Reconcile", "r"),
    Link("/workers", "Workers", "w"),
    Link("/audit", "Audit", "a"),
)


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.do"],
    )
    made.filters.update(wording.FILTERS)
    made.filters.update(phrases.FILTERS)
    made.globals.update(asset=assets.url_of, chart=charts, state_word=wording.state_word, navigation=NAVIGATION)
    return made


_ENVIRONMENT: Final = _environment()


async def read_templates(_app: web.Application) -> None:
    """Read all templates before the first page is asked for."""
    for name in _ENVIRONMENT.list_templates():
        _ENVIRONMENT.get_template(name)


def render(request: web.Request, template: str, *, status: int = 200, **shown: Any) -> web.Response:
    """A page as a response. `title` and `here` (the navigation's path, or "") are for the frame."""
    text = _ENVIRONMENT.get_template(template).render({**_frame(request), **shown})
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)


def _frame(request: web.Request) -> Mapping[str, object]:
    me: Principal | None = request.get(PRINCIPAL)
    return {
        "me": me,
        "may_change": me is not None and me.role in CHANGERS,
        "form_key": form_key_of(request),
        "development": is_development(request),
        "path": request.path,
        "url": request.path_qs,
        "query": request.query,
        "here": "",
        "now": wording.now(),
    }
