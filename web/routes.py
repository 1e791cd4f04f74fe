"""Every route, and who may use it: the only table of rights there is."""

from dataclasses import dataclass
from typing import Final

from access.roles import CHANGERS, READERS, Role
from web.callbacks import list_callbacks, resend_callback
from web.guards import Handler
from web.health import is_alive, is_ready
from web.install import install

# An event of Bitrix24 has about 1,500 bytes.
SMALL_BODY: Final = 65_536
EVERYBODY: Final[frozenset[Role]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. No roles: it asks for no token (health, and doors that verify their callers themselves)."""

    method: str
    path: str
    handler: Handler
    roles: frozenset[Role]
    largest_body: int = SMALL_BODY  # bytes


ROUTES: Final = (
    Route(method="GET", path="/healthz", handler=is_alive, roles=EVERYBODY),
    Route(method="GET", path="/readyz", handler=is_ready, roles=EVERYBODY),
    # The event brings the application's token, and the door's name is a secret of its own.
    Route(method="POST", path="/v1/install/{key}/{door}", handler=install, roles=EVERYBODY),
    Route(method="GET", path="/v1/callbacks", handler=list_callbacks, roles=READERS),
    Route(method="POST", path="/v1/callbacks/{id}/resend", handler=resend_callback, roles=CHANGERS),
)
