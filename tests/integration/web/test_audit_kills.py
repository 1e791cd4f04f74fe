"""The audit of a web process that is killed or stopped, and its count of payments that were handed in."""

import signal
import threading
from contextlib import suppress
from typing import Any

import pytest

from access.audit import Audit, Entry, Outcome
from access.roles import Role
from config.connections import async_redis_client
from tests.bearers import a_token, bearing
from tests.eventually import eventually_sync
from tests.failpoints import Listener
from tests.house import EmulatedPortal, House, wait_for
from tests.integration.web.api_house import PAYMENTS, a_payment, lines, streamed
from tests.integration.web.conftest import Place, Street, Web
from web.intake import ACCEPT


def entries(house: House, what: str) -> list[Entry]:
    """The audit's entries of a kind, newest first."""

    async def read() -> list[Entry]:
        async with async_redis_client(house.server.url, max_connections=1, decode_responses=False) as redis:
            return [each async for each in Audit(redis, retention_s=3600).entries(3600) if each.what == what]

    found: list[Entry] = wait_for(read())
    return found


@pytest.fixture(scope="module")
def operator(house: House) -> dict[str, str]:
    """The headers of an operator."""

    async def made() -> dict[str, str]:
        async with async_redis_client(house.server.url, max_connections=1, decode_responses=False) as redis:
            return bearing(await a_token(redis, "ops", Role.OPERATOR))

    headers: dict[str, str] = wait_for(made())
    return headers


@pytest.mark.parametrize(("point", "held"), [("web.begun", False), ("web.changed", True)])
def test_a_kill_between_the_two_rows_is_told_as_unfinished(
    point: str, held: bool, street: Street, portal: EmulatedPortal, operator: dict[str, str]
):
    """Before the change or after it: the entry says who wanted what, and that nobody knows how it ended."""
    with Listener(point) as listener:
        web = street.start(f"killed-at-{point}", **listener.environment)
        body = {"reason": "moving"}
        asking = threading.Thread(target=_ask, args=(web, f"/v1/portals/{portal.key}/hold", body, operator))
        asking.start()
        stop = listener.next()
        assert stop.about == [portal.key]
        web.guarded.process.send_signal(signal.SIGKILL)
        web.guarded.process.wait(10)
        asking.join()
    [entry] = [each for each in entries(portal.house, "portal.hold") if portal.key in each.subjects]
    assert (entry.who, entry.role, entry.outcome, entry.after) == ("ops", "operator", Outcome.UNFINISHED, None)
    assert bool(Place(portal.house, web).lane(portal.key).held) is held


def _ask(web: Web, path: str, body: dict[str, str], headers: dict[str, str]) -> None:
    with suppress(Exception):  # the process is killed before it answers
        web.ask("POST", path, json=body, headers=headers)


def test_payments_handed_in_are_counted(house: House, street: Street, portal: EmulatedPortal, operator: dict[str, str]):
    """One entry a second after the first, whatever the door; what joins is nothing new. The rest at its end."""
    other, web = house.add_portal(), street.start("counting")
    for invoice in (1, 2, 2):
        web.ask("POST", PAYMENTS, json=a_payment(portal, invoice), headers=operator)
    web.ask("POST", PAYMENTS, json=[a_payment(portal, 3), a_payment("nobody", 3)], headers=operator)
    streamed(web, lines(a_payment(other, invoice) for invoice in (1, 2)), operator)
    eventually_sync(lambda: counted(house, portal))
    [entry] = counted(house, portal)
    after: dict[str, Any] = entry.after  # type: ignore[assignment]  # what the intake has written
    assert (entry.who, entry.role, entry.outcome) == ("ops", "operator", Outcome.DONE)
    assert (after["requests"], after["accepted"]) == (4, 5)
    assert after["by_portal"] == {portal.key: 3, other.key: 2}
    web.ask("POST", PAYMENTS, json=a_payment(portal, 9), headers=operator)
    assert web.stop() == 0
    newest, _ = counted(house, portal)
    assert (newest.after["accepted"], newest.request_id) != (5, entry.request_id)  # type: ignore[index]
    assert newest.after["by_portal"] == {portal.key: 1}  # type: ignore[index]


def counted(house: House, portal: EmulatedPortal) -> list[Entry]:
    """The counts in which a portal has a part."""
    return [each for each in entries(house, ACCEPT) if portal.key in each.subjects]
