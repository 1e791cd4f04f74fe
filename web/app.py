"""The application: one table of routes, and what every request passes on its way."""

from typing import Final

from aiohttp import web

from web.guards import GUARDS, harden
from web.health import is_alive, is_ready
from web.install import install
from web.parts import PARTS, Parts
from web.throttle import THROTTLE, Throttle

# An event has about 1,500 bytes.
LARGEST_BODY: Final = 65_536


def build_app(parts: Parts) -> web.Application:
    """The routes on one process' parts."""
    app = web.Application(middlewares=GUARDS, client_max_size=LARGEST_BODY)
    app[PARTS] = parts
    app[THROTTLE] = Throttle(parts.settings.web_proxies)
    app.on_response_prepare.append(harden)
    app.router.add_routes(
        [
            web.get("/healthz", is_alive, allow_head=True),
            web.get("/readyz", is_ready, allow_head=True),
            web.post("/v1/install/{key}/{door}", install),
        ]
    )
    return app
