"""Whether this process lives, and whether it can serve."""

import asyncio
from typing import Final

from aiohttp import web
from redis.exceptions import RedisError

from ledger.redis import UnknownSchema
from web.parts import PARTS
from web.problems import Problem, unavailable

# A probe gives up after some seconds, and a server that is silent for so long is away.
_WITHIN_S: Final = 5.0


async def is_alive(_request: web.Request) -> web.Response:
    """The loop turns; nothing else is asked, so a Redis that is away restarts nobody."""
    return web.json_response({"status": "alive"})


async def is_ready(request: web.Request) -> web.Response:
    """Redis answers, and the ledger on it is one this version understands."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            await request.app[PARTS].ledger.check_schema()
    except UnknownSchema as error:
        raise Problem(503, "unknown-ledger", str(error), "Use the matching version of b24pay.") from error
    except (RedisError, TimeoutError) as error:
        raise unavailable("Redis did not answer.") from error
    return web.json_response({"status": "ready"})
