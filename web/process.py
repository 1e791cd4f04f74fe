"""One web process: settings, log, listening, and the way it ends."""

import asyncio
import signal
import sys
from typing import Final

import structlog
from aiohttp import web
from redis.exceptions import RedisError

from config.errors import ConfigurationError
from config.logging import configure_logging
from config.settings import WEB, Settings, load_settings
from web.access import require_protection, warn_if_open
from web.app import build_app
from web.parts import Parts, open_parts

log = structlog.get_logger(__name__)

# Contract: a process stops within 30 s of SIGTERM. An installation takes 15 s at most (INSTALL_S of web/install.py).
STOP_WITHIN_S: Final = 20.0
CANNOT_LISTEN: Final = 71  # EX_OSERR of sysexits.h


def main() -> int:
    """Serve until told to stop; the exit code of the contract."""
    try:
        settings = load_settings(require=WEB)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    configure_logging(settings)
    try:
        return asyncio.run(serve(settings))
    except ConfigurationError as error:  # what only Redis knows: whether anybody could come in
        sys.stderr.write(f"{error}\n")
        return error.exit_code


async def serve(settings: Settings) -> int:
    """Listen, and answer until SIGTERM or SIGINT; requests under way are finished. Raises ConfigurationError."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with open_parts(settings) as parts:
        app = build_app(parts)
        await _look_at_access(app, parts)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_WITHIN_S)
        await runner.setup()
        try:
            host, port = settings.web_listen
            await web.TCPSite(runner, host, port).start()
            log.info("web.started", listen=[f"{address[0]}:{address[1]}" for address in runner.addresses])
            await stopping.wait()
        except OSError as error:
            log.error("web.unstartable", error=error.strerror or type(error).__name__)  # noqa: TRY400 - the text says all
            return CANNOT_LISTEN
        finally:
            await runner.cleanup()
    log.info("web.stopped")
    return 0


async def _look_at_access(app: web.Application, parts: Parts) -> None:
    """Refuse or warn at once. While Redis is away nobody is let in, so the process may start and wait for it."""
    try:
        await require_protection(parts)
        await warn_if_open(app)
    except RedisError as error:
        log.warning("web.ledger_away", error=type(error).__name__)
