"""The admin API: settings with reasons, journal, counters and the farm's clock."""

import time
from collections.abc import Callable

import aiohttp
import pytest

from emulator import Handle, RunningEmulator, make_farm, running_emulator
from emulator.handle import AdminError
from emulator.reading import SettingsError
from emulator.records import Change
from tests.emulator.portal_caller import INVOICE, Caller, pay_command


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"latency": 1}, "latency: unknown setting (did you mean 'latency_s'?)"),
        ({"latency_s": -1}, "latency_s: expected a number from 0"),
        ({"plan": "gold"}, "plan: expected one of standard, enterprise, none, got 'gold'"),
        ({"webhooks": {"secret": {}}}, 'a webhook is named "USER/CODE"'),
        ({"webhooks": {"1/x": {"scope": []}}}, "did you mean 'scopes'"),
        ({"pay_systems": [{"id": 1, "kind": "papper"}]}, "pay_systems[0].kind: expected one of"),
        ({"invoices": {"exist": [[5, 1]]}}, "invoices.exist: expected an id or a [first, last] pair"),
        ({"rate": {"burst": 0}}, "rate.burst: expected a whole number from 1"),
        ({"language": "xx"}, "language: expected one of en, ru, de"),
        ({"https_required": 1}, "https_required: expected true or false, got 1"),
    ],
)
async def test_wrong_settings_are_refused_with_a_reason(
    handle: Handle, portal: Caller, settings: dict[str, object], complaint: str
) -> None:
    """A complaint names the setting, what was expected and the likely meaning; nothing changes."""
    before = await handle.settings(portal.authority)
    with pytest.raises(AdminError) as refused:
        await handle.patch(portal.authority, **settings)
    assert complaint in str(refused.value)
    assert await handle.settings(portal.authority) == before


def test_a_wrong_configuration_file_is_refused() -> None:
    """The file is checked like the API."""
    with pytest.raises(SettingsError, match="did you mean 'template'"):
        make_farm({"templates": {}})
    with pytest.raises(SettingsError, match=r"faults\[0\]"):
        make_farm({"faults": [{"kind": "nope"}]})


async def test_portals_inherit_from_the_template_what_they_do_not_say(
    handle: Handle, emulator: RunningEmulator
) -> None:
    """A change of the template reaches portals made before and after, except for their own settings."""
    one, two = emulator.loopback(1), emulator.loopback(2)
    await handle.patch(one, pay_s=0.5)
    await handle.patch("*", pay_s=0.1, latency_s=0.2)
    assert [(await handle.settings(name))["pay_s"] for name in (one, two)] == [0.5, 0.1]
    assert (await handle.settings(one))["latency_s"] == 0.2
    await handle.put(one)
    assert (await handle.settings(one))["pay_s"] == 0.1


async def test_any_address_administers_any_portal(
    emulator: RunningEmulator, session: aiohttp.ClientSession, handle: Handle
) -> None:
    """Settings made through one loopback address change the portal that is named."""
    far = Caller(session, emulator.loopback(70_000))
    await handle.patch(far.authority, site_stopped=True)
    assert (await far.pay(1)).error[1] == "PORTAL_DELETED"
    named = Caller(session, emulator.authority)
    await handle.patch("shop.example", site_stopped=True)
    answered = await named.send("/rest/1/emulator-secret/scope", headers={"Host": "Shop.Example"})
    assert answered.error[1] == "PORTAL_DELETED"


async def test_the_journal_tells_requests_and_changes_in_one_order(portal: Caller, handle: Handle) -> None:
    """A change points to the request that made it, or says it was done by hand."""
    await portal.pay(3)
    await handle.change(portal.authority, [3], Change.UNPAY)
    await portal.batch({"a": pay_command(3), "b": "nope"})
    requests, changes = await handle.requests(), await handle.changes()
    assert [(r.method, r.user, r.status, r.code, r.executed) for r in requests] == [
        (INVOICE, 1, 200, "", 1),
        ("batch", 1, 200, "", 1),
    ]
    assert [(c.what, c.record, c.user, c.request, c.detail) for c in changes] == [
        ("settings.put", None, None, None, "plan"),
        ("record.paid", 3, 1, requests[0].seq, ""),
        ("record.unpay", 3, None, None, "by hand"),
        ("record.paid", 3, 1, requests[1].seq, ""),
    ]
    assert [r.method for r in await handle.requests(since=requests[0].seq, limit=5)] == ["batch"]
    assert await handle.requests(portal="other") == []


async def test_the_journal_is_a_ring_and_the_counters_are_exact(session: aiohttp.ClientSession) -> None:
    """However small the journal, every request is counted."""
    async with running_emulator({"journal_size": 3, "template": {"plan": "none"}}) as emulator:
        caller = Caller(session, emulator.authority)
        for number in range(8):
            await caller.pay(number)
        assert [entry.commands[0][2] for entry in emulator.farm.journal.requests()] == ["5", "6", "7"]
        counters = emulator.farm.counters()
    assert (counters.requests, counters.executed) == (8, 8)
    assert (counters.statuses, counters.codes) == ({200: 7, 400: 1}, {"ERROR_CHECK_FAILURE": 1})


async def test_counters_add_up_over_portals(
    emulator: RunningEmulator, session: aiohttp.ClientSession, handle: Handle
) -> None:
    """Totals are sums, one portal's counters its own."""
    first, second = (Caller(session, emulator.loopback(number)) for number in (1, 2))
    await first.pay(1)
    await second.batch({"a": pay_command(1), "b": pay_command(2)})
    total, own = await handle.counters(), await handle.counters(second.authority)
    assert (total.requests, total.batches, total.commands, total.executed) == (2, 1, 2, 3)
    assert (own.requests, own.executed) == (1, 2)
    assert (await handle.effects()).tally.effects == 3
    assert (await handle.effects(second.authority)).counts == {1: 1, 2: 1}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (Change.CANCEL, "ERROR_PROCESS_REQUEST_RESULT"),
        (Change.DELETE, "ERROR_INTERNAL_INVOICE_NOT_FOUND"),
    ],
)
async def test_invoices_can_be_changed_by_hand(portal: Caller, handle: Handle, change: Change, error: str) -> None:
    """A canceled or deleted invoice is refused from then on."""
    await handle.change(portal.authority, [3], change)
    assert (await portal.pay(3)).error[1] == error
    await handle.change(portal.authority, [3], Change.RESTORE)
    assert (await portal.pay(3)).status == 200


async def test_hiding_and_paying_by_hand_have_no_effects(portal: Caller, handle: Handle) -> None:
    """What a person does is not counted as a call's effect."""
    await handle.change(portal.authority, [3], Change.PAY)
    assert (await portal.call("crm.invoice.get", id=3)).json["result"]["EMP_PAYED_ID"] == ""
    await portal.pay(3)
    await handle.change(portal.authority, [3], Change.HIDE)
    assert (await portal.call("crm.invoice.get", id=3)).error[2] == "Access denied."
    effects = await handle.effects(portal.authority)
    assert (effects.counts, effects.tally.repeats) == ({}, 1)


async def test_reset_forgets_and_the_clock_moves_on(portal: Caller, handle: Handle, emulator: RunningEmulator) -> None:
    """After a reset nothing is paid, no rule is in force, and the template stays."""
    await portal.pay(3)
    await handle.add_fault("502_html")
    await handle.reset()
    assert (await handle.counters()).requests == 0
    assert (await portal.call("crm.invoice.get", id=3)).json["result"]["PAYED"] == "N"
    assert (await handle.settings(portal.authority))["rate"] is None
    await handle.advance(600)
    assert emulator.farm.clock.skipped_s == 600
    with pytest.raises(AdminError, match="advance_s"):
        await handle.advance(-1)


async def test_a_portals_clock_may_be_wrong(portal: Caller, tell: Callable[..., None]) -> None:
    """A skewed portal dates payments and its `time` by its own clock."""
    tell(clock_skew_s=-86400.0, utc_offset_s=0)
    straight = (await portal.call("server.time")).json
    assert abs(straight["time"]["start"] - (time.time() - 86400)) < 60


async def test_unknown_admin_requests_list_the_known_ones(portal: Caller) -> None:
    """A wrong path is answered with what there is."""
    answered = await portal.send("/_emulator/effect", "GET")
    assert answered.status == 404
    assert "GET /_emulator/effects" in answered.json["known"]
    assert (await portal.send("/_emulator/settings", "GET")).status == 400


async def test_the_journal_names_the_invoices_that_a_list_asked_for(portal: Caller, handle: Handle) -> None:
    """Singly and behind the pays of a batch; other commands ask for none."""
    await portal.call("crm.invoice.list", filter={"ID": [3, 4]})
    await portal.call("crm.invoice.get", id=5)
    await portal.batch({"r": "crm.invoice.list?filter%5B%40ID%5D%5B%5D=7&filter%5B%40ID%5D%5B%5D=8"})
    assert [entry.asked for entry in await handle.requests(portal=portal.authority)] == [(3, 4), (), (7, 8)]
