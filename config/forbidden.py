"""What a Redis user may not do, in words: the server's own, taken from the two ways in which it says so."""

import re
from typing import Final

# Within a script it is an ordinary error without the code.
_MARKS: Final = ("NOPERM", "ACL failure in script", "no permissions")
_COMMAND: Final = re.compile(r"User (\S+) has no permissions to run the '([^']+)' command")
_KEY: Final = re.compile(r"[Nn]o permissions to access (?:a key|the '([^']*)' key|one of the keys)")
_CHANNEL: Final = re.compile(r"[Nn]o permissions to access (?:a channel|the '([^']*)' channel|one of the channels)")

NEXT_STEP: Final = (
    "Use the user of this role (commands are given by b24pay-operator), or load the server's users anew from "
    "deploy/redis/users.acl of this version; docs/redis.md. `ACL LOG` on the server names what was refused."
)


def forbidden(error: BaseException) -> tuple[str, str] | None:
    """(user or "", what it may not do) where the error is a missing right, else None."""
    text = str(error)
    if type(error).__name__ != "NoPermissionError" and not any(mark in text for mark in _MARKS[:2]):
        return None
    if found := _COMMAND.search(text):
        return found[1], f"run '{found[2]}'"
    if _CHANNEL.search(text):
        return "", "use a channel that it needs"
    if _KEY.search(text):
        return "", "use a key that it needs"
    return "", "do this"
