"""Every REST method of a portal with the scope it asks for."""

from types import MappingProxyType

from emulator.execution import Context, Method, Outcome
from emulator.invoices import get_invoice, list_invoices
from emulator.paying import pay_invoice, pay_item_payment, pay_payment
from emulator.php import Params
from emulator.sale import get_item_payment, get_payment, list_handlers, list_pay_systems, list_payments


async def app_info(ctx: Context, _params: Params, _start: int) -> Outcome:
    """app.info: what the portal says about the caller's application."""
    return Outcome(
        {
            "ID": 1,
            "CODE": ctx.who.id if ctx.who.kind == "oauth" else "",
            "VERSION": 1,
            "STATUS": "L",
            "INSTALLED": True,
            "PAYMENT_EXPIRED": "N",
            "DAYS": None,
            "LANGUAGE_ID": ctx.portal.settings.language,
            "LICENSE": f"{ctx.portal.settings.language}_basic",
        }
    )


async def profile(ctx: Context, _params: Params, _start: int) -> Outcome:
    """profile: the user behind the credential."""
    return Outcome(
        {
            "ID": str(ctx.who.user),
            "ADMIN": ctx.who.rights.can_configure,
            "NAME": "Emulator",
            "LAST_NAME": f"User {ctx.who.user}",
            "PERSONAL_GENDER": "",
            "TIME_ZONE": "",
            "TIME_ZONE_OFFSET": ctx.portal.settings.utc_offset_s,
        }
    )


async def server_time(ctx: Context, _params: Params, _start: int) -> Outcome:
    """server.time: the portal's clock."""
    return Outcome(ctx.portal.date(ctx.portal.now()))


async def scope(ctx: Context, _params: Params, _start: int) -> Outcome:
    """scope: what the credential may use."""
    return Outcome(list(ctx.who.rights.scopes))


METHODS = MappingProxyType(
    {
        "sale.paysystem.pay.invoice": Method("pay_system", pay_invoice),
        "sale.paysystem.pay.payment": Method("pay_system", pay_payment),
        "sale.paysystem.list": Method("pay_system", list_pay_systems),
        "sale.paysystem.handler.list": Method("pay_system", list_handlers),
        "sale.payment.get": Method("sale", get_payment),
        "sale.payment.list": Method("sale", list_payments),
        "crm.item.payment.pay": Method("crm", pay_item_payment),
        "crm.item.payment.get": Method("crm", get_item_payment),
        "crm.invoice.get": Method("crm", get_invoice),
        "crm.invoice.list": Method("crm", list_invoices),
        "app.info": Method("", app_info),
        "profile": Method("", profile),
        "server.time": Method("", server_time),
        "scope": Method("", scope),
    }
)
