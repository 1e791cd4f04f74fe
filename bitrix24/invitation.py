"""What an operator says of a portal that is to connect itself: the application's keys, and what is expected of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from yarl import URL

from bitrix24.portal import InvalidPortal, Problem, parse_portal
from bitrix24.secret import Secret

_FIELDS: Final = ("client_id", "client_secret", "application_token", "address", "member_id", "plan", "limits")
_OF_PORTALS: Final = ("plan", "limits", "member_id")
_SECRET: Final = re.compile(r"[!-~]{4,512}")
_ANY_PORTAL: Final = "https://portal.bitrix24.com"  # stands for the address that nobody has told


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """An application that may connect a portal. What is None is taken from the first event and kept.

    `host` is the identity of the expected address (`hosts.host_key`); `described` has `plan` and `limits` where the
    operator gave them, as `parse_portal` reads them.
    """

    client_id: str
    client_secret: Secret
    application_token: Secret | None = None
    member_id: str | None = None
    host: str | None = None
    described: Mapping[str, object] = field(default_factory=dict)


def parse_invitation(key: str, description: Mapping[str, object], *, allow_insecure: bool = False) -> Invitation:
    """An invitation from the JSON object of `b24pay portal invite`; raises InvalidPortal with every problem."""
    unknown = [name for name in description if name not in _FIELDS]
    shown = [name if re.fullmatch(r"[a-z_]{1,30}", name) else "(not shown)" for name in unknown]
    problems = [Problem(name, "is not a field", f"Fields: {', '.join(_FIELDS)}") for name in shown]
    client_id = _text(description, "client_id", problems, required=True)
    client_secret = _text(description, "client_secret", problems, required=True)
    application_token = _text(description, "application_token", problems)
    address = _text(description, "address", problems)
    host = _host(key, address, description, problems, allow_insecure=allow_insecure)
    if problems:
        raise InvalidPortal(problems)
    member_id = description.get("member_id")
    return Invitation(
        client_id=client_id,
        client_secret=Secret(client_secret),
        application_token=Secret(application_token) if application_token else None,
        member_id=member_id if isinstance(member_id, str) else None,
        host=host if address else None,
        described={name: description[name] for name in ("plan", "limits") if name in description},
    )


def _text(description: Mapping[str, object], name: str, problems: list[Problem], *, required: bool = False) -> str:
    value = description.get(name)
    if value is None and not required:
        return ""
    if isinstance(value, str) and _SECRET.fullmatch(value.strip()):
        return value.strip()
    hint = "Copy it from the application's page in Bitrix24"
    problems.append(Problem(name, "is missing" if value is None else "is not what Bitrix24 shows", hint))
    return ""


def _host(
    key: str, address: str, description: Mapping[str, object], problems: list[Problem], *, allow_insecure: bool
) -> str:
    """The expected address; the key, the plan, the limits and the member id are judged along with it."""
    origin = _origin(address) if address else _ANY_PORTAL
    if origin is None:
        problems.append(Problem("address", "is not a web address", "Example: acme.bitrix24.com"))
        origin = _ANY_PORTAL
    stand_in = {"webhook": f"{origin}/rest/1/stand-in/"}
    given = {name: description[name] for name in _OF_PORTALS if name in description}
    try:
        return parse_portal(key, {**stand_in, **given}, allow_insecure=allow_insecure).host
    except InvalidPortal as error:
        problems += [replace(each, field="address") if each.field == "webhook" else each for each in error.problems]
    return ""


def _origin(address: str) -> str | None:
    try:
        return str(URL(address if "://" in address else f"https://{address}").origin())
    except ValueError:
        return None
