"""An HTTP service on aiohttp that reads and answers what ours does, and does nothing else: no token, log, ledger.

`python -m benchmarks.peers.bare_http PORT`: what our own handling costs is read against it.
"""

import json
import sys

from aiohttp import web


async def single(request: web.Request) -> web.Response:
    """One payment."""
    wanted = await request.json()
    told = {"id": "lmn37yovlk4iifnm", "portal": wanted["portal"], "invoice_id": wanted["invoice_id"]}
    place = "/v1/payments/lmn37yovlk4iifnm"
    return web.json_response({**told, "url": place}, status=202, headers={"Location": place})


async def stream(request: web.Request) -> web.StreamResponse:
    """One payment a line, answered line by line."""
    answer = web.StreamResponse(status=202)
    await answer.prepare(request)
    index, rest = 0, b""
    async for chunk in request.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        told = []
        for line in lines:
            json.loads(line)
            told.append(json.dumps({"index": index, "id": "lmn37yovlk4iifnm", "outcome": "accepted"}).encode())
            index += 1
        await answer.write(b"\n".join([*told, b""]))
    await answer.write_eof()
    return answer


async def accept(request: web.Request) -> web.StreamResponse:
    """Whichever it is."""
    return await (stream(request) if request.content_type == "application/x-ndjson" else single(request))


if __name__ == "__main__":
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/payments", accept)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=lambda *_: None)
