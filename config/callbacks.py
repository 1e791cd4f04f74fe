"""Which addresses may be told of a payment's end: https, on hosts that the operator has named.

A producer chooses the address, so one narrow pattern reads it: no user, no fragment, no second way to write a host.
Where a name leads is looked at again when it is connected to (`callbacks/sending.py`).
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

LONGEST_ADDRESS: Final = 2000
_LAST_PORT: Final = 65_535
_LONGEST_NAME: Final = 253
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?"
)


class BadCallback(ValueError):  # noqa: N818 - names what was met
    """An address that nobody is told at; the text goes on "callback ..." and repeats nothing of it but its host."""


@dataclass(frozen=True, slots=True)
class CallbackRules:
    """What the operator allows."""

    hosts: tuple[str, ...]  # names, or `*.` and a name for everything below it
    allow_insecure: bool  # http, and addresses that are not public

    def allow(self, host: str) -> bool:
        """Whether a host, in lower case, is one of them."""
        return any(host.endswith(each[1:]) if each.startswith("*.") else host == each for each in self.hosts)


def as_callback_hosts(value: object) -> object:
    """Hosts between commas, in lower case; raises ValueError with the position of a bad one."""
    return read_hosts(value) if isinstance(value, str) else value


def read_hosts(value: str) -> tuple[str, ...]:
    """The same of a text."""
    given = [word.strip().lower() for word in value.split(",") if word.strip()]
    for position, word in enumerate(given, start=1):
        if not _is_host(word.removeprefix("*.")) or (word.startswith("*.") and _is_number(word[2:])):
            raise ValueError(f"entry {position} of {len(given)} is not a host or *.host")
    return tuple(given)


def read_callback(value: object, rules: CallbackRules) -> tuple[str, str]:
    """The host (in lower case, without the port) and the address itself; raises BadCallback."""
    if not rules.hosts:
        raise BadCallback("is not possible here: no host is allowed; name it in B24PAY_CALLBACK_HOSTS")
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) and len(value) <= LONGEST_ADDRESS else None
    if found is None or not 0 < int(found["port"] or 1) <= _LAST_PORT:
        raise BadCallback(
            "is not an address that can be called: https://host/path, in ASCII, without user and fragment, "
            f"at most {LONGEST_ADDRESS} characters"
        )
    if found["scheme"] != "https" and not rules.allow_insecure:
        raise BadCallback("is not https: give an https:// address")
    host = found["host"].strip("[]").lower()
    if not _is_host(host) or not rules.allow(host):
        raise BadCallback(f"leads to {host[:_LONGEST_NAME]}, which is not allowed: name it in B24PAY_CALLBACK_HOSTS")
    return host, found[0]


def _is_host(text: str) -> bool:
    return (len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None) or _is_number(text)


def _is_number(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
