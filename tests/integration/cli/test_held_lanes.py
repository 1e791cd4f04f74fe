"""Every reason that a person must mend: what the portal's answer leads to in `portal show`, `doctor` and the log."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from bitrix24 import remedies
from bitrix24.classification import TABLE, Credential, Where
from bitrix24.errors import Effect
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal
from tests.integration.cli.conftest import Terminal

PAY = "sale.paysystem.pay.invoice"


@dataclass(frozen=True)
class Case:
    """How a portal is, and what a person is told about it."""

    code: str
    text: str  # a part of it
    remedy: str
    settings: Mapping[str, object] = field(default_factory=dict)  # the portal's
    fault: Mapping[str, object] = field(default_factory=dict)
    by_itself: bool = True

    def __str__(self) -> str:
        return f"{self.code}-{self.text}".replace(" ", "_")


def rights(**changes: object) -> Mapping[str, object]:
    """A portal whose webhook may not do everything."""
    return {"webhooks": {"1/emulator-secret": changes}}


def answer(code: str, status: int, text: str) -> Mapping[str, object]:
    """A portal that refuses every request with a code."""
    return {"kind": "error", "place": "before", "status": status, "code": code, "text": text}


def page(status: int) -> Mapping[str, object]:
    """Something before the portal that answers with a page."""
    return {"kind": "reply", "place": "before", "status": status, "body": "<html>no</html>"}


def told(code: str, status: int, text: str, remedy: str) -> Case:
    """A code that comes as an answer to anything."""
    return Case(code, text, remedy, fault=answer(code, status, text))


CASES = [
    Case("INVALID_CREDENTIALS", "Invalid request credentials", remedies.WEBHOOK, {"webhooks": {"1/other": {}}}),
    Case("INSUFFICIENT_SCOPE", "no description", remedies.SCOPE, rights(scopes=["crm"])),  # a batch says no more
    Case("AUTHORIZATION_ERROR", "Unable to authorize user", remedies.USER, rights(dismissed=True)),
    Case("USER_ACCESS_ERROR", "does not have access", remedies.USER, rights(app_access=False)),
    Case("ACCESS_DENIED", "Access denied", remedies.RIGHTS, rights(can_pay=False)),
    Case("ACCESS_DENIED", "commercial plans", remedies.PLAN, {"plan_blocked": True}),
    Case("OVERLOAD_LIMIT", "blocked due to overload", remedies.OVERLOAD, {"overload_hold": True}, by_itself=False),
    Case("PORTAL_DELETED", "", remedies.CLOSED, {"site_stopped": True}, by_itself=False),
    Case("INVALID_REQUEST", "Https required", remedies.HTTPS, {"https_required": True}),
    Case("ERROR_METHOD_NOT_FOUND", "ethod", remedies.METHOD, {"without_methods": [PAY]}),
    Case("ERROR_INVOICE_NO_SUPPORTED", "", remedies.CRM, {"crm_module": False}),
    told("ERROR_PAY_INVOICE_NOT_SUPPORTED", 400, "Invoices are not supported", remedies.CRM),
    told("INVALID_SCOPE", 403, "The scope is not valid", remedies.SCOPE),
    told("WRONG_AUTH_TYPE", 403, "Current authorization type is denied", remedies.AUTH_TYPE),
    told("METHOD_CONFIRM_WAITING", 401, "Waiting for confirmation", remedies.CONFIRM),
    told("METHOD_CONFIRM_DENIED", 403, "Method call denied", remedies.CONFIRM),
    told("NO_AUTH_FOUND", 401, "Wrong authorization data", remedies.WEBHOOK),
    told("EXPIRED_TOKEN", 401, "The access token has expired", remedies.WEBHOOK),
    told("INVALID_TOKEN", 401, "Unable to get application by token", remedies.WEBHOOK),
    told("APPLICATION_NOT_FOUND", 401, "Application not found", remedies.APPLICATION),
    told("ERROR_OAUTH", 401, "Application not installed", remedies.APPLICATION),
    told("NOT_INSTALLED", 401, "Application not installed", remedies.APPLICATION),
    told("PAYMENT_REQUIRED", 401, "Subscription has been ended", remedies.PLAN),
    told("ERROR_MANIFEST_IS_NOT_AVAILABLE", 404, "Manifest is not available", remedies.METHOD),
    Case("HTTP_401", "HTTP 401", remedies.WEBHOOK, fault=page(401)),
    Case("HTTP_403", "HTTP 403", remedies.FORBIDDEN, fault=page(403)),
    Case("HTTP_404", "HTTP 404", remedies.ADDRESS, fault=page(404)),
    Case("HTTP_410", "HTTP 410", remedies.ADDRESS, fault=page(410)),
    Case("HTTP_302", "HTTP 302", remedies.REDIRECT, {"redirect": "/login"}),
]


def test_every_code_that_needs_a_person_has_a_case() -> None:
    """The table says which; those of the token server are asked by nobody who pays with a webhook."""
    rows = [row for row in TABLE if row.means.effect is Effect.HOLD and Where.REFRESH not in row.where]
    codes = {code for row in rows if row.credential is not Credential.OAUTH for code in row.codes}
    assert codes == {case.code for case in CASES if not case.code.startswith("HTTP_")}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_person_is_told_what_to_do(terminal: Terminal, case: Case) -> None:
    """The reason in the portal's words, the remedy in ours, how many wait, and whether it goes on by itself."""
    portal = held_portal(terminal, case)
    held = terminal.json("portal", "show", portal.key).document["held"]
    assert held["code"] == case.code
    assert case.text in held["text"]
    assert case.remedy not in held["text"]
    assert held["what_to_do"].startswith(case.remedy)
    assert (held["next_look_at"] is not None) is case.by_itself
    assert held["waiting"] == 1
    assert f"portal resume {portal.key}" in held["what_to_do"]
    shown, listed = terminal("portal", "show", portal.key).out, terminal("portal", "list").out
    assert case.remedy in shown
    [line] = [line for line in listed.splitlines() if f" {portal.key} " in f" {line} "]
    assert f"held: {case.code} ({'next look' if case.by_itself else 'never by itself'}" in line
    [finding] = [each for each in terminal.json("doctor").document["findings"] if f"lane {portal.key} " in each["text"]]
    assert f"1 waiting: {case.code}" in finding["text"]
    assert finding["remedy"].startswith(case.remedy)
    [worker] = terminal.house.workers
    events = [each for each in worker.events() if each["event"] == "lane.held" and each["portal"] == portal.key]
    assert {(each["code"], each["remedy"]) for each in events} == {(case.code, case.remedy)}
    assert case.text in events[0]["text"]


def held_portal(terminal: Terminal, case: Case) -> EmulatedPortal:
    """A portal whose lane is held for the reason, with one payment."""
    portal = terminal.house.add_portal(**case.settings)
    if case.fault:
        portal.fault(**case.fault)  # type: ignore[arg-type]  # the cases name real fields
    assert terminal("pay", "5", "--portal", portal.key, "--pay-system", "1").code == 0
    eventually_sync(lambda: portal.held() is not None)
    eventually_sync(lambda: portal.counts()["queued"] + portal.counts()["in_doubt"] == 1)
    return portal
