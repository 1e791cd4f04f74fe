"""Callbacks of whole workers: whoever asks by whichever door is told, and no payment waits for a receiver."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from celery import Celery

from bitrix24.secret import Secret
from callbacks.signing import SigningSecrets
from config.connections import async_redis_client
from ledger.payment import Destination, PortalKey
from ledger.redis import RedisLedger
from ledger.redis.scripts import PREFIX, load_scripts, read_scripts
from tests.canaries import SECRET_KEY, SIGNING_SECRET
from tests.conformance.ledger.world import an_ask
from tests.eventually import eventually_sync
from tests.house import ROOT, EmulatedPortal, House, a_house, wait_for
from tests.integration.callbacks.receiver import Receiver, Reply, receiving
from tests.integration.web.conftest import Street

FORMER = ROOT / "tests" / "integration" / "ledger" / "before_callbacks"  # the steps of that version
HOSTS = ("127.0.0.7", "127.0.0.8")
PAYMENTS = 200


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Server, emulator and one worker that may tell these hosts."""
    with a_house(B24PAY_CALLBACK_HOSTS=",".join(HOSTS)) as house:
        wait_for(_make_secrets(house.server.url))
        house.start_worker()
        yield house


async def _make_secrets(url: str) -> None:
    async with async_redis_client(url, max_connections=2, decode_responses=False) as client:
        for host in HOSTS:
            await SigningSecrets(client, [SECRET_KEY]).put(host, Secret(SIGNING_SECRET))


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    """One of each host."""
    with ExitStack() as stack:
        yield [stack.enter_context(receiving(host)) for host in HOSTS]


def send(celery: Celery, portal: EmulatedPortal, invoice: int, **more: Any) -> str:
    """A stock message; its task id."""
    fields = {"portal": portal.key, "invoice_id": invoice, "pay_system_id": 1, **more}
    return str(celery.send_task("tasks.pay_invoice", kwargs=fields, queue="payments").id)


def command(house: House, *words: str) -> "subprocess.CompletedProcess[str]":
    """A `b24pay` command as a process."""
    run = [sys.executable, "-c", "from cli.main import main; main()", *words]
    environ = {**house.environment, "PYTHONPATH": str(ROOT)}
    return subprocess.run(run, env=environ, text=True, capture_output=True, timeout=60, check=False)


def test_every_door_takes_a_callback(house: House, celery: Celery, receivers: list[Receiver]):
    """A stock message, a bulk message, a command, and `enqueue`; who joins with another address is told as well."""
    portal, (shop, other) = house.add_portal(), receivers
    stock = send(celery, portal, 1, callback=shop.url)
    items = [{"invoice_id": 2, "pay_system_id": 1, "callback": shop.url, "task_id": "bulk-2"}]
    celery.send_task("tasks.pay_invoices", kwargs={"portal": portal.key, "payments": items}, queue="payments")
    by_hand = ("pay", "3", "--portal", portal.key, "--pay-system", "1", "--callback", other.url, "--wait", "--json")
    assert command(house, *by_hand).returncode == 0
    program = (
        "from tasks import enqueue; import sys; "
        "enqueue(portal=sys.argv[1], invoice_id=4, pay_system_id=1, callback=sys.argv[2])"
    )
    environ = {**house.environment, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, portal.key, other.url], env=environ, cwd=ROOT, check=True)
    eventually_sync(lambda: len(shop.letters) == 2 and len(other.letters) == 2)
    told = [letter.read()["data"] for letter in (*shop.letters, *other.letters)]
    assert {each["invoice_id"] for each in told} == {1, 2, 3, 4}
    assert {each["status"] for each in told} == {"paid"}
    assert {stock, "bulk-2"} <= {each["handle"] for each in told}


def test_who_hands_payments_in_by_http_is_told(house: House, receivers: list[Receiver]):
    """One payment, and one of an array; an address that is not allowed is refused with what to do."""
    portal, (shop, other), street = house.add_portal(), receivers, Street(house, [])
    try:
        web = street.start("web-of-callbacks", B24PAY_CALLBACK_HOSTS=",".join(HOSTS))
        asked = [
            {"portal": portal.key, "invoice_id": invoice, "pay_system_id": 1, "callback": to.url}
            for invoice, to in ((1, shop), (2, other))
        ]
        one = web.ask("POST", "/v1/payments", json=asked[0])
        assert one.status == 202
        assert web.ask("POST", "/v1/payments", json=asked[1:]).status == 202
        eventually_sync(lambda: bool(shop.letters and other.letters))
        assert shop.letters[0].read()["data"]["id"] == one.body["id"]
        assert other.letters[0].read()["type"] == "payment.paid"
        elsewhere = web.ask("POST", "/v1/payments", json={**asked[0], "callback": "http://127.0.0.9/"})
        assert elsewhere.status == 422
        [wrong] = elsewhere.body["errors"]
        assert (wrong["pointer"], wrong["rule"]) == ("/callback", "callback")
        assert "B24PAY_CALLBACK_HOSTS" in wrong["detail"]
    finally:
        street.close()


def test_a_callback_that_is_not_allowed_refuses_the_payment(house: House, celery: Celery):
    """Nothing is accepted half; the producer reads why."""
    portal = house.add_portal()
    task = send(celery, portal, 1, callback="http://127.0.0.9/told?token=of-the-receiver")
    with pytest.raises(Exception, match="B24PAY_CALLBACK_HOSTS"):
        celery.AsyncResult(task).get(timeout=30)
    assert portal.tally.effects == 0


def test_no_payment_waits_for_a_receiver_that_hangs(house: House, celery: Celery, receivers: list[Receiver]):
    """All are paid, and their results are there, while the receiver has not answered once."""
    portal, (shop, _) = house.add_portal(), receivers
    shop.usual = Reply(held=True)
    items = [{"invoice_id": n, "pay_system_id": 1, "callback": shop.url} for n in range(1, PAYMENTS + 1)]
    celery.send_task("tasks.pay_invoices", kwargs={"portal": portal.key, "payments": items}, queue="payments")
    eventually_sync(lambda: portal.counts()["paid"] == PAYMENTS)
    assert portal.tally.paid == PAYMENTS
    eventually_sync(lambda: shop.at_once == len(shop.letters) > 0)
    listed = command(house, "callback", "list", "--host", shop.host, "--limit", "500", "--json")
    assert len([json.loads(line) for line in listed.stdout.splitlines()]) == PAYMENTS


def test_the_worker_says_what_became_of_callbacks(house: House, celery: Celery, receivers: list[Receiver]):
    """By name, host and reason; the address is in no line, for its query may be a secret."""
    portal, (_, other) = house.add_portal(), receivers
    other.script.append(Reply(410))
    send(celery, portal, 1, callback=f"{other.url}?token=canary-of-a-receiver")
    eventually_sync(lambda: [each for each in _events(house, "callback.given_up") if each["portal"] == portal.key])
    [line] = [each for each in _events(house, "callback.given_up") if each["portal"] == portal.key]
    assert (line["host"], line["type"], line["remark"][:3]) == (other.host, "payment.paid", "410")
    assert not any("canary-of-a-receiver" in text for worker in house.workers for text in worker.lines())


def test_a_worker_finds_what_an_older_version_has_ended(house: House, receivers: list[Receiver]):
    """A command of the version before withdraws the payment; a sweep of the worker has its callback sent."""
    portal, (shop, _) = house.add_portal(), receivers
    portal.hold()

    async def withdrawn() -> None:
        async with async_redis_client(house.server.url, max_connections=2, decode_responses=False) as client:
            parts = {"lease_s": 75, "retention_s": 3600, "max_attempts": 5, "quiet_s": 135}
            to = Destination(shop.host, shop.url)
            await RedisLedger(client, **parts).open([an_ask("untold", portal=PortalKey(portal.key), callback=to)])  # type: ignore[arg-type]
            former = RedisLedger(client, **parts, scripts={**load_scripts(), **read_scripts(FORMER)})  # type: ignore[arg-type]
            await former.cancel("untold")
            await client.zadd(PREFIX + "cb-wanted", {"untold": 0})  # its turn comes in seconds else

    wait_for(withdrawn())
    eventually_sync(lambda: [letter.read()["data"]["id"] for letter in shop.letters] == ["untold"])
    assert shop.letters[0].read()["type"] == "payment.cancelled"
    assert [event["payments"] for event in _events(house, "callbacks.found")] == [1]


def _events(house: House, name: str) -> list[dict[str, Any]]:
    return [event for worker in house.workers for event in worker.events() if event["event"] == name]
