"""A portal as operators describe it: address, credential and what it admits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from yarl import URL

from bitrix24.credentials import Credential, OAuth, Webhook, renewal_due
from bitrix24.hosts import host_key, is_oauth_host, is_public
from bitrix24.secret import Secret

KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
MEMBER_ID: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{4,128}")
_WEBHOOK_PATH: Final = re.compile(r"/rest/(?P<user>\d{1,18})/(?P<code>[^/]+)(?:/[A-Za-z0-9._]*)?/*")
_OAUTH_FIELDS: Final = ("client_id", "client_secret", "access_token", "refresh_token", "endpoint", "oauth_url")
_FIELDS: Final = ("webhook", *_OAUTH_FIELDS, "expires", "limits", "plan", "member_id")
_TOKEN: Final = re.compile(r"[!-~]{4,2048}")  # visible ASCII: it stands in a header
_REST_PATH: Final = re.compile(r"/rest/*")
_WEBHOOK_EXAMPLE: Final = "https://acme.bitrix24.com/rest/1/CODE/"
_ENDPOINT_EXAMPLE: Final = "https://acme.bitrix24.com/rest/"
_OAUTH_EXAMPLE: Final = "https://oauth.bitrix.info/oauth/token/"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalLimits:
    """What a portal admits: requests drain at so many per second from a bucket of `burst`; execution per 10 minutes."""

    requests_per_second: float = 2.0
    burst: int = 50
    execution_seconds_per_10_min: float = 480.0
    # The ten minutes. Nothing that describes a portal can change them; the benchmark's portal has a shorter window.
    execution_window_s: float = 600.0


# Enterprise plans admit more requests (`protocol.md` §5); execution time is the same for all.
PLANS: Final[Mapping[str, PortalLimits]] = {
    "enterprise": PortalLimits(requests_per_second=5.0, burst=250),
    "standard": PortalLimits(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """One Bitrix24 account. `endpoint` is `https://host/rest/`, without the secret, and may be shown to operators."""

    key: str
    endpoint: str
    credential: Credential
    member_id: str | None = None
    limits: PortalLimits = field(default_factory=PortalLimits)
    plan: str | None = None
    version: int = field(default=0, compare=False)  # how often this key was stored; 0 before it is

    @property
    def host(self) -> str:
        """The address' identity: lower case, with the port where it is not the default."""
        return host_key(self.endpoint)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a portal's description; never shows what was given for a secret."""

    field: str
    text: str
    hint: str

    def __str__(self) -> str:
        return f"{self.field} {self.text}. {self.hint}"


class InvalidPortal(ValueError):  # noqa: N818 - names what is invalid
    """A portal's description was refused; `problems` has all of them at once."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def parse_portal(key: str, description: Mapping[str, object], *, allow_insecure: bool = False) -> Portal:
    """A portal from its key and the JSON object of `contract.md` §4; raises InvalidPortal with every problem."""
    problems = [*_key_problems(key), *_unknown_fields(description, _FIELDS, "")]
    limits, plan = _limits(description, problems)
    found = _address(description, problems, allow_insecure=allow_insecure)
    member_id = description.get("member_id")
    if member_id is not None and not (isinstance(member_id, str) and MEMBER_ID.fullmatch(member_id)):
        problems.append(Problem("member_id", "is not a member id", "Leave it out, or use the portal's 32 characters"))
    if problems or found is None:
        raise InvalidPortal(problems)
    endpoint, credential = found
    return Portal(
        key=key,
        endpoint=endpoint,
        credential=credential,
        member_id=member_id if isinstance(member_id, str) else None,
        limits=limits,
        plan=plan,
    )


def endpoint_problem(url: URL, *, allow_insecure: bool) -> tuple[str, str] | None:
    """What forbids an address as a portal's, as (text, hint), or None."""
    hint = f"Example: {_WEBHOOK_EXAMPLE}"
    if url.scheme not in ("https", "http") or not url.raw_host:
        return "is not a web address", hint
    if url.user or url.password:
        return "carries a user name or password before the host", hint
    if allow_insecure:
        return None
    if url.scheme != "https":
        return "is not https", "Use https://; B24PAY_ALLOW_INSECURE_PORTALS=1 allows http:// for emulators and tests"
    if not is_public(url.raw_host):
        return "is a local or private address", "B24PAY_ALLOW_INSECURE_PORTALS=1 allows it for emulators and tests"
    return None


def _key_problems(key: str) -> list[Problem]:
    if KEY.fullmatch(key):
        return []
    hint = "Use 1-63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit, for example acme"
    return [Problem("key", "is not a portal key", hint)]


def _unknown_fields(given: Mapping[str, object], known: tuple[str, ...], prefix: str) -> list[Problem]:
    unknown = [name for name in given if name not in known]
    # The name may be a secret that was pasted in the wrong place: only well-formed short names are repeated.
    shown = [name if re.fullmatch(r"[a-z_]{1,30}", name) else "(not shown)" for name in unknown]
    return [Problem(f"{prefix}{name}", "is not a field", f"Fields: {', '.join(known)}") for name in shown]


def _address(
    description: Mapping[str, object], problems: list[Problem], *, allow_insecure: bool
) -> tuple[str, Credential] | None:
    oauth = [name for name in (*_OAUTH_FIELDS, "expires") if name in description]
    if "webhook" in description:
        if oauth:
            problems.append(Problem("webhook", f"stands beside {', '.join(oauth)}", "Leave one of them out"))
        return _webhook(description["webhook"], problems, allow_insecure=allow_insecure)
    if oauth:
        return _oauth(description, problems, allow_insecure=allow_insecure)
    problems.append(Problem("webhook", "is required", f"Example: {_WEBHOOK_EXAMPLE}"))
    return None


def _webhook(given: object, problems: list[Problem], *, allow_insecure: bool) -> tuple[str, Webhook] | None:
    hint = f"Example: {_WEBHOOK_EXAMPLE}"
    url = _url(given)
    if url is None:
        problems.append(Problem("webhook", "is not a web address", hint))
        return None
    refused = endpoint_problem(url, allow_insecure=allow_insecure)
    if refused:
        problems.append(Problem("webhook", *refused))
    match = _WEBHOOK_PATH.fullmatch(url.path)
    if match is None or not _CODE.fullmatch(match["code"]) or int(match["user"]) == 0:
        problems.append(Problem("webhook", "is not the address of an inbound webhook", hint))
        return None
    return None if refused else (f"{url.origin()}/rest/", Webhook(int(match["user"]), Secret(match["code"])))


def _url(given: object) -> URL | None:
    if not isinstance(given, str):
        return None
    try:
        url = URL(unquote(given.strip()))
    except ValueError:
        return None
    return url if url.absolute and url.port != 0 else None


def _oauth(given: Mapping[str, object], problems: list[Problem], *, allow_insecure: bool) -> tuple[str, OAuth] | None:
    before = len(problems)
    texts = {name: _text(given, name, problems) for name in _OAUTH_FIELDS}
    endpoint = _endpoint(texts["endpoint"], problems, allow_insecure=allow_insecure)
    oauth_url = _oauth_url(texts["oauth_url"], problems, allow_insecure=allow_insecure)
    tokens = ("client_id", "client_secret", "access_token", "refresh_token")
    odd = [name for name in tokens if texts[name] and not _TOKEN.fullmatch(texts[name])]
    problems += [Problem(name, "has blanks or characters that no token has", "Copy it again") for name in odd]
    expires = given.get("expires")
    if expires is not None and (isinstance(expires, bool) or not isinstance(expires, int | float) or expires <= 0):
        problems.append(Problem("expires", "is not a time", "Use the portal's epoch seconds, or leave it out"))
    if len(problems) > before or endpoint is None or oauth_url is None:
        return None
    expires_at = float(expires) if isinstance(expires, int | float) else None
    return endpoint, OAuth(
        client_id=texts["client_id"],
        client_secret=Secret(texts["client_secret"]),
        access_token=Secret(texts["access_token"]),
        refresh_token=Secret(texts["refresh_token"]),
        oauth_url=oauth_url,
        expires_at=expires_at,
        renew_at=renewal_due(expires_at),
    )


def _text(given: Mapping[str, object], name: str, problems: list[Problem]) -> str:
    value = given.get(name)
    if isinstance(value, str) and value.strip():
        return value.strip()
    problems.append(Problem(name, "is required with OAuth credentials", "Use a non-empty string"))
    return ""


def _endpoint(given: str, problems: list[Problem], *, allow_insecure: bool) -> str | None:
    url = _url(given) if given else None
    if url is None:
        if given:
            problems.append(Problem("endpoint", "is not a web address", f"Example: {_ENDPOINT_EXAMPLE}"))
        return None
    refused = endpoint_problem(url, allow_insecure=allow_insecure)
    if refused:
        problems.append(Problem("endpoint", *refused))
    elif not _REST_PATH.fullmatch(url.path) or url.query_string:
        problems.append(Problem("endpoint", "is not the REST address of a portal", f"Example: {_ENDPOINT_EXAMPLE}"))
    return f"{url.origin()}/rest/" if not refused else None


def _oauth_url(given: str, problems: list[Problem], *, allow_insecure: bool) -> str | None:
    if not given:
        return None
    url = _url(given)
    if url is None or not is_oauth_host(url, allow_insecure=allow_insecure):
        hint = f"Use the host of the portal's server_endpoint. Example: {_OAUTH_EXAMPLE}"
        problems.append(Problem("oauth_url", "is not an OAuth server of Bitrix24", hint))
        return None
    return f"{url.origin()}/oauth/token/"


def _limits(given: Mapping[str, object], problems: list[Problem]) -> tuple[PortalLimits, str | None]:
    plan = given.get("plan")
    if plan is not None and not (isinstance(plan, str) and plan in PLANS):
        problems.append(Problem("plan", "is not a plan", f"Use one of {', '.join(PLANS)}, or leave it out"))
        plan = None
    base = PLANS[plan] if isinstance(plan, str) else PortalLimits()
    limits = given.get("limits", {})
    if not isinstance(limits, Mapping):
        problems.append(Problem("limits", "is not an object", 'Example: {"requests_per_second": 2, "burst": 50}'))
        limits = {}
    names = ("requests_per_second", "burst", "execution_seconds_per_10_min")
    problems += _unknown_fields(limits, names, "limits.")
    merged = PortalLimits(
        requests_per_second=_number(limits, names[0], base.requests_per_second, (0.01, 1000), problems),
        burst=int(_number(limits, names[1], base.burst, (1, 100_000), problems, whole=True)),
        execution_seconds_per_10_min=_number(limits, names[2], base.execution_seconds_per_10_min, (1, 600), problems),
    )
    return merged, plan if isinstance(plan, str) else None


def _number(
    given: Mapping[str, object],
    name: str,
    default: float,
    within: tuple[float, float],
    problems: list[Problem],
    *,
    whole: bool = False,
) -> float:
    value = given.get(name, default)
    fits = isinstance(value, int) if whole else isinstance(value, int | float)
    if fits and not isinstance(value, bool) and isinstance(value, int | float) and within[0] <= value <= within[1]:
        return float(value)
    kind = "a whole number" if whole else "a number"
    problems.append(Problem(f"limits.{name}", f"is not {kind} in range", f"Use {within[0]:g} to {within[1]:g}"))
    return default
