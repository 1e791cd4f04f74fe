"""What a person should know and do about a held lane, for each remedy of the far side's table; written by hand.

A test holds the remedies against `bitrix24.classification`: a new one needs its advice here.
"""

from dataclasses import dataclass
from typing import Final

from bitrix24 import remedies


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """`means` and `escalate` are sentences, `mends` names who does it, `look` and `do` are lists."""

    means: str
    mends: str
    look: tuple[str, ...]
    do: tuple[str, ...]
    escalate: str


_CHECK: Final = "`b24pay portal check KEY` asks the portal now: scopes, rights, and which pay systems really pay."
_SHOW: Final = "`b24pay portal show KEY` says why, since when, how many payments wait, and when it is looked at again."
_GOES_ON: Final = (
    "The lane goes on by itself within minutes, one payment first; `b24pay portal resume KEY` does it now."
)
_NEW: Final = "Store it with `b24pay portal add KEY --file FILE`; the lane goes on at once."
_ADMINISTRATOR: Final = "The administrator of the portal does not answer, or does not know who revoked it."
_INSTALLED: Final = "In Bitrix24: *Developer resources*, the application's page, whether it is installed and paid for."

# Held without a remedy of the table: by a person, by an event, or where the table has nothing to say.
OPERATOR: Final = "OPERATOR"
APP_UNINSTALLED: Final = "APP_UNINSTALLED"
ADVICE: Final = {
    OPERATOR: Advice(
        means="A person has stopped the lane, with a reason.",
        mends="whoever held it",
        look=(
            "`b24pay portal show KEY` has the reason.",
            "`b24pay audit --what portal.hold --subject KEY` says who it was.",
        ),
        do=("Ask that person.", "`b24pay portal resume KEY` when the reason has gone."),
        escalate="The reason is about money (wrong prices, a dispute), and its author cannot be reached: leave it held.",
    ),
    APP_UNINSTALLED: Advice(
        means="The application was removed from the portal; Bitrix24 told us so, and its tokens are dead.",
        mends="the portal's administrator",
        look=(_SHOW, "Whether the customer meant to leave."),
        do=(
            (
                "Have the application installed again (*Reinstall*): the [install door](../../install_door.md) takes the tokens, "
                "and the lane goes on."
            ),
            "Where the answer there is 403 or 410: `b24pay portal invite KEY` makes a new address.",
            "Or give another credential with `b24pay portal add KEY`.",
        ),
        escalate="The customer has left: cancel what waits with `b24pay cancel`, then `b24pay portal remove KEY`.",
    ),
    remedies.WEBHOOK: Advice(
        means="The portal does not accept the credential: the webhook was deleted or changed, or has run out.",
        mends="the portal's administrator, then the operator",
        look=(_CHECK, "In Bitrix24: *Developer resources*, whether the inbound webhook is still there."),
        do=("Have a new inbound webhook made, with the scopes `pay_system` and `crm`.", _NEW),
        escalate=_ADMINISTRATOR,
    ),
    remedies.USER: Advice(
        means="The person in whose name the credential pays may not use REST or the application, or was dismissed.",
        mends="the portal's administrator, then the operator",
        look=(_CHECK, "In Bitrix24: whether that user is active."),
        do=("Have a webhook or installation made in the name of an active user.", _NEW),
        escalate=_ADMINISTRATOR,
    ),
    remedies.RIGHTS: Advice(
        means="The credential's user lacks the CRM right that paying an invoice needs.",
        mends="the portal's administrator",
        look=(_CHECK, "In Bitrix24: *CRM, Settings, Access permissions*, the role of that user."),
        do=("Have the right to create or edit invoices given.", _GOES_ON),
        escalate="The role has the right and payments are refused all the same: the portal's partner or support.",
    ),
    remedies.SCOPE: Advice(
        means="The webhook or application lacks a scope.",
        mends="the portal's administrator",
        look=(_CHECK,),
        do=(
            (
                "Have `pay_system` (to pay) and `crm` (to prove) ticked. A webhook keeps its address; an application may have to "
                "be installed again."
            ),
            _GOES_ON,
        ),
        escalate=_ADMINISTRATOR,
    ),
    remedies.AUTH_TYPE: Advice(
        means="The portal does not let this kind of credential call the method.",
        mends="the operator",
        look=(_CHECK,),
        do=("Take the other kind: a webhook instead of an application, or the other way round.", _NEW),
        escalate="Neither kind is accepted.",
    ),
    remedies.CONFIRM: Advice(
        means="The method waits for the confirmation of an administrator, or was refused by one.",
        mends="the portal's administrator",
        look=("In Bitrix24: the notification that asks to permit the method.",),
        do=("Have it permitted.", _GOES_ON),
        escalate="The administrator has refused on purpose.",
    ),
    remedies.APPLICATION: Advice(
        means="The application is not usable on the portal: not installed, not paid for, or under other keys.",
        mends="the portal's administrator",
        look=(_INSTALLED, "Whether `client_id` and `client_secret` are those of the application."),
        do=("Have it installed again; its [door](../../install_door.md) takes the tokens.", f"Other keys: {_NEW}"),
        escalate="It is installed and paid for, and the answer stays.",
    ),
    remedies.INSTALL_AGAIN: Advice(
        means="The refresh token is no longer accepted, so no access token can be had. Waiting mends nothing.",
        mends="the portal's administrator",
        look=(
            "`renewal.failed` in the log: when it began.",
            "Whether somebody else uses the same tokens: each renewal makes the other's worthless.",
        ),
        do=(
            "Have the application installed again (*Reinstall*); the lane goes on when the tokens come.",
            f"Or another credential. {_NEW}",
        ),
        escalate="It comes again within days: somebody else renews with the same tokens.",
    ),
    remedies.PLAN: Advice(
        means="The portal's plan does not include REST, or its subscription has ended.",
        mends="the customer, who renews the plan",
        look=(_CHECK, "In Bitrix24: the plan and until when it is paid."),
        do=("Have it renewed.", _GOES_ON),
        escalate="The customer will not renew: cancel what waits, then remove the portal.",
    ),
    remedies.OVERLOAD: Advice(
        means="Bitrix24 has blocked this portal's REST by hand, for too much load. Asking again makes it worse.",
        mends="Bitrix24's support",
        look=("`b24pay_requests_total` and the portal's other integrations: who asked how much.",),
        do=(
            "Write to Bitrix24's support with the time since which it is blocked.",
            "When they have lifted it: `b24pay portal resume KEY`.",
        ),
        escalate="At once: only their support lifts it.",
    ),
    remedies.CLOSED: Advice(
        means="The portal is closed or deleted.",
        mends="the customer",
        look=("The portal's address in a browser.",),
        do=(
            "Opened again: `b24pay portal resume KEY`.",
            "Gone for good: `b24pay cancel` what waits, then `b24pay portal remove KEY`.",
        ),
        escalate="Whoever knows the customer.",
    ),
    remedies.HTTPS: Advice(
        means="The portal wants https, or could not read the request.",
        mends="the operator",
        look=("`b24pay portal show KEY`: whether the address begins with https://.",),
        do=(f"Give the address with https://. {_NEW}",),
        escalate="The address is https already.",
    ),
    remedies.METHOD: Advice(
        means="The portal has no such method: its module `sale` is missing or too old.",
        mends="the portal's administrator",
        look=(_CHECK,),
        do=("On a portal of one's own: install or update the module `sale`.", _GOES_ON),
        escalate="It is a portal of Bitrix24's cloud: their support.",
    ),
    remedies.CRM: Advice(
        means="The portal has no invoices (of the old kind): its module `crm` is missing.",
        mends="the portal's administrator",
        look=(_CHECK,),
        do=("Have the module `crm` installed.", _GOES_ON),
        escalate="The portal works with invoices of the new kind alone: they are not paid by this method.",
    ),
    remedies.REDIRECT: Advice(
        means="The address redirects to one that is not a Bitrix24 REST address, so no credential was sent there.",
        mends="the operator",
        look=(_SHOW, "Where the portal's address leads in a browser."),
        do=("Find out the portal's right address.", f"{_NEW} `--moved` where the key gets another address."),
        escalate="Nobody renamed the portal: somebody may be leading calls away. Do not resume.",
    ),
    remedies.ADDRESS: Advice(
        means="There is no Bitrix24 REST under this address.",
        mends="the operator",
        look=("The portal's address in a browser.", _CHECK),
        do=("Compare the address with the webhook's in Bitrix24.", _NEW),
        escalate="The address is right: the portal's administrator, about its web server.",
    ),
    remedies.FORBIDDEN: Advice(
        means="Something before the portal forbids the call: a firewall, an IP filter. What was sent is read back.",
        mends="the portal's administrator",
        look=("From which address this machine goes out.", _CHECK),
        do=("Have that address allowed, or give a proxy's: `B24PAY_PORTAL_PROXY`.", _GOES_ON),
        escalate="Nobody knows of a filter: the hosting company.",
    ),
    remedies.ANOTHER_PORTAL: Advice(
        means="The renewed tokens belong to another portal than the key stands for. Nothing was sent with them.",
        mends="the operator",
        look=("`b24pay portal list`: which key has which address.",),
        do=("Store the right credential.", _NEW),
        escalate="Both keys look right: payments may have gone to the wrong portal before; compare `b24pay list`.",
    ),
    remedies.CHECK: Advice(
        means="The portal refuses in a way that the table has no row for.",
        mends="whoever the portal's own text names",
        look=(_SHOW, _CHECK),
        do=("Mend what they name.", _GOES_ON),
        escalate="The text says nothing that helps: the portal's support, with its words.",
    ),
}
