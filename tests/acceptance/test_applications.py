"""Portals that are paid through an application: its tokens run out, are lost, are refused, and no payment notices."""

import time
from collections.abc import Iterator

import pytest
from celery import Celery

from bitrix24.credentials import OAuth
from tests.acceptance.test_trouble import assert_all_paid_once, send_bulk
from tests.eventually import eventually_sync
from tests.failpoints import Listener
from tests.house import EmulatedPortal, House, a_house

WITHIN_S = 60
FREE = {"plan": "none", "operating_limit_s": None, "latency_s": 0.05}
EXPIRIES = 8


@pytest.fixture
def house() -> Iterator[House]:
    """A house without workers; each test starts its own."""
    with a_house() as house:
        yield house


def tokens(portal: EmulatedPortal) -> OAuth:
    """What the registry has."""
    credential = portal.stored().credential
    assert isinstance(credential, OAuth)
    return credential


def refreshed(portal: EmulatedPortal) -> int:
    """How many new pairs the token server gave."""
    return int(portal.ask(lambda emulator, name: emulator.token_counters(name)).refreshed)


def assert_no_secret_in_an_address(portal: EmulatedPortal) -> None:
    """Neither at the portal nor at the token server."""
    assert portal.counters.tokens_in_url == 0
    assert portal.ask(lambda emulator, _: emulator.token_counters()).secrets_in_url == 0


def test_expiries_under_load_are_unnoticed(house: House) -> None:
    """One refresh each, whatever the number of processes; nothing fails and nothing is paid twice."""
    workers = [house.start_worker() for _ in range(2)]
    celery = house.celery()
    portal = house.add_application(settings=FREE, rotation="one_time", token_cache_s=0)
    ids = send_bulk(celery, portal, 1000)
    for _ in range(EXPIRIES):
        before = refreshed(portal)
        portal.ask(lambda emulator, name: emulator.expire(name))
        ids += _more(celery, portal, len(ids), 100)
        eventually_sync(lambda before=before: refreshed(portal) > before)  # type: ignore[misc]
    assert_all_paid_once(celery, portal, ids)
    assert refreshed(portal) == EXPIRIES
    counted = portal.counters
    assert counted.statuses[401] <= 2 * EXPIRIES * len(workers)
    assert_no_secret_in_an_address(portal)


def _more(celery: Celery, portal: EmulatedPortal, known: int, count: int) -> list[str]:
    return [
        celery.send_task(
            "tasks.pay_invoice",
            kwargs={"portal": portal.key, "invoice_id": number, "pay_system_id": 1},
            queue="payments",
        ).id
        for number in range(known + 1, known + count + 1)
    ]


def test_a_token_is_renewed_before_it_runs_out(house: House) -> None:
    """Once the worker knows when that is, no request leaves with one that the portal refuses."""
    house.start_worker()
    celery = house.celery()
    portal = house.add_application(
        settings={**FREE, "latency_s": 0.5}, rotation="one_time", access_s=8, token_cache_s=0
    )
    portal.ask(lambda emulator, name: emulator.expire(name))
    ids = send_bulk(celery, portal, 1)
    eventually_sync(lambda: refreshed(portal) == 1)
    end = time.monotonic() + 30
    while refreshed(portal) < 3 and time.monotonic() < end:
        ids += _more(celery, portal, len(ids), 5)
        time.sleep(0.2)
    assert_all_paid_once(celery, portal, ids)
    assert refreshed(portal) >= 3
    assert portal.counters.statuses[401] == 1


def test_without_work_nothing_is_renewed(house: House) -> None:
    """A portal may block an application that renews by the clock."""
    house.start_worker()
    portal = house.add_application(access_s=2)
    time.sleep(3)
    assert refreshed(portal) == 0


@pytest.mark.parametrize("kind", ["reset", "500_html", "truncated", "empty"])
def test_a_lost_answer_of_the_token_server_is_asked_for_once_more(house: House, kind: str) -> None:
    """Where the old refresh token is still good for a while, the chain lives on."""
    house.start_worker()
    portal = house.add_application(rotation="grace")
    portal.ask(lambda emulator, name: emulator.expire(name))
    portal.fault(kind, method="oauth.token", place="after", count=1)
    celery = house.celery()
    assert_all_paid_once(celery, portal, send_bulk(celery, portal, 20))
    assert refreshed(portal) == 1
    assert portal.counters.statuses[401] == 1


def test_a_chain_that_is_lost_waits_for_a_person(house: House) -> None:
    """The answer was lost and the old token is worth nothing: the lane is held, and a new credential lets it go on."""
    worker = house.start_worker()
    portal = house.add_application(rotation="one_time")
    portal.ask(lambda emulator, name: emulator.expire(name))
    portal.fault("reset", method="oauth.token", place="after", count=1)
    celery = house.celery()
    ids = send_bulk(celery, portal, 20)
    eventually_sync(portal.held)
    assert portal.held() == "INVALID_GRANT"
    [held] = [event for event in worker.events() if event["event"] == "lane.held"]
    assert "Install the application again" in held["remedy"]
    assert portal.counts()["queued"] == 20
    portal.give(portal.ask(lambda emulator, name: emulator.credential(name)))
    portal.resume()
    assert_all_paid_once(celery, portal, ids)


def test_a_token_server_that_is_out_of_order_is_waited_for(house: House) -> None:
    """Nothing is held and no attempt is spent; when it answers again, everything is paid."""
    house.start_worker()
    portal = house.add_application()
    portal.ask(lambda emulator, name: emulator.expire(name))
    portal.fault("503_html", method="oauth.token", place="before", count=5)
    celery = house.celery()
    assert_all_paid_once(celery, portal, send_bulk(celery, portal, 20))
    assert (refreshed(portal), portal.held()) == (1, None)


@pytest.mark.parametrize(
    ("code", "remedy"), [("wrong_client", "Check its installation"), ("PAYMENT_REQUIRED", "Check its installation")]
)
def test_a_refusal_of_the_token_server_holds_the_lane(house: House, code: str, remedy: str) -> None:
    """`wrong_client` comes with HTTP 200."""
    worker = house.start_worker()
    portal = house.add_application(refresh_failure=code)
    portal.ask(lambda emulator, name: emulator.expire(name))
    send_bulk(house.celery(), portal, 20)
    eventually_sync(portal.held)
    assert portal.held() == code.upper()
    [held] = [event for event in worker.events() if event["event"] == "lane.held"]
    assert remedy in held["remedy"]
    assert portal.counters.requests <= 5


def test_a_new_token_that_is_refused_as_well_holds_the_lane(house: House) -> None:
    """One refresh, and no endless row of them."""
    house.start_worker()
    portal = house.add_application(failure="invalid_token")
    send_bulk(house.celery(), portal, 20)
    eventually_sync(portal.held)
    assert portal.held() == "INVALID_TOKEN"
    assert refreshed(portal) == 1
    assert portal.counters.requests <= 5


def test_a_worker_that_dies_between_the_answer_and_the_store(house: House) -> None:
    """Where the old refresh token is still good, another worker renews; the lane is not held and nothing is lost."""
    with Listener("renewal.answered") as listener:
        dying = house.start_worker(**listener.environment)
        portal = house.add_application(rotation="grace")
        portal.ask(lambda emulator, name: emulator.expire(name))
        celery = house.celery()
        ids = send_bulk(celery, portal, 20)
        stop = listener.next()
        before = tokens(portal)
        dying.kill()
        stop.go_on()
    assert tokens(portal) == before
    house.start_worker()
    assert_all_paid_once(celery, portal, ids)
    assert tokens(portal) != before


def test_a_redis_that_restarts_between_the_answer_and_the_store_loses_no_token(house: House) -> None:
    """The pair is stored when the server is back."""
    with Listener("renewal.answered") as listener:
        house.start_worker(**listener.environment)
        portal = house.add_application(rotation="one_time")
        portal.ask(lambda emulator, name: emulator.expire(name))
        celery = house.celery()
        ids = send_bulk(celery, portal, 20)
        stop = listener.next()
        house.server.kill()
        stop.go_on()
        time.sleep(1)
        house.server.start()
    assert_all_paid_once(celery, portal, ids)
    assert (refreshed(portal), portal.held()) == (1, None)


@pytest.mark.parametrize("through", ["webhook", "application"])
def test_a_renamed_portal_is_followed(house: House, through: str) -> None:
    """Its new address is stored, and nothing is paid twice on the way."""
    house.start_worker()
    portal = house.add_portal(**FREE) if through == "webhook" else house.add_application(settings=FREE)
    celery = house.celery()
    ids = send_bulk(celery, portal, 200)
    host, _, port = portal.authority.partition(":")
    new = f"{host.replace('127.0.', '127.9.')}:{port}"
    portal.ask(lambda emulator, name: emulator.rename(name, new))
    ids += _more(celery, portal, len(ids), 200)
    assert_all_paid_once(celery, EmulatedPortal(house, portal.key, new), ids)
    assert portal.stored().endpoint == f"http://{new}/rest/"
    assert portal.held() is None
