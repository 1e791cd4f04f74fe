"""The checkup against the emulated portal: what is missing is said with its remedy, and nothing is paid."""

from collections.abc import AsyncIterator

import pytest

from bitrix24.checkup import Checkup, Kind, Level, check_portal
from bitrix24.client import Client
from bitrix24.errors import PortalError
from bitrix24.portal import parse_portal
from emulator.faults import read_fault
from emulator.server import RunningEmulator, running_emulator


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    """An emulated portal with its usual pay systems."""
    async with running_emulator() as running:
        yield running


async def look(emulator: RunningEmulator, **settings: object) -> Checkup:
    """The checkup of the portal with these settings; proves that nothing was paid."""
    emulator.farm.patch(emulator.authority, settings)
    async with Client(http_total_s=20, allow_insecure=True) as client:
        found = await check_portal(client, parse_portal("acme", {"webhook": emulator.webhook()}, allow_insecure=True))
    assert emulator.farm.effects(emulator.authority).counts == {}
    return found


def rights(**changes: object) -> dict[str, object]:
    """Settings in which the webhook has other rights."""
    return {"webhooks": {"1/emulator-secret": changes}}


def texts(found: Checkup, level: Level) -> str:
    """All findings of a level, with their remedies."""
    return " | ".join(f"{each.text} {each.remedy}" for each in found.findings if each.level is level)


async def test_a_portal_in_order(emulator: RunningEmulator):
    """Scopes, user, rights and the paying systems are found; paper and vendor systems are warned of."""
    found = await look(emulator)
    assert found.usable
    assert {each.id: each.kind for each in found.pay_systems} == {
        1: Kind.PAYS,
        2: Kind.PAPER,
        3: Kind.PROVIDER,
        4: Kind.PAYS,
        6: Kind.PAYS,
    }
    assert "pay system 2 (Paper bill) is a paper one" in texts(found, Level.WARNING)
    assert "user 1" in texts(found, Level.OK)
    assert [each.active for each in found.pay_systems if each.id == 6] == [False]


async def test_without_the_right_to_prove(emulator: RunningEmulator):
    """A missing scope crm is a warning: payments work on the portal's word."""
    found = await look(emulator, **rights(scopes=["pay_system"]))
    assert found.usable
    assert "scope crm" in texts(found, Level.WARNING)
    assert "cannot be read back" in texts(found, Level.WARNING)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (rights(scopes=["crm"]), "scope pay_system"),
        (rights(can_pay=False), "right to create or edit invoices"),
        ({"crm_module": False}, "no CRM"),
        ({"webhooks": {"1/other-code": {}}}, "inbound webhook"),
        ({"pay_systems": [{"id": 2, "kind": "paper", "action_file": "bill"}]}, "no pay system"),
        ({"pay_systems": []}, "no pay system"),
        ({"overload_hold": True}, "blocked this credential"),
    ],
)
async def test_what_keeps_payments_from_working(emulator: RunningEmulator, settings: dict[str, object], said: str):
    """Each missing thing is an error with its remedy."""
    found = await look(emulator, **settings)
    assert not found.usable
    assert said in texts(found, Level.ERROR)


async def test_a_user_who_may_not_list_pay_systems(emulator: RunningEmulator):
    """Not seeing the pay systems is a warning: they may still pay."""
    found = await look(emulator, **rights(can_configure=False))
    assert found.usable
    assert found.pay_systems == ()
    assert "cannot be listed" in texts(found, Level.WARNING)


async def test_a_portal_that_cannot_be_asked(emulator: RunningEmulator):
    """An outage is no finding about the portal: it is raised."""
    emulator.farm.faults.add(read_fault({"kind": "503_html"}))
    with pytest.raises(PortalError):
        await look(emulator)
