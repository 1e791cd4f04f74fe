"""A live look at a portal before it is trusted with payments: what is missing, and which pay systems really pay.

Nothing is paid and nothing is changed: the right to pay is probed with a call that has no parameters, which the portal
refuses before it looks at any invoice (`protocol.md` §1, checks 1-3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bitrix24 import remedies
from bitrix24.batch import PAY_METHOD
from bitrix24.client import Client, reading_not_permitted
from bitrix24.credentials import Webhook
from bitrix24.errors import Effect, PortalError
from bitrix24.invoices import read_params
from bitrix24.portal import Portal
from bitrix24.shapes import as_int, as_map, as_rows, redact

_INVOICES: Final = "CRM_INVOICE"
# Handlers that print a document: they answer `true` and pay nothing (`protocol.md` §1, layer D).
_PAPER: Final = ("bill", "cash", "orderdocument")
# An invoice number that no portal has; reading it shows the right to read and no data.
_NO_INVOICE: Final = 2**31 - 1


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"  # payments work, with less than they could have
    ERROR = "error"  # payments do not work


class Kind(StrEnum):
    """What a pay call with this pay system does."""

    PAYS = "pays"  # a REST handler
    PAPER = "paper"  # answers `true` and pays nothing
    PROVIDER = "provider"  # only its provider can confirm; the call is refused
    UNKNOWN = "unknown"  # the portal did not let us see its REST handlers


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the look has shown; `remedy` is "" where there is nothing to do."""

    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaySystem:
    """A pay system for invoices; `handler` is what a payment may name as `bx_rest_handler` when it pays."""

    id: int
    name: str
    handler: str
    active: bool
    kind: Kind


@dataclass(frozen=True, slots=True)
class Checkup:
    """Everything found, in the order it was looked at."""

    findings: tuple[Finding, ...]
    pay_systems: tuple[PaySystem, ...]

    @property
    def usable(self) -> bool:
        """Whether payments can work: no finding is an error."""
        return all(finding.level is not Level.ERROR for finding in self.findings)


async def check_portal(client: Client, portal: Portal) -> Checkup:
    """Look at a portal with at most six calls; raises PortalError only where it cannot be asked at all just now."""
    findings = await _credential(client, portal)
    if any(finding.level is Level.ERROR for finding in findings):
        return Checkup(tuple(findings), ())
    findings += [await _paying(client, portal), await _reading(client, portal)]
    systems, about_systems = await _pay_systems(client, portal)
    return Checkup((*findings, *about_systems), systems)


async def needs_renewal(client: Client, portal: Portal) -> bool:
    """Whether the portal refuses an application's access token, which its refresh token may mend."""
    if isinstance(portal.credential, Webhook):
        return False
    try:
        await client.call(portal, "scope")
    except PortalError as error:
        return error.meaning.effect is Effect.REFRESH
    return False


async def _credential(client: Client, portal: Portal) -> list[Finding]:
    scopes = await _ask(client, portal, "scope")
    if isinstance(scopes, PortalError):
        return [_error(scopes)]
    granted = {str(name).lower() for name in as_map(scopes).values()}
    findings = []
    if "pay_system" not in granted:
        findings.append(Finding(Level.ERROR, "the credential lacks the scope pay_system (to pay)", remedies.SCOPE))
    if "crm" not in granted:
        findings.append(Finding(Level.WARNING, "the credential lacks the scope crm (to prove)", remedies.READING))
    if not findings:
        findings.append(Finding(Level.OK, "the credential has the scopes pay_system and crm"))
    return [*findings, await _user(client, portal)]


async def _user(client: Client, portal: Portal) -> Finding:
    profile = await _ask(client, portal, "profile")
    if isinstance(profile, PortalError):
        return Finding(Level.WARNING, f"the user behind the credential is not shown: {profile.text}")
    fields = as_map(profile)
    name = redact(f"{fields.get('NAME') or ''} {fields.get('LAST_NAME') or ''}") or "without a name"
    return Finding(Level.OK, f"payments are made as user {as_int(fields.get('ID')) or '?'} ({name})")


async def _paying(client: Client, portal: Portal) -> Finding:
    answer = await _ask(client, portal, PAY_METHOD)
    # The check of parameters comes after the check of rights: being refused for parameters means being allowed.
    if isinstance(answer, PortalError) and answer.code == "ERROR_CHECK_FAILURE":
        return Finding(Level.OK, "the user may pay invoices")
    if isinstance(answer, PortalError):
        return _error(answer)
    return Finding(Level.WARNING, "the portal answered a pay call without parameters in an unknown way")


async def _reading(client: Client, portal: Portal) -> Finding:
    answer = await _ask(client, portal, "crm.invoice.list", read_params([_NO_INVOICE]))
    if not isinstance(answer, PortalError):
        return Finding(Level.OK, "paid invoices can be read back")
    if reading_not_permitted(answer):
        return Finding(Level.WARNING, f"invoices cannot be read back: {answer.text}", remedies.READING)
    return Finding(Level.WARNING, f"reading invoices failed: {answer.text}", answer.meaning.remedy)


async def _pay_systems(client: Client, portal: Portal) -> tuple[tuple[PaySystem, ...], list[Finding]]:
    rows = await _ask(client, portal, "sale.paysystem.list")
    if isinstance(rows, PortalError):
        text = f"the pay systems cannot be listed ({rows.text}), so it is not known which of them really pay"
        remedy = "Give the webhook's user the right to change CRM settings and check again."
        return (), [Finding(Level.WARNING, text, remedy)]
    handlers = await _ask(client, portal, "sale.paysystem.handler.list")
    codes = None if isinstance(handlers, PortalError) else {_handler(row, "CODE") for row in as_rows(handlers)}
    systems = tuple(
        system
        for row in as_rows(rows)
        if row.get("ENTITY_REGISTRY_TYPE") == _INVOICES and (system := _pay_system(row, codes)) is not None
    )
    return systems, _about(systems)


def _pay_system(row: Mapping[str, object], codes: set[str] | None) -> PaySystem | None:
    system_id = as_int(row.get("ID"))
    if system_id is None:
        return None
    handler = _handler(row, "ACTION_FILE")
    if handler.lower().rpartition("/")[2].startswith(_PAPER):
        kind = Kind.PAPER
    elif codes is None:
        kind = Kind.UNKNOWN
    else:
        kind = Kind.PAYS if handler in codes else Kind.PROVIDER
    name = redact(str(row.get("NAME") or row.get("PSA_NAME") or ""))
    return PaySystem(id=system_id, name=name, handler=handler, active=row.get("ACTIVE") == "Y", kind=kind)


def _about(systems: tuple[PaySystem, ...]) -> list[Finding]:
    findings = [_about_one(system) for system in systems if system.kind is not Kind.PAYS]
    paying = [f"{system.id} ({system.name})" for system in systems if system.kind is Kind.PAYS]
    if paying:
        return [Finding(Level.OK, f"pay systems that pay: {', '.join(paying)}"), *findings]
    if any(system.kind is Kind.UNKNOWN for system in systems):
        return findings
    remedy = "Add a REST handler (sale.paysystem.handler.add) and a pay system for invoices with it."
    return [Finding(Level.ERROR, "no pay system of this portal can pay invoices by a call", remedy), *findings]


_BY_KIND: Final = {
    Kind.PAPER: "is a paper one: the portal would answer `true` and pay nothing",
    Kind.PROVIDER: "can be confirmed by its provider only: a pay call is refused",
    Kind.UNKNOWN: "may or may not pay: the portal does not show its REST handlers",
}


def _about_one(system: PaySystem) -> Finding:
    text = f"pay system {system.id} ({system.name}) {_BY_KIND[system.kind]}"
    return Finding(Level.WARNING, text, "Do not name it in payments.")


async def _ask(
    client: Client, portal: Portal, method: str, params: Mapping[str, object] | None = None
) -> object | PortalError:
    """The result, or the portal's refusal; what only says "not now" is raised."""
    try:
        return await client.call(portal, method, params)
    except PortalError as error:
        if error.meaning.effect in (Effect.BACKOFF, Effect.RATE, Effect.MOVED):
            raise
        return error


def _error(error: PortalError) -> Finding:
    return Finding(Level.ERROR, f"the portal refuses: {error.code or error.text}", error.meaning.remedy)


def _handler(row: Mapping[str, object], name: str) -> str:
    return redact(str(row.get(name) or ""))
