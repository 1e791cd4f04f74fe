"""What a person does about an error, in words for an operator; the classification table points here."""

from typing import Final

PAY_SYSTEM: Final = (
    "The payment names a pay system or handler that cannot pay invoices on this portal. Choose one that "
    "`b24pay portal check` lists as paying, then request the payment again."
)
INVOICE: Final = "The portal has no such invoice (old version). Check the number; it may have been deleted."
HANDLER: Final = (
    "The pay system's own handler refused. Open the invoice: it may be cancelled, or the pay system may be one that "
    "only its provider can confirm."
)
READING: Final = (
    "Paid invoices cannot be read back, so `paid` rests on the portal's word. Give the webhook the scope crm and its "
    "user the right to read invoices."
)
RIGHTS: Final = "Give the webhook's user the CRM right to create or edit invoices, then resume the portal."
SCOPE: Final = "Give the webhook the scope pay_system (to pay) and crm (to prove), then resume the portal."
AUTH_TYPE: Final = "The portal does not let this kind of credential pay. Store a webhook or application, then resume."
CONFIRM: Final = "An administrator of the portal must confirm the method for this credential; then resume the portal."
WEBHOOK: Final = (
    "The portal does not accept the credential: it was deleted, changed or has run out. Create an inbound webhook "
    "and store it with `b24pay portal add`, then resume the portal."
)
USER: Final = (
    "The credential's user may not use the application or has been dismissed. Store a credential of an active user, "
    "then resume the portal."
)
APPLICATION: Final = "The application is not usable on the portal. Check its installation and settings, then resume."
INSTALL_AGAIN: Final = "The refresh token is no longer accepted. Install the application again, then resume the portal."
TOKEN: Final = "The access token has run out; it is refreshed once."  # noqa: S105 - a sentence, not a token
PLAN: Final = (
    "The portal's plan does not include REST, or its subscription has ended. Renew it, then resume the portal."
)
OVERLOAD: Final = "Bitrix24 has blocked this credential by hand. Only their support lifts it; then resume the portal."
CLOSED: Final = (
    "The portal is closed or deleted. Open it again, or remove it from the list with `b24pay portal remove`."
)
HTTPS: Final = "The portal wants https. Store its address with https://, then resume the portal."
METHOD: Final = (
    "The portal has no such method: the module sale is missing or too old. Install it, then resume the portal."
)
CRM: Final = "The portal has no CRM, so it has no invoices to pay. Install the module crm, then resume the portal."
REDIRECT: Final = (
    "The portal's address leads somewhere that is not a Bitrix24 REST address. Store the right address, then resume."
)
ADDRESS: Final = "There is no Bitrix24 REST under this address. Store the right address, then resume the portal."
FORBIDDEN: Final = (
    "Something before the portal forbids the call (firewall, IP filter). Allow this machine's address, then resume."
)
CHECK: Final = "See what `b24pay portal check` says about the portal, mend that, then resume it."
CERTIFICATE: Final = "The portal's TLS certificate is not valid. If it stays so, its administrator must renew it."
ANOTHER_PORTAL: Final = (
    "The credential belongs to a portal that is configured otherwise. Compare `b24pay portal list`, store the right "
    "credential with `b24pay portal add`, then resume the portal."
)
