"""The application: its routes, and what every request passes on its way."""

from collections.abc import Sequence

from aiohttp import web

from web.access import DESK, TABLE, Desk, admitted
from web.actions import recorded
from web.api.door import API, ApiState
from web.guards import GUARDS, TELL, harden
from web.pages.entering import entered
from web.pages.faults import tell
from web.pages.live import LOOKER, Looker, end_streams
from web.pages.rendering import read_templates
from web.parts import PARTS, Parts
from web.routes import ROUTES, SMALL_BODY, Route
from web.throttle import THROTTLE, Throttle


def build_app(parts: Parts, routes: Sequence[Route] = ROUTES) -> web.Application:
    """The routes on one process' parts."""
    app = web.Application(middlewares=(*GUARDS, admitted, entered, recorded), client_max_size=SMALL_BODY)
    app[PARTS] = parts
    app[DESK] = Desk(parts)
    app[TABLE] = {}
    app[TELL] = tell
    app[API] = ApiState()
    app[THROTTLE] = Throttle(parts.settings.web_proxies)
    app[LOOKER] = Looker(parts.glances)
    app.on_startup.append(read_templates)
    app.on_shutdown.append(end_streams)
    app.on_response_prepare.append(harden)
    for route in routes:
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            app[TABLE][app.router.add_route(method, route.path, route.handler)] = route
    return app
