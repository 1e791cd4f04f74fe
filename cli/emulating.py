"""`b24pay emulator`: emulated Bitrix24 portals, as a process in this one's place."""

import os
import sys

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def emulator(arguments: tuple[str, ...]) -> None:
    """Run emulated Bitrix24 portals; all options go to `python -m emulator` (see --help).

    \b
    Examples:
      b24pay emulator --help
      b24pay emulator --listen 127.0.0.1:8800
    """
    # In this process' place: signals and the exit code then need no passing on.
    os.execv(sys.executable, [sys.executable, "-m", "emulator", *arguments])  # noqa: S606 - our own module, no shell
