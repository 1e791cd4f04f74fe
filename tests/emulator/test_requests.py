"""Addresses, bodies, credentials and the order of checks before a method's body."""

from collections.abc import Callable

import aiohttp
import pytest

from emulator import Handle, RunningEmulator
from tests.emulator.portal_caller import INVOICE, Caller

PARAMS = {"INVOICE_ID": "3", "PAY_SYSTEM_ID": "1"}
HOOK = "/rest/1/emulator-secret"


@pytest.mark.parametrize("suffix", ["", "/", ".json", ".json/", ".xml"])
async def test_every_form_of_the_address_reaches_the_method(portal: Caller, handle: Handle, suffix: str) -> None:
    """A method may end in .json, .xml or a slash, and be written in any case."""
    answered = await portal.send(f"{HOOK}/Sale.PaySystem.pay.invoice{suffix}", json=PARAMS)
    assert answered.status == 200
    assert (await handle.effects()).tally.effects == 1
    kind = "application/xml" if suffix == ".xml" else "application/json"
    assert answered.headers["Content-Type"] == f"{kind}; charset=utf-8"


@pytest.mark.parametrize(
    "options",
    [
        {"json": PARAMS},
        {"data": PARAMS},
        {"params": PARAMS},
        {"data": "INVOICE_ID=3&PAY_SYSTEM_ID=1", "headers": {"Content-Type": "text/plain"}},
        {"data": b'{"INVOICE_ID":3,"PAY_SYSTEM_ID":1}', "headers": {"Content-Type": "application/json; charset=utf-8"}},
        {"params": {"INVOICE_ID": "99", "PAY_SYSTEM_ID": "1"}, "data": {"INVOICE_ID": "3"}},
    ],
)
async def test_parameters_come_in_every_carrier_and_the_body_wins(
    portal: Caller, handle: Handle, options: dict[str, object]
) -> None:
    """JSON, form, query and raw bodies are merged; the body beats the query."""
    assert (await portal.send(f"{HOOK}/{INVOICE}", **options)).json["result"] is True
    assert (await handle.effects(portal.authority)).counts == {3: 1}


async def test_get_pays_as_well_as_post(portal: Caller) -> None:
    """The HTTP method is not looked at."""
    assert (await portal.send(f"{HOOK}/{INVOICE}", "GET", params=PARAMS)).json["result"] is True


async def test_multipart_forms_are_read(portal: Caller) -> None:
    """A multipart body carries parameters too."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in PARAMS.items():
        form.add_field(name, value)
    assert (await portal.send(f"{HOOK}/{INVOICE}", data=form)).json["result"] is True


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b'{"INVOICE_ID":3,', "application/json"), (b'{"INVOICE_ID":3,"PAY_SYSTEM_ID":1}', "application/JSON")],
)
async def test_bad_json_and_other_content_types_leave_no_parameters(portal: Caller, body: bytes, kind: str) -> None:
    """Invalid JSON, or JSON under another content type, is silently nothing."""
    answered = await portal.send(f"{HOOK}/{INVOICE}", data=body, headers={"Content-Type": kind})
    assert answered.error[2] == "Empty field BX_REST_HANDLER and PAY_SYSTEM_ID"


@pytest.mark.parametrize("path", ["/", "/rest/a/b", "/rest/api/1/x/method", "/rest/1//x", "/company"])
async def test_other_addresses_get_a_page(portal: Caller, path: str) -> None:
    """What no URL template fits is a 404 page of the front end."""
    answered = await portal.send(path)
    assert (answered.status, answered.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


async def test_replies_carry_the_portals_headers_and_time_only_on_success(portal: Caller) -> None:
    """Success has `time`; an error has two keys, and neither has Retry-After."""
    good, bad = await portal.pay(3), await portal.pay(0)
    assert set(good.json) == {"result", "time"}
    assert set(good.json["time"]) == {
        "start",
        "finish",
        "duration",
        "processing",
        "date_start",
        "date_finish",
        "operating_reset_at",
        "operating",
    }
    assert set(bad.json) == {"error", "error_description"}
    for answered in (good, bad):
        assert answered.headers["Access-Control-Allow-Origin"] == "*"
        assert answered.headers["X-Content-Type-Options"] == "nosniff"
        assert "X-Bitrix-Rest-Time" in answered.headers
        assert "Retry-After" not in answered.headers


async def test_checks_before_the_body_follow_the_portals_order(portal: Caller, tell: Callable[..., None]) -> None:
    """Taking away the first obstacle shows the next one, from the rate limit to the scope."""
    tell(
        rate={"burst": 1, "per_s": 0},
        redirect="new.example:1",
        site_stopped=True,
        without_methods=[INVOICE],
        https_required=True,
        webhooks={"1/other": {"scopes": ["crm"], "dismissed": True}},
        overload_hold=True,
        plan_blocked=True,
    )
    redirected = await portal.pay(1)
    assert (redirected.status, redirected.headers["Location"]) == (302, f"http://new.example:1{HOOK}/{INVOICE}")
    assert "<html>" in redirected.text
    seen = [(await portal.pay(1)).error]
    steps: list[dict[str, object]] = [
        {"rate": None, "redirect": None},
        {"site_stopped": False},
        {"without_methods": []},
        {"https_required": False},
        {"webhooks": {"1/emulator-secret": {"scopes": ["crm"], "dismissed": True, "app_access": False}}},
        {"overload_hold": False},
        {"plan_blocked": False},
        {"webhooks": {"1/emulator-secret": {"dismissed": True, "app_access": False}}},
        {"webhooks": {"1/emulator-secret": {"app_access": False}}},
    ]
    for step in steps:
        tell(**step)
        seen.append((await portal.pay(1)).error)
    scope_text = "The request requires higher privileges than provided by the webhook token"
    assert seen == [
        (503, "QUERY_LIMIT_EXCEEDED", "Too many requests"),
        (403, "PORTAL_DELETED", "Portal was deleted"),
        (404, "ERROR_METHOD_NOT_FOUND", "Method not found!"),
        (401, "INVALID_REQUEST", "Https required."),
        (401, "INVALID_CREDENTIALS", "Invalid request credentials"),
        (401, "OVERLOAD_LIMIT", "REST API is blocked due to overload."),
        (401, "ACCESS_DENIED", "REST is available only on commercial plans."),
        (401, "insufficient_scope", scope_text),
        (401, "authorization_error", "Unable to authorize user"),
        (401, "user_access_error", "The user does not have access to the application."),
    ]


@pytest.mark.parametrize(
    ("settings", "code", "status"),
    [
        ({"overload_hold": True}, "OVERLOAD_LIMIT", 503),
        ({"webhooks": {}}, "INVALID_CREDENTIALS", 403),
        ({"webhooks": {"1/emulator-secret": {"scopes": []}}}, "insufficient_scope", 403),
        ({"plan_blocked": True}, "ACCESS_DENIED", 403),
        ({"https_required": True}, "INVALID_REQUEST", 400),
        ({"site_stopped": True}, "PORTAL_DELETED", 500),
    ],
)
async def test_the_docs_profile_answers_with_the_documented_statuses(
    portal: Caller, tell: Callable[..., None], settings: dict[str, object], code: str, status: int
) -> None:
    """The disputed codes keep their name and change their status."""
    tell(status_profile="docs", **settings)
    assert (await portal.pay(1)).error[:2] == (status, code)


async def test_tokens_are_taken_from_header_then_auth_then_access_token(
    portal: Caller, tell: Callable[..., None]
) -> None:
    """The Bearer header beats `auth`, which beats `access_token`; nothing at all is NO_AUTH_FOUND."""
    tell(tokens={"good": {"user": 7}, "old": {"expires_at": 1}})

    async def ask(header: str | None = None, **params: str) -> tuple[object, ...]:
        headers = {"Authorization": f"Bearer {header}"} if header else None
        answered = await portal.send("/rest/profile", json=params, headers=headers)
        return answered.json["result"]["ID"] if answered.status == 200 else answered.error[:2]

    assert await ask() == (401, "NO_AUTH_FOUND")
    assert await ask("good", auth="bad", access_token="bad") == "7"
    assert await ask("bad", auth="good") == (401, "invalid_token")
    assert await ask(auth="good", access_token="bad") == "7"
    assert await ask(access_token="good") == "7"
    assert await ask("old") == (401, "expired_token")
    tell(oauth_unreachable=True)
    assert await ask("good") == (401, "CONNECTION_ERROR")


@pytest.mark.parametrize("failure", ["NOT_INSTALLED", "PAYMENT_REQUIRED", "APPLICATION_NOT_FOUND", "ERROR_OAUTH"])
async def test_tokens_may_fail_at_the_authorization_server(
    portal: Caller, tell: Callable[..., None], failure: str
) -> None:
    """Whatever the authorization server says about an application is a 401."""
    tell(tokens={"t": {"failure": failure}})
    answered = await portal.send("/rest/app.info", headers={"Authorization": "Bearer t"})
    assert answered.error[:2] == (401, failure)


async def test_a_param_named_token_diverts_the_call(portal: Caller) -> None:
    """A parameter `token` is taken for a signed link and refused."""
    answered = await portal.call(INVOICE, token="x", **PARAMS)
    assert answered.error == (403, "ACCESS_DENIED", "Access denied! Link check failed")


async def test_the_rate_is_per_portal_and_a_batch_counts_once(
    emulator: RunningEmulator, session: aiohttp.ClientSession
) -> None:
    """Two portals of one farm have a bucket each; fifty commands are one request."""
    first, second = (Caller(session, emulator.loopback(number)) for number in (1, 2))
    for caller in (first, second):
        emulator.farm.patch(caller.authority, {"rate": {"burst": 2, "per_s": 0}})
    await first.batch({f"j{n}": "server.time" for n in range(50)})
    await first.call("server.time")
    refused = await first.call("server.time")
    assert refused.error == (503, "QUERY_LIMIT_EXCEEDED", "Too many requests")
    assert (await second.call("server.time")).status == 200
    emulator.farm.patch(first.authority, {"rate": {"burst": 2, "per_s": 1}})
    emulator.farm.clock.advance(2)
    assert [(await first.call("server.time")).status for _ in range(3)] == [200, 200, 503]


async def test_a_changed_rate_empties_no_bucket(portal: Caller, tell: Callable[..., None]) -> None:
    """What came at the old rate stays in it, and drains at the new one from then on."""
    tell(rate={"burst": 2, "per_s": 0})
    assert [(await portal.call("server.time")).status for _ in range(3)] == [200, 200, 503]
    tell(rate={"burst": 2, "per_s": 0.01})
    assert (await portal.call("server.time")).status == 503
    tell(rate={"burst": 3, "per_s": 0.01})
    assert [(await portal.call("server.time")).status for _ in range(2)] == [200, 503]


async def test_a_renamed_portal_points_to_its_new_address(portal: Caller, tell: Callable[..., None]) -> None:
    """The old address keeps path and query in Location; a foreign one is given as it is."""
    tell(redirect="other.example:8443", redirect_status=307)
    answered = await portal.send(f"{HOOK}/profile.json?bx24_request_id=7")
    assert answered.status == 307
    assert answered.headers["Location"] == f"http://other.example:8443{HOOK}/profile.json?bx24_request_id=7"
    tell(redirect="https://login.example/auth")
    assert (await portal.send(f"{HOOK}/profile")).headers["Location"] == "https://login.example/auth"


async def test_request_ids_are_journalled_and_idempotency_keys_ignored(portal: Caller, handle: Handle) -> None:
    """Tracing ids reach the journal; a repeated Idempotency-Key executes again."""
    for _ in range(2):
        headers = {"X-Request-ID": "trace-1", "Idempotency-Key": "k"}
        await portal.send(f"{HOOK}/{INVOICE}", json=PARAMS, headers=headers)
    await portal.send(f"{HOOK}/profile?bx24_request_id=trace-2")
    entries = await handle.requests()
    assert [entry.request_id for entry in entries] == ["trace-1", "trace-1", "trace-2"]
    assert [entry.executed for entry in entries] == [1, 1, 1]


async def test_health_methods_tell_what_a_preflight_asks(portal: Caller, tell: Callable[..., None]) -> None:
    """Pay systems with their handlers, the user, the scopes and the time can be read."""
    systems = (await portal.call("sale.paysystem.list")).json["result"]
    codes = {item["CODE"] for item in (await portal.call("sale.paysystem.handler.list")).json["result"]}
    really = [item["ID"] for item in systems if item["ACTION_FILE"] in codes]
    assert really == ["1", "4", "5", "6"]
    assert systems[1] | {"ACTION_FILE": "bill", "ENTITY_REGISTRY_TYPE": "CRM_INVOICE", "ACTIVE": "Y"} == systems[1]
    chosen = await portal.call("sale.paysystem.list", select=["ID"], filter={"ACTIVE": "N"})
    assert chosen.json["result"] == [{"ID": "6"}]
    assert (await portal.call("scope")).json["result"] == ["pay_system", "crm", "sale"]
    assert (await portal.call("profile")).json["result"]["ID"] == "1"
    assert (await portal.call("app.info")).json["result"]["INSTALLED"] is True
    assert (await portal.call("server.time")).json["result"].endswith("+03:00")
    tell(webhooks={"1/emulator-secret": {"can_configure": False}})
    assert (await portal.call("sale.paysystem.list")).error[:2] == (403, "ACCESS_DENIED")
