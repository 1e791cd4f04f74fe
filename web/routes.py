"""Every route, and who may use it: the only table of rights there is."""

from dataclasses import dataclass
from typing import Final

from access.roles import CHANGERS, PAYERS, READERS, Role
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

# An event of Bitrix24 has about 1,500 bytes.
SMALL_BODY: Final = 65_536
# 100,000 payments of a few hundred bytes each.
LARGEST_BULK: Final = 67_108_864
EVERYBODY: Final[frozenset[Role]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. No roles: it asks for no token (health, and doors that verify their callers themselves).

    Whatever an operator changes has an `action`, the name under which the audit knows it: `portal.hold`.
    """

    method: str
    path: str
    handler: Handler
    roles: frozenset[Role]
    largest_body: int = SMALL_BODY  # bytes
    action: str | None = None


ROUTES: Final = (
    Route(method="GET", path="/healthz", handler=is_alive, roles=EVERYBODY),
    Route(method="GET", path="/readyz", handler=is_ready, roles=EVERYBODY),
    Route(method="GET", path="/metrics", handler=metrics, roles=READERS),
    # The event brings the application's token, and the door's name is a secret of its own.
    Route(method="POST", path="/v1/install/{key}/{door}", handler=install, roles=EVERYBODY),
    # The largest body is that of one stream of payments; what is no stream is bounded far below it.
    Route(method="POST", path="/v1/payments", handler=accept, roles=PAYERS, largest_body=LARGEST_BULK),
    Route(method="GET", path="/v1/payments", handler=list_payments, roles=READERS),
    Route(method="GET", path="/v1/payments/{id}", handler=show_payment, roles=READERS),
    Route(
        method="POST", path="/v1/payments/{id}/retry", handler=retry, roles=CHANGERS, largest_body=SMALL, action=RETRY
    ),
    Route(
        method="POST",
        path="/v1/payments/{id}/cancel",
        handler=cancel,
        roles=CHANGERS,
        largest_body=SMALL,
        action=CANCEL,
    ),
    Route(method="GET", path="/v1/doubts", handler=list_doubts, roles=READERS),
    Route(
        method="POST", path="/v1/doubts/{id}/verify", handler=verify, roles=CHANGERS, largest_body=SMALL, action=VERIFY
    ),
    Route(
        method="POST",
        path="/v1/doubts/{id}/resolve",
        handler=resolve,
        roles=CHANGERS,
        largest_body=SMALL,
        action=RESOLVE,
    ),
    Route(method="GET", path="/v1/portals", handler=list_portals, roles=READERS),
    Route(method="GET", path="/v1/portals/{key}", handler=show_portal, roles=READERS),
    Route(method="POST", path="/v1/portals/{key}/hold", handler=hold, roles=CHANGERS, largest_body=SMALL, action=HOLD),
    Route(
        method="POST",
        path="/v1/portals/{key}/resume",
        handler=resume,
        roles=CHANGERS,
        largest_body=SMALL,
        action=RESUME,
    ),
    Route(method="GET", path="/openapi.json", handler=show_document, roles=READERS),
    Route(method="GET", path="/docs", handler=show_page, roles=READERS),
    Route(method="GET", path="/v1/callbacks", handler=list_callbacks, roles=READERS),
    Route(method="POST", path="/v1/callbacks/{id}/resend", handler=resend_callback, roles=CHANGERS, action=RESEND),
)
