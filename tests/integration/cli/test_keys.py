"""`b24pay keys rotate`: keys change, payments go on, and what cannot be opened is told with the way out."""

import json

import pytest
from cryptography.fernet import Fernet

from config.connections import redis_client
from tests.conftest import SECRET_KEY
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, a_house
from tests.integration.cli.conftest import Terminal

PORTALS = "b24pay:{0}:portals"
NEW = Fernet.generate_key().decode()
BOTH = f"{NEW},{SECRET_KEY}"


@pytest.fixture
def house():
    """A house for each test, because keys concern every portal in it; workers are the test's own."""
    with a_house() as house:
        yield house


@pytest.fixture
def both_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal knows the new key and the old one."""
    monkeypatch.setenv("B24PAY_SECRET_KEYS", BOTH)


def sealed_with(house: House, key: str) -> int:
    """How many stored credentials a key opens."""
    with redis_client(house.server.url, decode_responses=True) as client:
        tokens = [json.loads(record)["secret"] for record in client.hvals(PORTALS)]
    return sum(_opens(key, token) for token in tokens)


def _opens(key: str, token: str) -> bool:
    try:
        return bool(Fernet(key).decrypt(token))
    except Exception:  # noqa: BLE001 - whatever it says, it does not open
        return False


def test_keys_change_under_workers_that_pay(house: House, both_keys: None, terminal: Terminal):
    """Old key, both keys, rotation, new key: workers follow one another, and payments never stop or fail."""
    portals = [house.add_portal(latency_s=0.05) for _ in range(4)]
    payments = Payments(house, portals)
    first = house.start_worker()
    payments.flow()
    second = house.start_worker(B24PAY_SECRET_KEYS=BOTH)
    assert first.stop() == 0
    payments.flow()
    said = terminal.json("keys", "rotate")
    assert said.code == 0, said.err
    assert said.document["sealed_anew"] == 4
    assert not said.document["old_keys_needed"]
    payments.flow()
    third = house.start_worker(B24PAY_SECRET_KEYS=NEW)
    assert second.stop() == 0
    payments.flow()
    assert third.never_died()
    assert (sealed_with(house, NEW), sealed_with(house, SECRET_KEY)) == (4, 0)
    payments.all_paid_once()
    events = [event for worker in house.workers for event in worker.events()]
    assert not [event for event in events if event["event"] in ("lane.unusable", "lane.held")]
    assert all(secret not in line for w in house.workers for line in w.lines() for secret in (NEW, SECRET_KEY))


class Payments:
    """A stream of payments that the test can look at."""

    def __init__(self, house: House, portals: list[EmulatedPortal]) -> None:
        self._celery = house.celery()
        self._portals = portals
        self._sent = 0

    def flow(self) -> None:
        """Send thirty more to each portal and wait until every portal has paid some of them."""
        paid = self._sent
        for portal in self._portals:
            for invoice in range(self._sent + 1, self._sent + 31):
                fields = {"portal": portal.key, "invoice_id": invoice, "pay_system_id": 1}
                self._celery.send_task("tasks.pay_invoice", kwargs=fields, queue="payments")
        self._sent += 30
        eventually_sync(lambda: all(portal.counts()["paid"] > paid for portal in self._portals))

    def all_paid_once(self) -> None:
        """Everything that was sent is paid, once."""
        eventually_sync(lambda: all(portal.counts()["paid"] == self._sent for portal in self._portals))
        for portal in self._portals:
            tally, counts = portal.tally, portal.counts()
            assert (tally.effects, tally.repeats, counts["failed"]) == (self._sent, 0, 0)


def test_a_dry_run_changes_nothing_and_repeating_is_nothing_new(house: House, both_keys: None, terminal: Terminal):
    """Before, `--dry-run` says how many there are; after, that none is left."""
    house.add_portal()
    said = terminal("keys", "rotate", "--dry-run")
    assert (said.code, said.out) == (0, "1 would be sealed anew, 0 sealed with the first key already.\n")
    assert sealed_with(house, NEW) == 0
    assert terminal("keys", "rotate").out == "1 sealed anew, 0 sealed with the first key already.\n"
    assert terminal.json("keys", "rotate", "--dry-run").document == {
        "sealed_anew": 0,
        "already": 1,
        "not_opened": [],
        "restless": [],
        "dry_run": True,
        "old_keys_needed": False,
    }


def test_what_no_key_opens_is_named_with_the_way_out(
    house: House, both_keys: None, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
):
    """Exit code 4 beside others that were opened, 78 where nothing was; no key is shown."""
    lost, kept = house.add_portal(), house.add_portal()
    with redis_client(house.server.url, decode_responses=True) as client:
        record = json.loads(client.hget(PORTALS, lost.key))
        token = Fernet(Fernet.generate_key()).encrypt(b"[]").decode()
        client.hset(PORTALS, lost.key, json.dumps({**record, "secret": token}))
    said = terminal("keys", "rotate")
    assert said.code == 4
    assert "1 could not be opened" in said.out
    assert f"No key opens: {lost.key}." in said.err
    assert "B24PAY_SECRET_KEYS" in said.err
    assert sealed_with(house, NEW) == 1
    monkeypatch.setenv("B24PAY_SECRET_KEYS", Fernet.generate_key().decode())
    said = terminal.json("keys", "rotate")
    assert said.code == 78
    assert said.document["not_opened"] == [lost.key, kept.key]
    assert said.document["old_keys_needed"]
    monkeypatch.delenv("B24PAY_SECRET_KEYS")
    assert terminal("keys", "rotate").code == 78


def test_without_portals_there_is_nothing_to_do(house: House, both_keys: None, terminal: Terminal):
    """Exit code 0."""
    assert terminal.json("keys", "rotate").code == 0
