"""What a command changes is written down before and after: who at which machine, what, and how it ended."""

import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from access.audit import Ending
    from cli.session import Session

_ROLE: Final = "shell"  # whoever has REDIS_URL may do everything
_LONGEST_NAME: Final = 100
_FAILING: Final = frozenset({Exit.UNREACHABLE, Exit.TEMPORARY})


@dataclass(slots=True)
class Act:
    """A change under way; whoever makes it says here how things stand."""

    before: object = None
    after: object = None
    partly: bool = False
    refused: bool = False


@asynccontextmanager
async def acting(
    session: "Session", what: str, *subjects: object, why: str | None = None, before: object = None
) -> AsyncIterator[Act]:
    """Put a change between two rows of the audit: nothing is changed where the first cannot be written."""
    import uuid

    from access.audit import Intent, Origin

    intent = Intent(
        who=who(),
        role=_ROLE,
        origin=Origin.CLI,
        what=what,
        subjects=[str(each) for each in subjects],
        request_id=uuid.uuid4().hex,
        why=why,
        before=before,
    )
    begun = await session.audit.begin(intent)
    act = Act()
    try:
        yield act
    except Exception as error:
        await session.audit.end(begun, _broken(act, error))
        raise
    await session.audit.end(begun, _ended(act))


def who() -> str:
    """The user and the machine, as far as the system tells; `sudo` names who is behind it."""
    try:
        import pwd

        user = pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):  # no such table, or a user without an entry, as in containers
        user = str(os.geteuid()) if hasattr(os, "geteuid") else "somebody"
    behind = os.environ.get("SUDO_USER")
    name = f"{behind} as {user}" if behind else user
    return f"{name[:_LONGEST_NAME]}@{socket.gethostname()[:_LONGEST_NAME]}"


def _ended(act: Act) -> "Ending":
    from access.audit import Ending, Outcome

    outcome = Outcome.REFUSED if act.refused else Outcome.PARTLY if act.partly else Outcome.DONE
    return Ending(outcome=outcome, before=act.before, after=act.after)


def _broken(act: Act, error: Exception) -> "Ending":
    from access.audit import Ending, Outcome
    from cli.failures import explained

    told = explained(error)
    outcome = Outcome.FAILED if told.code in _FAILING and not isinstance(error, CommandError) else Outcome.REFUSED
    return Ending(outcome=outcome, before=act.before, after=act.after, error=told.cause)


def in_portions(ids: Sequence[str], size: int = 100) -> Sequence[Sequence[str]]:
    """Many subjects as rows of a bounded size."""
    return [ids[first : first + size] for first in range(0, len(ids), size)]
