"""`python -m emulator`: a portal farm as a process of its own."""

import argparse
import asyncio
import json
import resource
import signal
import sys
from pathlib import Path

from emulator.server import ready_line, running_emulator


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; settings that are wrong end it with status 2."""
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(_serve(options))
    except (ValueError, OSError) as error:
        print(f"emulator: {error}", file=sys.stderr)  # noqa: T201 -- a command's complaint
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description="A farm of Bitrix24 portals and their authorization server; emulator/README.md tells all settings.",
    )
    parser.add_argument("--listen", action="append", default=[], metavar="HOST:PORT", help="plain HTTP; repeatable")
    parser.add_argument("--tls", action="append", default=[], metavar="HOST:PORT", help="https, self-signed")
    parser.add_argument("--any-loopback", type=int, metavar="PORT", help="every 127.x.y.z:PORT is a portal")
    exposed = "plain HTTP where others reach it, for a container's own network; repeatable"
    parser.add_argument("--exposed", action="append", default=[], metavar="HOST:PORT", help=exposed)
    parser.add_argument("--config", type=Path, metavar="FILE", help="JSON: template, portals, faults, seed")
    parser.add_argument("--ready-file", type=Path, metavar="PATH", help="also write the ready line here")
    return parser


def _allow_many_connections() -> None:
    # A client of thousands of portals keeps thousands of connections; the usual soft limit is 1024.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(options: argparse.Namespace) -> None:
    _allow_many_connections()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    config = json.loads(options.config.read_text()) if options.config else None
    elsewhere = options.any_loopback is not None or options.exposed
    chosen = options.listen or ([] if elsewhere else ["127.0.0.1:8024"])
    async with running_emulator(
        config, addresses=chosen, any_loopback=options.any_loopback, tls=options.tls, exposed=options.exposed
    ) as running:
        line = ready_line(running)
        if options.ready_file:
            partial = options.ready_file.with_suffix(".partial")
            partial.write_text(line + "\n")
            partial.replace(options.ready_file)  # appears whole or not at all
        print(line, flush=True)  # noqa: T201 -- the parent process waits for this line
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
