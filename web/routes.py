"""Every route, and who may use it: the only table of rights there is."""

from dataclasses import dataclass
from typing import Final

from access.roles import CHANGERS, PAYERS, READERS, WATCHERS, Role
from web.actions import CANCEL, HOLD, RECONCILE, RESEND, RESOLVE, RESUME, RETRY, VERIFY
from web.api.accepting import accept
from web.api.callbacks import list_callbacks, resend_callback
from web.api.doubts import list_doubts, resolve, verify
from web.api.payments import SMALL, cancel, list_payments, retry, show_payment
from web.api.portals import hold, list_portals, resume, show_portal
from web.api.reconciling import reconcile
from web.guards import Handler
from web.health import is_alive, is_ready
from web.install import install
from web.metrics import metrics
from web.openapi import show_document, show_page
from web.pages.assets import show_asset
from web.pages.audit import show_audit
from web.pages.comparing import LARGEST, go_on_comparing, show_comparison
from web.pages.doubts import show_doubts
from web.pages.failures import show_failures
from web.pages.live import watch
from web.pages.overview import show_overview
from web.pages.payments import cancel_payment, resolve_doubt, retry_payment, show_payments, verify_doubt
from web.pages.payments import show_payment as show_payment_page
from web.pages.portals import hold_portal, resume_portal, show_portals
from web.pages.portals import show_portal as show_portal_page
from web.pages.runs import go_on, show_run
from web.pages.signing import show_sign_in, sign_in, sign_out
from web.pages.workers import show_workers

# An event of Bitrix24 has about 1,500 bytes.
SMALL_BODY: Final = 65_536
# 100,000 payments of a few hundred bytes each.
LARGEST_BULK: Final = 67_108_864
EVERYBODY: Final[frozenset[Role]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. No roles: it asks for no token (health, and doors that verify their callers themselves).

    Whatever an operator changes has an `action`, the name under which the audit knows it: `portal.hold`. A `page` is
    for people: a session's cookie opens it, where a bearer token opens everything else, and it is no part of the API.
    """

    method: str
    path: str
    handler: Handler
    roles: frozenset[Role]
    largest_body: int = SMALL_BODY  # bytes
    action: str | None = None
    page: bool = False


def _open(method: str, path: str, handler: Handler) -> Route:
    return Route(method=method, path=path, handler=handler, roles=EVERYBODY)


def _read(path: str, handler: Handler) -> Route:
    return Route(method="GET", path=path, handler=handler, roles=READERS)


def _change(path: str, handler: Handler, action: str) -> Route:
    return Route(method="POST", path=path, handler=handler, roles=CHANGERS, largest_body=SMALL, action=action)


def _page(path: str, handler: Handler) -> Route:
    return Route(method="GET", path=path, handler=handler, roles=WATCHERS, page=True)


def _form(path: str, handler: Handler, action: str) -> Route:
    return Route(method="POST", path=path, handler=handler, roles=CHANGERS, action=action, page=True)


def _door(method: str, path: str, handler: Handler) -> Route:
    return Route(method=method, path=path, handler=handler, roles=EVERYBODY, page=True)


ROUTES: Final = (
    _open("GET", "/healthz", is_alive),
    _open("GET", "/readyz", is_ready),
    _read("/metrics", metrics),
    # The event brings the application's token, and the door's name is a secret of its own.
    _open("POST", "/v1/install/{key}/{door}", install),
    # The largest body is that of one stream of payments; what is no stream is bounded far below it.
    Route(method="POST", path="/v1/payments", handler=accept, roles=PAYERS, largest_body=LARGEST_BULK),
    _read("/v1/payments", list_payments),
    _read("/v1/payments/{id}", show_payment),
    _change("/v1/payments/{id}/retry", retry, RETRY),
    _change("/v1/payments/{id}/cancel", cancel, CANCEL),
    _read("/v1/doubts", list_doubts),
    _change("/v1/doubts/{id}/verify", verify, VERIFY),
    _change("/v1/doubts/{id}/resolve", resolve, RESOLVE),
    _read("/v1/portals", list_portals),
    _read("/v1/portals/{key}", show_portal),
    _change("/v1/portals/{key}/hold", hold, HOLD),
    _change("/v1/portals/{key}/resume", resume, RESUME),
    # It changes nothing, and it spends requests that the portal admits.
    Route(method="GET", path="/v1/portals/{key}/reconcile", handler=reconcile, roles=CHANGERS),
    _read("/openapi.json", show_document),
    _read("/docs", show_page),
    _read("/v1/callbacks", list_callbacks),
    _change("/v1/callbacks/{id}/resend", resend_callback, RESEND),
    # The dashboard: pages and their forms. What stands above is the API.
    _door("GET", "/sign-in", show_sign_in),
    _door("POST", "/sign-in", sign_in),
    Route(method="POST", path="/sign-out", handler=sign_out, roles=WATCHERS, page=True),
    _door("GET", "/static/{name}", show_asset),
    _page("/live", watch),
    _page("/", show_overview),
    _page("/portals", show_portals),
    _page("/portals/{key}", show_portal_page),
    _form("/portals/{key}/hold", hold_portal, HOLD),
    _form("/portals/{key}/resume", resume_portal, RESUME),
    _page("/payments", show_payments),
    _page("/payments/{id}", show_payment_page),
    _form("/payments/{id}/retry", retry_payment, RETRY),
    _form("/payments/{id}/cancel", cancel_payment, CANCEL),
    _form("/payments/{id}/verify", verify_doubt, VERIFY),
    _form("/payments/{id}/resolve", resolve_doubt, RESOLVE),
    _page("/failures", show_failures),
    _page("/doubts", show_doubts),
    # One change of all that match. A step of a run is half a second's work, written down in portions of a hundred.
    _page("/bulk/retry", show_run),
    _page("/bulk/cancel", show_run),
    _page("/bulk/verify", show_run),
    _form("/bulk/retry", go_on, RETRY),
    _form("/bulk/cancel", go_on, CANCEL),
    _form("/bulk/verify", go_on, VERIFY),
    _page("/reconcile", show_comparison),
    Route(
        method="POST",
        path="/reconcile",
        handler=go_on_comparing,
        roles=CHANGERS,
        largest_body=LARGEST,
        action=RECONCILE,
        page=True,
    ),
    _page("/workers", show_workers),
    _page("/audit", show_audit),
)
