"""The client against the emulated portal: what it says about each payment, compared with what the portal really did."""

from collections.abc import AsyncIterator

import pytest

from bitrix24.client import Client, reading_not_permitted
from bitrix24.errors import Effect, Fate, Moved, NoAnswer, NotSent, PortalError, Refused
from bitrix24.facts import Claims, Pay
from bitrix24.portal import Portal, parse_portal
from emulator.faults import Kind, Place, read_fault
from emulator.server import RunningEmulator, running_emulator

REST, PAPER, VENDOR, SWALLOWING, FOREIGN = 31, 32, 33, 34, 35
SYSTEMS = [
    {"id": REST, "kind": "rest"},
    {"id": PAPER, "kind": "paper"},
    {"id": VENDOR, "kind": "vendor"},
    {"id": SWALLOWING, "kind": "swallowing"},
    {"id": FOREIGN, "kind": "rest", "registry": "ORDER"},
]


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    """An emulated portal without a rate limit and with one pay system of each kind."""
    async with running_emulator({"template": {"plan": "none", "pay_systems": SYSTEMS}}) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client that may talk to this machine."""
    async with Client(http_total_s=20, allow_insecure=True) as opened:
        yield opened


@pytest.fixture
def portal(emulator: RunningEmulator) -> Portal:
    """The emulator as a configured portal."""
    return parse_portal("acme", {"webhook": emulator.webhook()}, allow_insecure=True)


def a_pay(invoice_id: int = 2, pay_system_id: int | None = REST, bx_rest_handler: str | None = None) -> Pay:
    """One pay command."""
    return Pay(invoice_id=invoice_id, pay_system_id=pay_system_id, bx_rest_handler=bx_rest_handler)


def effects(emulator: RunningEmulator) -> dict[int, int]:
    """How often each invoice was really paid."""
    return emulator.farm.effects(emulator.authority).counts


async def test_a_full_batch_pays_and_proves(emulator: RunningEmulator, client: Client, portal: Portal):
    """49 invoices are claimed and read back as paid by one request, each paid once."""
    reply = await client.pay(portal, [a_pay(number) for number in range(1, 50)])
    assert set(reply.answers) == {Claims()}
    assert not isinstance(reply.invoices, PortalError)
    assert {number for number, invoice in reply.invoices.items() if invoice.paid} == set(range(1, 50))
    assert all(row.paid_at and row.paid_at.utcoffset() is not None for row in reply.invoices.values())
    assert {row.paid_by for row in reply.invoices.values()} == {"1"}
    assert reply.operating is not None
    assert reply.commands_s is not None
    assert 0 < reply.commands_s < reply.took_s
    assert effects(emulator) == dict.fromkeys(range(1, 50), 1)
    assert emulator.farm.counters().requests == 1


async def test_each_payment_of_a_batch_has_its_own_answer(emulator: RunningEmulator, client: Client, portal: Portal):
    """Refusals of some do not touch the others, and every kind of refusal has its fate."""
    emulator.farm.patch(emulator.authority, {"invoices": {"missing": [3], "canceled": [4]}})
    pays = [a_pay(2), a_pay(3), a_pay(4), a_pay(5, 99), a_pay(6, FOREIGN), a_pay(7, None, "none"), a_pay(8, VENDOR)]
    reply = await client.pay(portal, pays)
    found = [
        (type(answer), answer.code, answer.meaning.fate) if isinstance(answer, PortalError) else answer
        for answer in reply.answers
    ]
    assert found == [
        Claims(),
        (Refused, "ERROR_INTERNAL_INVOICE_NOT_FOUND", Fate.REFUSED),
        (Refused, "ERROR_PROCESS_REQUEST_RESULT", Fate.REFUSED_IF_UNPAID),
        (Refused, "ERROR_CHECK_FAILURE", Fate.REFUSED),
        (Refused, "ERROR_PROCESS_REQUEST_RESULT", Fate.REFUSED),
        (Refused, "ERROR_CHECK_FAILURE", Fate.REFUSED),
        (Refused, "ERROR_PROCESS_REQUEST_RESULT", Fate.REFUSED_IF_UNPAID),
    ]
    assert effects(emulator) == {2: 1}


@pytest.mark.parametrize("system", [PAPER, SWALLOWING])
async def test_true_is_not_proof(client: Client, portal: Portal, system: int):
    """A paper pay system and a save that failed claim the payment; the read-back shows that nothing was paid."""
    reply = await client.pay(portal, [a_pay(2, system)])
    assert reply.answers == (Claims(),)
    assert not isinstance(reply.invoices, PortalError)
    assert not reply.invoices[2].paid


async def test_a_single_pay_is_a_direct_call(emulator: RunningEmulator, client: Client, portal: Portal):
    """Singly, the method itself is called, nothing is read, and a refusal is raised."""
    reply = await client.pay(portal, [a_pay(2)], singly=True)
    assert reply.answers == (Claims(),)
    assert reply.invoices == {}
    assert (await client.read_back(portal, [2]))[2].paid
    with pytest.raises(Refused) as caught:
        await client.pay(portal, [a_pay(3, 99)], singly=True)
    assert caught.value.meaning.fate is Fate.REFUSED
    assert [entry.method for entry in emulator.farm.journal.requests(since=0, portal=None)] == [
        "sale.paysystem.pay.invoice",
        "crm.invoice.list",
        "sale.paysystem.pay.invoice",
    ]


async def test_a_handler_alone_is_enough(client: Client, portal: Portal):
    """A payment may name the handler instead of the pay system."""
    reply = await client.pay(portal, [a_pay(2, None, "emulator_rest")])
    assert reply.answers == (Claims(),)


async def test_reading_back_shows_what_is_there(emulator: RunningEmulator, client: Client, portal: Portal):
    """Paid, unpaid, and absent: deleted or hidden."""
    emulator.farm.patch(emulator.authority, {"invoices": {"paid": [1], "missing": [3], "unreadable": [4]}})
    invoices = await client.read_back(portal, [1, 2, 3, 4])
    assert {number: invoice.paid for number, invoice in invoices.items()} == {1: True, 2: False}


@pytest.mark.parametrize("rights", [{"scopes": ["pay_system"]}, {"scopes": ["pay_system", "crm"], "can_read": False}])
async def test_paying_without_the_right_to_read(
    emulator: RunningEmulator, client: Client, portal: Portal, rights: dict[str, object]
):
    """Without the scope or the right to read, payments are claimed, and the missing right is recognised as that."""
    emulator.farm.patch(emulator.authority, {"webhooks": {"1/emulator-secret": rights}})
    reply = await client.pay(portal, [a_pay()])
    assert reply.answers == (Claims(),)
    if isinstance(reply.invoices, PortalError):
        assert reading_not_permitted(reply.invoices)
        assert reply.invoices.meaning.effect is Effect.GO_ON
        with pytest.raises(PortalError) as caught:
            await client.read_back(portal, [2])
        assert reading_not_permitted(caught.value)
    else:
        assert reply.invoices == {}


MOODS = [
    ({"rate": {"burst": 1, "per_s": 0.001}}, "QUERY_LIMIT_EXCEEDED", Effect.RATE),
    ({"webhooks": {"1/another-one": {}}}, "INVALID_CREDENTIALS", Effect.HOLD),
    ({"webhooks": {"1/emulator-secret": {"dismissed": True}}}, None, Effect.HOLD),
    ({"overload_hold": True}, "OVERLOAD_LIMIT", Effect.HOLD),
    ({"plan_blocked": True}, "ACCESS_DENIED", Effect.HOLD),
    ({"site_stopped": True}, "PORTAL_DELETED", Effect.HOLD),
    ({"https_required": True}, "INVALID_REQUEST", Effect.HOLD),
]


@pytest.mark.parametrize("profile", ["source", "docs"])
@pytest.mark.parametrize("case", MOODS, ids=lambda case: case[1] or "dismissed")
async def test_a_portal_that_lets_nobody_in(
    emulator: RunningEmulator,
    client: Client,
    portal: Portal,
    case: tuple[dict[str, object], str | None, Effect],
    profile: str,
):
    """A refusal of the whole request is certainly not executed, whichever status the portal gives it."""
    mood, code, effect = case
    emulator.farm.patch(emulator.authority, {**mood, "status_profile": profile})
    if effect is Effect.RATE:
        await client.read_back(portal, [1])
    with pytest.raises(Refused) as caught:
        await client.pay(portal, [a_pay()])
    assert caught.value.code == code or code is None
    assert (caught.value.meaning.fate, caught.value.meaning.effect) == (Fate.NOT_RUN, effect)
    assert effects(emulator) == {}


@pytest.mark.parametrize("mood", [{"crm_module": False}, {"webhooks": {"1/emulator-secret": {"can_pay": False}}}])
async def test_a_portal_on_which_this_user_cannot_pay(
    emulator: RunningEmulator, client: Client, portal: Portal, mood: dict[str, object]
):
    """Missing rights and a missing module hold the lane by each command's own answer."""
    emulator.farm.patch(emulator.authority, mood)
    reply = await client.pay(portal, [a_pay(), a_pay(3)])
    for answer in reply.answers:
        assert isinstance(answer, Refused)
        assert (answer.meaning.fate, answer.meaning.effect) == (Fate.NOT_RUN, Effect.HOLD)


async def test_execution_time_that_runs_out_in_mid_batch(emulator: RunningEmulator, client: Client, portal: Portal):
    """Commands before the limit are claimed, those behind it were not run."""
    cost = {"sale.paysystem.pay.invoice": 1.0}
    emulator.farm.patch(emulator.authority, {"operating_limit_s": 2, "operating_cost_s": cost})
    reply = await client.pay(portal, [a_pay(number) for number in range(1, 11)])
    run = [number for number, answer in enumerate(reply.answers, 1) if isinstance(answer, Claims)]
    refused = [answer for answer in reply.answers if isinstance(answer, PortalError)]
    assert run
    assert refused
    assert {answer.meaning.effect for answer in refused} == {Effect.EXECUTION}
    assert {answer.meaning.fate for answer in refused} == {Fate.NOT_RUN}
    assert effects(emulator) == dict.fromkeys(run, 1)
    assert reply.operating is not None
    assert reply.operating.used_s >= 2


async def test_a_renamed_portal_names_its_new_address(emulator: RunningEmulator, client: Client, portal: Portal):
    """The redirect is not followed; the error carries the new endpoint, and there the same credential pays."""
    new = f"localhost:{emulator.port}"
    emulator.farm.patch(emulator.authority, {"redirect": new})
    with pytest.raises(Moved) as caught:
        await client.pay(portal, [a_pay()])
    assert caught.value.endpoint == f"http://{new}/rest/"
    assert caught.value.meaning.fate is Fate.NOT_RUN
    moved = Portal(key=portal.key, endpoint=caught.value.endpoint, credential=portal.credential)
    assert (await client.pay(moved, [a_pay()])).answers == (Claims(),)


async def test_a_certificate_that_is_not_trusted():
    """A portal with a self-made certificate gets nothing, and a person is told about it."""
    async with running_emulator(tls=["127.0.0.1:0"]) as running, Client(http_total_s=20, allow_insecure=True) as client:
        webhook = f"https://{running.tls[0]}/rest/1/emulator-secret/"
        with pytest.raises(NotSent) as caught:
            await client.pay(parse_portal("acme", {"webhook": webhook}, allow_insecure=True), [a_pay()])
    assert "certificate" in caught.value.meaning.remedy
    assert running.farm.counters().requests == 0


STRIKES = [
    {"kind": kind, "place": place, "seconds": 1, "size": 8_000_000, "k": 2}
    for kind in Kind
    for place in (Place.BEFORE, Place.AFTER, Place.AFTER_K, Place.DURING)
    if kind not in (Kind.REFUSE, Kind.REPLY, Kind.ERROR) and (kind is not Kind.HANG or place is Place.BEFORE)
]
CODES = ["ERROR_CORE", "ERROR_ARGUMENT", "WRONG_ENCODING", "INTERNAL_SERVER_ERROR", "SOMETHING_NEW", 0, ""]
STRIKES += [
    {"kind": "error", "place": "after", "code": code, "status": status} for code in CODES for status in (200, 400, 500)
]
STRIKES += [{"kind": "refuse", "place": "command_after", "code": code} for code in CODES]


@pytest.mark.parametrize("strike", STRIKES, ids=lambda each: "-".join(str(value) for value in each.values()))
async def test_no_fault_makes_us_believe_what_is_not_so(
    emulator: RunningEmulator, portal: Portal, strike: dict[str, object]
):
    """Whatever is spoilt, before or after the work: only unpaid invoices are called "not run" or "refused"."""
    emulator.farm.faults.add(read_fault(strike))
    async with Client(http_total_s=0.5, allow_insecure=True) as client:
        pays = [a_pay(number) for number in range(1, 5)]
        try:
            answers = (await client.pay(portal, pays)).answers
        except PortalError as error:
            answers = (error,) * len(pays)
    paid = effects(emulator)
    for pay, answer in zip(pays, answers, strict=True):
        if isinstance(answer, Claims):
            assert paid[pay.invoice_id] == 1
        elif answer.meaning.fate in (Fate.NOT_RUN, Fate.REFUSED):
            assert pay.invoice_id not in paid
        if isinstance(answer, NotSent):
            assert emulator.farm.counters().requests == 0
        assert isinstance(answer, Claims | NoAnswer | Refused | NotSent)
