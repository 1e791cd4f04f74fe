"""What one portal is like: limits, credentials, pay systems, invoices and moods."""

from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum

from emulator.application import Application, read_application
from emulator.errors import StatusProfile
from emulator.idset import EVERY_ID, NO_ID, IdSet, read_ids
from emulator.reading import Reader, SettingsError

DEFAULT_SECRET = "emulator-secret"  # noqa: S105 -- the published code of a portal that keeps nothing
DEFAULT_SCOPES = ("pay_system", "crm", "sale")


class SystemKind(StrEnum):
    """What a pay system does with pay.invoice."""

    REST = "rest"  # pays
    PAPER = "paper"  # answers true, pays nothing
    VENDOR = "vendor"  # refuses with a localised text and marks the record
    SWALLOWING = "swallowing"  # answers true after a failed save


class Execution(StrEnum):
    """Whether one credential's requests run together."""

    PARALLEL = "parallel"
    SERIAL = "serial"


class Accounting(StrEnum):
    """Where operating time is charged and shown."""

    NESTED = "nested"  # a batch's commands are charged to their methods, the batch itself reads 0
    BATCH = "batch"  # everything is charged to the method `batch`, nested commands read 0
    ABSENT = "absent"  # the counters are missing from `time`


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a portal takes at once and per second from one address."""

    burst: int = 50
    per_s: float = 2.0
    count_rejected: bool = False


PLANS = {"standard": Rate(50, 2.0), "enterprise": Rate(250, 5.0), "none": None}


@dataclass(frozen=True, slots=True)
class Rights:
    """What a credential's user may do."""

    scopes: tuple[str, ...] = DEFAULT_SCOPES
    can_pay: bool = True
    can_read: bool = True
    can_configure: bool = True
    app_access: bool = True
    dismissed: bool = False
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """An access token the portal knows."""

    user: int
    client_id: str
    rights: Rights
    expires_at: float | None = None
    failure: str | None = None  # a code the authorization server gives for this token


@dataclass(frozen=True, slots=True)
class PaySystem:
    """A row of the portal's pay systems."""

    id: int
    kind: SystemKind
    action_file: str
    name: str
    registry: str = "CRM_INVOICE"
    active: bool = True


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """Which invoices (or payments of orders) exist and in which state they start."""

    exist: IdSet = EVERY_ID
    missing: IdSet = NO_ID
    paid: IdSet = NO_ID
    canceled: IdSet = NO_ID
    unreadable: IdSet = NO_ID
    unloadable: IdSet = NO_ID
    swallowing: IdSet = NO_ID


DEFAULT_SYSTEMS = (
    PaySystem(1, SystemKind.REST, "emulator_rest", "REST handler"),
    PaySystem(2, SystemKind.PAPER, "bill", "Paper bill"),
    PaySystem(3, SystemKind.VENDOR, "yandexcheckout", "Vendor's checkout"),
    PaySystem(4, SystemKind.SWALLOWING, "emulator_swallow", "REST handler that fails to save"),
    PaySystem(5, SystemKind.REST, "emulator_rest", "REST handler for orders", registry="ORDER"),
    PaySystem(6, SystemKind.REST, "emulator_rest", "REST handler, switched off", active=False),
)


@dataclass(frozen=True, slots=True)
class PortalSettings:
    """Everything that can be told to a portal; see README for each key."""

    webhooks: dict[str, Rights] = field(default_factory=lambda: {f"1/{DEFAULT_SECRET}": Rights()})
    tokens: dict[str, Token] = field(default_factory=dict)
    oauth: Application = field(default_factory=Application)
    rate: Rate | None = Rate()
    latency_s: float = 0.0
    pay_s: float = 0.0
    cut_s: float | None = None
    operating_limit_s: float | None = 480.0
    operating_window_s: float = 600.0
    operating_cost_s: dict[str, float] = field(default_factory=dict)
    accounting: Accounting = Accounting.NESTED
    coarse_times: bool = False
    execution: Execution = Execution.PARALLEL
    pay_systems: tuple[PaySystem, ...] = DEFAULT_SYSTEMS
    rest_handlers: tuple[str, ...] = ()
    invoices: RecordSettings = RecordSettings()
    payments: RecordSettings = RecordSettings()
    status_profile: StatusProfile = StatusProfile.SOURCE
    language: str = "en"
    utc_offset_s: int = 10800
    clock_skew_s: float = 0.0
    https_required: bool = False
    crm_module: bool = True
    overload_hold: bool = False
    plan_blocked: bool = False
    oauth_unreachable: bool = False
    site_stopped: bool = False
    redirect: str | None = None
    redirect_status: int = 302
    without_methods: tuple[str, ...] = ()


def read_settings(value: object, where: str = "") -> PortalSettings:
    """Check a JSON object and make settings of it; what is not given has its default."""
    reader = Reader(value, where)
    base = PortalSettings()
    settings = PortalSettings(
        webhooks=_webhooks(reader, base),
        tokens=_tokens(reader),
        oauth=read_application(reader.raw("oauth", {}), reader.place("oauth")),
        rate=_rate(reader),
        latency_s=reader.number("latency_s", 0.0),
        pay_s=reader.number("pay_s", 0.0),
        cut_s=reader.optional_number("cut_s", None),
        operating_limit_s=reader.optional_number("operating_limit_s", base.operating_limit_s),
        operating_window_s=reader.number("operating_window_s", base.operating_window_s, low=0.1),
        operating_cost_s=_costs(reader),
        accounting=reader.choice("accounting", Accounting, base.accounting),
        coarse_times=reader.flag("coarse_times", default=False),
        execution=reader.choice("execution", Execution, base.execution),
        pay_systems=_pay_systems(reader),
        rest_handlers=reader.texts("rest_handlers", ()),
        invoices=_records(reader, "invoices"),
        payments=_records(reader, "payments"),
        status_profile=reader.choice("status_profile", StatusProfile, base.status_profile),
        language=_language(reader),
        utc_offset_s=reader.whole("utc_offset_s", base.utc_offset_s, low=-50400, high=50400),
        clock_skew_s=reader.number("clock_skew_s", 0.0, low=-1e9),
        https_required=reader.flag("https_required", default=False),
        crm_module=reader.flag("crm_module", default=True),
        overload_hold=reader.flag("overload_hold", default=False),
        plan_blocked=reader.flag("plan_blocked", default=False),
        oauth_unreachable=reader.flag("oauth_unreachable", default=False),
        site_stopped=reader.flag("site_stopped", default=False),
        redirect=reader.optional_text("redirect"),
        redirect_status=reader.whole("redirect_status", 302, low=301, high=308),
        without_methods=reader.texts("without_methods", ()),
    )
    reader.finish()
    return settings


def _webhooks(reader: Reader, base: PortalSettings) -> dict[str, Rights]:
    members = reader.members("webhooks")
    if members is None:
        return base.webhooks
    found = {}
    for name, where, value in members:
        user, _, code = name.partition("/")
        if not user.isdecimal() or not code or "/" in code:
            raise SettingsError(f'{where}: a webhook is named "USER/CODE", for example "1/{DEFAULT_SECRET}"')
        inner = Reader(value, where)
        found[name] = _rights(inner)
        inner.finish()
    return found


def _tokens(reader: Reader) -> dict[str, Token]:
    found = {}
    for name, where, value in reader.members("tokens") or []:
        inner = Reader(value, where)
        found[name] = Token(
            user=inner.whole("user", 1, low=1),
            client_id=inner.text("client_id", "local.emulator"),
            rights=_rights(inner),
            expires_at=inner.optional_number("expires_at", None),
            failure=inner.optional_text("failure"),
        )
        inner.finish()
    return found


def _rights(reader: Reader) -> Rights:
    return Rights(
        scopes=reader.texts("scopes", DEFAULT_SCOPES),
        can_pay=reader.flag("can_pay", default=True),
        can_read=reader.flag("can_read", default=True),
        can_configure=reader.flag("can_configure", default=True),
        app_access=reader.flag("app_access", default=True),
        dismissed=reader.flag("dismissed", default=False),
        expired=reader.flag("expired", default=False),
    )


def _rate(reader: Reader) -> Rate | None:
    plan = reader.text("plan", "standard")
    if plan not in PLANS:
        raise reader.complain("plan", "one of " + ", ".join(PLANS))
    if not reader.has("rate"):
        return PLANS[plan]
    if reader.raw("rate") is None:
        return None
    inner = Reader(reader.raw("rate"), reader.place("rate"))
    rate = Rate(
        burst=inner.whole("burst", 50, low=1),
        per_s=inner.number("per_s", 2.0),
        count_rejected=inner.flag("count_rejected", default=False),
    )
    inner.finish()
    return rate


def _costs(reader: Reader) -> dict[str, float]:
    found = {}
    for name, where, value in reader.members("operating_cost_s") or []:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise SettingsError(f"{where}: expected seconds from 0 up, got {value!r}")
        found[name.lower()] = float(value)
    return found


def _pay_systems(reader: Reader) -> tuple[PaySystem, ...]:
    items = reader.objects("pay_systems")
    return DEFAULT_SYSTEMS if items is None else tuple(_pay_system(value, where) for where, value in items)


def _pay_system(value: object, where: str) -> PaySystem:
    reader = Reader(value, where)
    kind = reader.choice("kind", SystemKind, SystemKind.REST)
    system = PaySystem(
        id=reader.whole("id", 0, low=1),
        kind=kind,
        action_file=reader.text("action_file", f"emulator_{kind}"),
        name=reader.text("name", f"Pay system ({kind})"),
        registry=reader.text("registry", "CRM_INVOICE"),
        active=reader.flag("active", default=True),
    )
    reader.finish()
    return system


def _records(reader: Reader, key: str) -> RecordSettings:
    inner = Reader(reader.raw(key, {}), reader.place(key))
    exist = inner.raw("exist", "lazy")
    states = {
        name: read_ids(inner.raw(name, []), inner.place(name))
        for name in ("missing", "paid", "canceled", "unreadable", "unloadable", "swallowing")
    }
    inner.finish()
    listed = EVERY_ID if exist == "lazy" else read_ids(exist, inner.place("exist"))
    return RecordSettings(exist=listed, **states)


def _language(reader: Reader) -> str:
    language = reader.text("language", "en")
    if language not in {"en", "ru", "de"}:
        raise reader.complain("language", "one of en, ru, de")
    return language


def as_json(value: object) -> object:
    """Settings (or any part of them) as JSON values."""
    if isinstance(value, IdSet):
        return "lazy" if value == EVERY_ID else value.spec()
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: as_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [as_json(item) for item in value]
    return value
