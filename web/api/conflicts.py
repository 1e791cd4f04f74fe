"""What the ledger knows that stands in the way of a request."""

from aiohttp import web

from ledger.ledger import Conflict
from ledger.redis import RedisLedger
from web.api import answers
from web.api.door import may_touch
from web.problems import Problem


async def conflict(request: web.Request, ledger: RedisLedger, opened: Conflict) -> Problem:
    """Why a request is refused by what the ledger knows; a payment of somebody else's portal is not named."""
    members = {"payment_id": opened.payment_id, "url": answers.url_of(opened.payment_id)}
    if opened.reason == "invoice":
        cause = "The invoice has an open payment with another pay system or handler."
        step = f"Wait for it, or cancel it: POST {members['url']}/cancel."
        return Problem(409, "open-payment", cause, step, members=members)
    [row] = await ledger.find([opened.payment_id])
    shown = members if row is not None and may_touch(request, row.portal) else {}
    cause = "This idempotency key belongs to a payment with other content."
    return Problem(422, "key-used", cause, "Use a new key for a new payment.", members=shown)
