"""After a form: back to the page that shows the thing, which says once what was done."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

# What an address may say that was done; a page tells these and nothing that somebody else wrote into its address.
_DONE: Final[Mapping[str, str]] = {
    "held": "The portal is held. What is on its way lands; nothing new is sent until somebody resumes it.",
    "resumed": "The portal goes on, with one payment alone first.",
    "retried": "The payment is queued again. What was ever sent is read at the portal before it is sent again.",
    "cancelled": "The payment is withdrawn: nothing of it was or will be sent.",
    "verifying": "It is read at the portal now, unless its lane is held. This page shows what comes of it.",
    "paid": "It is paid, on your word.",
    "unpaid": "It has failed, on your word. A retry reads the invoice first and sends it if it is still unpaid.",
}


def back_to(path: str, done: str) -> web.Response:
    """Send the browser to a page that says what was done; loading that again changes nothing."""
    return web.Response(status=303, headers={"Location": f"{path}?{urlencode({'done': done})}"})


def told_on(request: web.Request) -> str | None:
    """What was done, as far as the address says so in our words."""
    return _DONE.get(request.query.get("done", ""))
