"""An OAuth application as one portal has it: keys, lifetimes, how its refresh tokens rotate, its moods."""

from dataclasses import dataclass
from enum import StrEnum

from emulator.reading import Reader

HOUR_S = 3600.0
REFRESH_LIFE_S = 180 * 86400.0  # what portals promise today; courses of 2020 and 2023 say 28 days


class Rotation(StrEnum):
    """What becomes of a refresh token that was used."""

    ONE_TIME = "one_time"  # dead at once: a second use is invalid_grant
    GRACE = "grace"  # for `grace_s` a second use gets the same new pair again
    FIXED = "fixed"  # it stays; only the access token is new


@dataclass(frozen=True, slots=True)
class Application:
    """What the authorization server and the portal know about the application; see README for each key."""

    client_id: str = "local.emulator"
    client_secret: str = "emulator-client-secret"  # noqa: S105 -- the published secret of a portal that keeps nothing
    application_token: str = "emulator-application-token"  # noqa: S105 -- as above
    user: int = 1
    scopes: tuple[str, ...] = ("pay_system", "crm", "sale")
    can_pay: bool = True
    can_read: bool = True
    can_configure: bool = True
    app_access: bool = True
    dismissed: bool = False
    access_s: float = HOUR_S
    refresh_s: float = REFRESH_LIFE_S
    rotation: Rotation = Rotation.ONE_TIME
    grace_s: float = 60.0
    latency_s: float = 0.0
    token_cache_s: float = HOUR_S
    installed: bool = True
    failure: str | None = None  # what the authorization server tells portals that ask about a token
    refresh_failure: str | None = None  # what it answers to every refresh
    server: str | None = None  # authority of the token server as credentials name it; null: the portal's own
    secure: bool = False  # credentials and replies name https addresses
    member_id: str | None = None  # null: made of the portal's first name


def read_application(value: object, where: str) -> Application:
    """Check the `oauth` object of a portal's settings."""
    reader, base = Reader(value, where), Application()
    application = Application(
        client_id=reader.text("client_id", base.client_id),
        client_secret=reader.text("client_secret", base.client_secret),
        application_token=reader.text("application_token", base.application_token),
        user=reader.whole("user", base.user, low=1),
        scopes=reader.texts("scopes", base.scopes),
        can_pay=reader.flag("can_pay", default=True),
        can_read=reader.flag("can_read", default=True),
        can_configure=reader.flag("can_configure", default=True),
        app_access=reader.flag("app_access", default=True),
        dismissed=reader.flag("dismissed", default=False),
        access_s=reader.number("access_s", base.access_s),
        refresh_s=reader.number("refresh_s", base.refresh_s),
        rotation=reader.choice("rotation", Rotation, base.rotation),
        grace_s=reader.number("grace_s", base.grace_s),
        latency_s=reader.number("latency_s", 0.0),
        token_cache_s=reader.number("token_cache_s", base.token_cache_s),
        installed=reader.flag("installed", default=True),
        failure=reader.optional_text("failure"),
        refresh_failure=reader.optional_text("refresh_failure"),
        server=reader.optional_text("server"),
        secure=reader.flag("secure", default=False),
        member_id=reader.optional_text("member_id"),
    )
    reader.finish()
    return application
