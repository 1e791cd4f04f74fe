"""What an error code means for people: in a sentence, what to do about it, and where the runbook says more.

What to do comes from the far side's table (`bitrix24.classification`); the sentences and our own codes stand here. A
test holds them against the codes that metrics know.
"""

from dataclasses import dataclass
from typing import Final

from bitrix24 import remedies
from bitrix24.classification import Body, Ending, Where, classify, usable
from ledger.payment import Refusal

RUNBOOK: Final = "docs/runbook"
_MANY_FAIL: Final = f"{RUNBOOK}/B24payManyFail.md"
_DOUBTS: Final = f"{RUNBOOK}/B24payDoubtOld.md"
_HELD: Final = f"{RUNBOOK}/B24payLaneHeld.md"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One code as an operator reads it. `known`: this version has a sentence about it."""

    code: str
    says: str
    to_do: str
    runbook: str
    known: bool = True


_CREDENTIAL: Final = "The portal does not accept the credential any more."
_APPLICATION: Final = "The application is not usable on the portal."
_SCOPE: Final = "The credential lacks a scope."
_PLAN: Final = "The portal's plan does not include REST, or its subscription has ended."
_METHOD: Final = "The portal does not have the method that pays invoices."
_CRM: Final = "The portal has no invoices: its CRM is missing."
_SAYS: Final = {
    "ACCEPTED_NOT_PAID": "The portal said true and did not pay: the invoice was read back and is unpaid.",
    "ACCESS_DENIED": "The credential's user may not do this.",
    "ANOTHER_PORTAL": "The credential belongs to another portal.",
    "APPLICATION_NOT_FOUND": _APPLICATION,
    "APP_UNINSTALLED": "The application was removed from the portal.",
    "AUTHORIZATION_ERROR": "The credential's user may not use REST, or was dismissed.",
    "CONNECTION_ERROR": "The portal could not serve the request just then.",
    "ERROR_BATCH_LENGTH_EXCEEDED": "The portal takes fewer commands in one request.",
    "ERROR_BATCH_METHOD_NOT_ALLOWED": "The portal does not let this method be called within a batch.",
    "ERROR_CHECK_FAILURE": "The portal refused the request before it did anything: a value in it is wrong.",
    "ERROR_INTERNAL_INVOICE_NOT_FOUND": "The portal has no such invoice.",
    "ERROR_INVOICE_NO_SUPPORTED": _CRM,
    "ERROR_MANIFEST_IS_NOT_AVAILABLE": _METHOD,
    "ERROR_METHOD_NOT_FOUND": _METHOD,
    "ERROR_OAUTH": _APPLICATION,
    "ERROR_PAY_INVOICE_NOT_SUPPORTED": _CRM,
    "ERROR_PROCESS_REQUEST_RESULT": "The pay system's own handler refused; the invoice was read as unpaid.",
    "ERROR_UNEXPECTED_ANSWER": "The portal broke off while it worked; the invoice was read as unpaid.",
    "EXPIRED_TOKEN": _CREDENTIAL,
    "INSUFFICIENT_SCOPE": _SCOPE,
    "INTERNAL_SERVER_ERROR": "The portal broke off while it worked; the invoice was read as unpaid.",
    "INVALID_CLIENT": _APPLICATION,
    "INVALID_CREDENTIALS": _CREDENTIAL,
    "INVALID_GRANT": "The application's refresh token is no longer accepted.",
    "INVALID_REQUEST": "The portal wants https, or could not read the request.",
    "INVALID_SCOPE": _SCOPE,
    "INVALID_TOKEN": _CREDENTIAL,
    "METHOD_CONFIRM_DENIED": "An administrator of the portal has not permitted the method.",
    "METHOD_CONFIRM_WAITING": "An administrator of the portal has not permitted the method yet.",
    "NOT_INSTALLED": _APPLICATION,
    "NOT_READABLE": "The read-back did not show the invoice: it was deleted, or the user may not read it.",
    "NO_ANSWER": "The portal answered none of the attempts, and each time the invoice was read as unpaid.",
    "NO_AUTH_FOUND": _CREDENTIAL,
    "NO_CODE": "The portal refused and gave no code.",
    "OPERATION_TIME_LIMIT": "The method's execution time was spent; that is waited for.",
    "OPERATOR": "A person has stopped the lane.",
    "OVERLOAD_LIMIT": "Bitrix24 has blocked the credential by hand.",
    "PAYMENT_REQUIRED": _PLAN,
    "PORTAL_DELETED": "The portal is closed or deleted.",
    "QUERY_LIMIT_EXCEEDED": "The portal was asked too fast; that is waited for.",
    "RESOLVED_UNPAID": "A person looked into the portal and said that the invoice is unpaid.",
    "USER_ACCESS_ERROR": "The credential's user may not use the application, or was dismissed.",
    "WORKER_DIED": "Three workers died while they paid it, and the invoice was read as unpaid.",
    "WRONG_AUTH_TYPE": "The portal does not let this kind of credential pay.",
    "WRONG_CLIENT": _APPLICATION,
    "WRONG_ENCODING": "The portal could not encode its answer; the invoice was read as unpaid.",
}
_READ_FIRST: Final = "Retry it: the invoice is read first, and sent again only if it is still unpaid."
# Where our own codes, or the portal's in this place, ask for something else than the far side's table says.
_TO_DO: Final = {
    "ACCEPTED_NOT_PAID": "A call cannot pay by a paper pay system (bill, cash). Choose one that `b24pay portal check` "
    "lists as paying, and request the payment again; or pay by hand.",
    "NOT_READABLE": "Look for the invoice in the portal. If it is there, give the credential's user the right to read "
    "it, then verify.",
    "NO_ANSWER": f"See how the portal stands. When it answers again: {_READ_FIRST[0].lower()}{_READ_FIRST[1:]}",
    "RESOLVED_UNPAID": _READ_FIRST,
    "WORKER_DIED": "Look into the workers' logs for the reason, mend it, then retry.",
    "OPERATOR": "See the reason; whoever held it says when it may be resumed.",
    "APP_UNINSTALLED": remedies.INSTALL_AGAIN,
    "ANOTHER_PORTAL": remedies.ANOTHER_PORTAL,
}
_UNKNOWN: Final = "A code of the portal's that this version has no sentence for; its own text says the rest."
_MEND: Final = "Read the portal's text, mend the cause, then retry: what was ever sent is read first."


def meaning_of(error: Refusal) -> Meaning:
    """What a payment's error means, and what to do."""
    code = usable(error.code)
    known = code in _SAYS
    return Meaning(
        code=error.code or "NO_CODE",
        says=_SAYS.get(code, _UNKNOWN if code else _SAYS["NO_CODE"]),
        to_do=_TO_DO.get(code) or _remedy(code, error.text, reading=False) or _MEND,
        runbook=_MANY_FAIL,
        known=known,
    )


def meaning_of_reading(error: Refusal) -> Meaning:
    """Why a read-back gave no answer, and what to do."""
    code = usable(error.code)
    return Meaning(
        code=error.code or "NO_CODE",
        says=_SAYS.get(code, _UNKNOWN),
        to_do=_TO_DO.get(code) or _remedy(code, error.text, reading=True) or "It is read again by itself.",
        runbook=_DOUBTS,
        known=code in _SAYS,
    )


def meaning_of_hold(code: str, remedy: str) -> Meaning:
    """Why a lane is held; the remedy was stored with the hold."""
    known = usable(code) in _SAYS
    to_do = remedy or _TO_DO.get(usable(code)) or "Mend the cause, then resume the portal."
    return Meaning(code, _SAYS.get(usable(code), "The portal refuses all work."), to_do, _HELD, known)


def _remedy(code: str, text: str, *, reading: bool) -> str:
    if not code:
        return ""
    return classify(Ending(where=Where.COMMAND, code=code, text=text, body=Body.ERROR, reading=reading)).remedy
