"""What Prometheus reads of a web process: itself, and how the ledger stands."""

from typing import Final

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from metrics.registry import a_registry
from metrics.showing import shown
from web.access import PRINCIPAL
from web.parts import PARTS
from web.problems import Problem

# One a process: what the system knows of it.
_REGISTRY: Final = a_registry()


async def metrics(request: web.Request) -> web.Response:
    """A Redis that is away is told as `b24pay_redis_up 0`: whoever watches must see that, and not a failed scrape."""
    if request[PRINCIPAL].portals is not None:
        cause = "This token is limited to some portals, and metrics tell of all."
        raise Problem(403, "not-permitted", cause, "Use a token without a portal (`b24pay token create`).")
    standing = await request.app[PARTS].looks.look()
    body = generate_latest(_REGISTRY) + shown(standing)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
