"""Every route, and who may use it: the only table of rights there is."""

from dataclasses import dataclass
from typing import Final

from access.roles import CHANGERS, PAYERS, READERS, WATCHERS, Role
from web.actions import CANCEL, HOLD, RESEND, RESOLVE, RESUME, RETRY, VERIFY
from web.api.accepting import accept
from web.api.callbacks import list_callbacks, resend_callback
from web.api.doubts import list_doubts, resolve, verify
from web.api.payments import SMALL, cancel, list_payments, retry, show_payment
from web.api.portals import hold, list_portals, resume, show_portal
from web.guards import Handler
from web.health import is_alive, is_ready
from web.install import install
from web.metrics import metrics
from web.openapi import show_document, show_page
from web.pages.assets import show_asset
from web.pages.audit import show_audit
from web.pages.live import watch
from web.pages.overview import show_overview
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
    _page("/workers", show_workers),
    _page("/audit", show_audit),
)
