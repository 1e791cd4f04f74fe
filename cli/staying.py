"""`b24pay demo --stay`: the demonstration goes on with an HTTP API and a receiver of callbacks, until Ctrl-C."""

import asyncio
import json
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from cli.exits import CommandError, Exit
from cli.output import Output
from cli.procfile import command_of
from cli.session import Session
from cli.stage import HOST, Stage

_READY_WITHIN_S: Final = 20.0
_LOOK_S: Final = 0.2
# Behind the sample's, so that it is a new one.
_INVOICE: Final = 5001


async def stay(session: Session, stage: Stage, output: Output, settings: Path | None = None) -> None:
    """Say how to pay by curl, tell of every callback that comes, and return never; raises CommandError where a process
    ends."""
    async with _receiver(session, output) as told_at:
        base = f"http://{await _web(stage)}"
        token = await _token(session)
        output.note(_guide(base, told_at, token))
        with _reachable(settings, _lines(stage, base, token)):
            if settings is not None:
                output.note(f"For all commands of b24pay, in another terminal: . {settings}\n")
            while True:
                stage.check()
                await asyncio.sleep(_LOOK_S)


@contextmanager
def _reachable(path: Path | None, lines: str) -> Iterator[None]:
    """A file for this user alone that says how to reach what runs, as long as it runs."""
    if path is None:
        yield
        return
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(lines, encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _lines(stage: Stage, base: str, token: str) -> str:
    settings = stage.settings
    told = {
        "REDIS_URL": settings.redis_url,
        "B24PAY_SECRET_KEYS": ",".join(key.get_secret_value() for key in settings.secret_keys),
        "B24PAY_ALLOW_INSECURE_PORTALS": "1",
        "B24PAY_CALLBACK_HOSTS": ",".join(settings.callback_hosts),
        "PAY_URL": base,
        "PAY_TOKEN": token,
        "EMULATOR": stage.authorities[0],
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in told.items())


async def _web(stage: Stage) -> str:
    """Start a web process as in the Procfile; where it listens."""
    child = stage.start("web", command_of("web"), B24PAY_WEB_LISTEN=f"{HOST}:0")
    for _ in range(round(_READY_WITHIN_S / _LOOK_S)):
        for line in child.log.splitlines():
            if '"web.started"' in line:
                return str(json.loads(line)["listen"][0])
        stage.check()
        await asyncio.sleep(_LOOK_S)
    raise CommandError("The web process did not get ready.", "Try again.", Exit.TEMPORARY)


async def _token(session: Session) -> str:
    from access.roles import Role

    return (await session.tokens.create("demo", Role.OPERATOR)).text


@asynccontextmanager
async def _receiver(session: Session, output: Output) -> AsyncIterator[str]:
    """A service that is told of ends and verifies the signatures; its address."""
    from aiohttp import web
    from standardwebhooks import Webhook, WebhookVerificationError

    webhook = Webhook((await session.signing_secrets.make(HOST)).reveal())

    async def told(request: web.Request) -> web.Response:
        try:
            event = webhook.verify(await request.text(), dict(request.headers))
        except WebhookVerificationError:
            output.note("A callback with a wrong signature was refused.")
            return web.Response(status=401)
        data = event["data"]
        output.note(f"Callback {event['type']}: invoice {data['invoice_id']} of {data['portal']}, signature verified.")
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/told", told)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}/told"
    finally:
        await runner.cleanup()


def _guide(base: str, told_at: str, token: str) -> str:
    body = json.dumps({"portal": "acme", "invoice_id": _INVOICE, "pay_system_id": 1, "callback": told_at})
    return f"""
Everything goes on until Ctrl-C. In a browser: {base}/ (sign in with the token below). In another terminal:

  TOKEN={token}
  curl -s {base}/v1/payments -H "Authorization: Bearer $TOKEN" \\
       -H 'Content-Type: application/json' -d '{body}'
  curl -s '{base}/v1/payments?state=paid&limit=1' -H "Authorization: Bearer $TOKEN"
  curl -s {base}/metrics -H "Authorization: Bearer $TOKEN"

Callbacks that come are told here."""
