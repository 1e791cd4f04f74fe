"""How a command ends: the exit codes of the contract, and errors that carry a cause and a next step."""

from enum import IntEnum
from typing import Final

INTERRUPTED: Final = 130  # 128 + SIGINT, what a shell expects after Ctrl-C


class Exit(IntEnum):
    """What a script may rely on (sysexits.h where it has a number)."""

    DONE = 0
    REFUSED = 1  # refused for good
    USAGE = 2  # the command line or the file's shape is wrong; nothing was accepted
    IN_DOUBT = 3  # in doubt, or differences were found
    PARTLY = 4  # some done, some refused
    UNREACHABLE = 69  # Redis or the portal did not answer
    TEMPORARY = 75  # not yet; the same command may be given again
    CONFIGURATION = 78


class CommandError(Exception):
    """A command that cannot go on: what is wrong, what to do next, and the exit code."""

    def __init__(self, cause: str, next_step: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step
        self.code = code


def worst(*, done: int, refused: int, in_doubt: int = 0, unfinished: int = 0) -> Exit:
    """The exit code of a command over many payments: doubt outranks waiting, waiting outranks refusals."""
    if in_doubt:
        return Exit.IN_DOUBT
    if unfinished:
        return Exit.TEMPORARY
    if refused:
        return Exit.PARTLY if done else Exit.REFUSED
    return Exit.DONE
