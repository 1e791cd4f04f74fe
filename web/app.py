"""The application: its routes, and what every request passes on its way."""

from aiohttp import web

from web.access import admitted
from web.api.door import API, ApiState
from web.guards import GUARDS, harden
from web.parts import PARTS, Parts
from web.routes import ROUTES, SMALL_BODY
from web.throttle import THROTTLE, Throttle


def build_app(parts: Parts) -> web.Application:
    """The routes on one process' parts."""
    app = web.Application(middlewares=(*GUARDS, admitted), client_max_size=SMALL_BODY)
    app[PARTS] = parts
    app[API] = ApiState()
    app[THROTTLE] = Throttle(parts.settings.web_proxies)
    app.on_response_prepare.append(harden)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
        if route.method == "GET":
            app.router.add_route("HEAD", route.path, route.handler)
    return app
