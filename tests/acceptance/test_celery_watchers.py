"""What people with Celery's own tools see: Flower's API, an event receiver, `celery inspect` and `celery control`."""

import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import pools

from cli.guarded import KILL_GROUP, Guarded
from tests.canaries import REDIS_PASSWORD
from tests.eventually import eventually_sync
from tests.house import ROOT, EmulatedPortal, House

WITHIN_S = 60
WORKER = "worker-0@house"
ENDED = {"SUCCESS", "FAILURE"}


class Flower:
    """The real Flower beside the house's server, read through its API."""

    def __init__(self, house: House) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self._port = taken.getsockname()[1]
        command = [str(Path(sys.executable).parent / "celery"), "-A", "worker", "flower"]
        options = ["--address=127.0.0.1", f"--port={self._port}"]
        with (house.directory / "flower.log").open("wb") as out:
            environ = {**house.environment, "FLOWER_UNAUTHENTICATED_API": "true"}
            self._guarded = Guarded([*command, *options], KILL_GROUP, environ=environ, cwd=ROOT, out=out)

    def ask(self, path: str) -> Any:
        """What the API answers; None while it does not."""
        with suppress(urllib.error.URLError), urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}") as reply:
            return json.load(reply)
        return None

    def task(self, task_id: str) -> dict[str, Any]:
        """One task as Flower lists it, {} while it does not."""
        found = (self.ask("/api/tasks?limit=1000") or {}).get(task_id, {})
        return dict(found)

    def close(self) -> None:
        """End it."""
        self._guarded.process.terminate()
        self._guarded.process.wait(10)
        self._guarded.dismiss()


@pytest.fixture(scope="module")
def flower(house: House) -> Iterator[Flower]:
    """A Flower that has begun to watch: it asks for events itself, as it does by default."""
    flower = Flower(house)
    try:
        # The first events of this worker are those that it sends when Flower has asked for them.
        eventually_sync(lambda: (flower.ask("/api/workers?status=1") or {}).get(WORKER), within_s=20)
        eventually_sync(lambda: tasks_are_told(house), within_s=20)
        yield flower
    finally:
        flower.close()


def tasks_are_told(house: House) -> bool:
    """Whether the worker has been asked for events of tasks: it says so when asked again."""
    return "already enabled" in str(answer(house.celery(), "enable_events"))


@contextmanager
def a_receiver(celery: Celery) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Celery's own receiver in a thread: events of tasks by the handle they are about."""
    seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
    ready = threading.Event()

    def note(event: dict[str, Any]) -> None:
        ready.set()  # a beat of the worker at the latest
        if event["type"].startswith("task-"):
            seen[event["uuid"]].append(event)

    with celery.connection_for_read() as connection:
        receiver = celery.events.Receiver(connection, handlers={"*": note})
        thread = threading.Thread(target=receiver.capture, daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield seen
        finally:
            receiver.should_stop = True
            thread.join(5)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """The types of events in the order of their clock."""
    return [event["type"] for event in events]


def send(celery: Celery, portal: EmulatedPortal, invoice_id: int, **fields: object) -> str:
    """Send one payment's message; its id."""
    kwargs = {"portal": portal.key, "invoice_id": invoice_id, "pay_system_id": 1, **fields}
    return str(celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments").id)


def celery_says(house: House, *words: str) -> str:
    """What a command of Celery's says."""
    command = [str(Path(sys.executable).parent / "celery"), "-A", "worker", *words, "--timeout", "1"]
    done = subprocess.run(command, env=house.environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def answer(celery: Celery, command: str, **arguments: Any) -> Any:
    """What the house's first worker answers to a command by remote control."""
    [reply] = celery.control.broadcast(
        command, destination=[WORKER], arguments=arguments, reply=True, limit=1, timeout=5
    )
    return reply[WORKER]


def test_nothing_is_sent_until_somebody_asks_and_after_nobody_does(house: House, celery: Celery) -> None:
    """`enable_events` begins it, as Flower does by itself; `disable_events` ends it."""
    portal = house.add_portal()
    with a_receiver(celery) as seen:
        before = send(celery, portal, 2)
        celery.AsyncResult(before).get(timeout=WITHIN_S)
        answer(celery, "enable_events")
        watched = send(celery, portal, 3)
        eventually_sync(lambda: kinds(seen[watched])[-1:] == ["task-succeeded"])
        answer(celery, "disable_events")
        after = send(celery, portal, 4)
        celery.AsyncResult(after).get(timeout=WITHIN_S)
        answer(celery, "enable_events")
        last = send(celery, portal, 5)
        eventually_sync(lambda: kinds(seen[last])[-1:] == ["task-succeeded"])
    assert set(seen) == {watched, last}


def test_what_a_worker_says_of_itself_has_no_secret(celery: Celery) -> None:
    """Celery shows the broker's URL in its statistics; ours are shown without the password."""
    assert answer(celery, "stats")["broker"]["transport"] == "redis"
    for question in ("stats", "conf", "report"):
        assert REDIS_PASSWORD not in json.dumps(answer(celery, question))


def test_flower_shows_the_state_and_the_run_time_of_payments(flower: Flower, house: House, celery: Celery) -> None:
    """Paid is SUCCESS with the call's run time, refused is FAILURE with the portal's code, under the task's id."""
    portal = house.add_portal(latency_s=0.3)
    paid, refused = send(celery, portal, 2), send(celery, portal, 3, pay_system_id=99)
    eventually_sync(lambda: {flower.task(each).get("state") for each in (paid, refused)} == ENDED)
    shown, failed = flower.task(paid), flower.task(refused)
    assert (shown["state"], shown["name"], shown["worker"]) == ("SUCCESS", "tasks.pay_invoice", WORKER)
    assert shown["runtime"] >= 0.3
    assert shown["received"] <= shown["started"] <= shown["succeeded"]
    assert shown["kwargs"] == str({"portal": portal.key, "invoice_id": 2, "pay_system_id": 1})
    assert "'status': 'paid'" in shown["result"]
    assert (failed["state"], "ERROR_CHECK_FAILURE" in failed["exception"]) == ("FAILURE", True)


def test_flower_shows_a_payment_under_way_as_started(flower: Flower, house: House, celery: Celery) -> None:
    """Between its departure and its end a payment is STARTED; while its lane is held it is RECEIVED."""
    portal = house.add_portal(latency_s=1.5)
    portal.hold()
    waiting = send(celery, portal, 2)
    eventually_sync(lambda: flower.task(waiting).get("state") == "RECEIVED")
    portal.resume()
    eventually_sync(lambda: flower.task(waiting).get("state") == "STARTED")
    eventually_sync(lambda: flower.task(waiting).get("state") == "SUCCESS")


def test_flower_lists_the_worker_as_alive_with_its_payments(flower: Flower, house: House, celery: Celery) -> None:
    """The worker beats, has its queue, and counts payments that it has sent."""
    portal = house.add_portal()
    ids = [send(celery, portal, invoice_id) for invoice_id in range(1, 6)]
    eventually_sync(lambda: {flower.task(each).get("state") for each in ids} == {"SUCCESS"})
    assert flower.ask("/api/workers?status=1") == {WORKER: True}

    def has_counted() -> bool:
        worker = flower.ask("/api/workers?refresh=1")[WORKER]
        assert [queue["name"] for queue in worker["active_queues"]] == ["payments"]
        return bool(worker["stats"]["total"]["tasks.pay_invoice"] >= 5)

    eventually_sync(has_counted)


def test_each_who_joined_has_events_of_its_own(flower: Flower, house: House, celery: Celery) -> None:
    """Two requests for one invoice are one payment and two tasks, both seen through to the end."""
    portal = house.add_portal()
    portal.hold()
    with a_receiver(celery) as seen:
        first, second = send(celery, portal, 2), send(celery, portal, 2)
        eventually_sync(lambda: all(kinds(seen[each]) == ["task-received"] for each in (first, second)))
        portal.resume()
        whole = ["task-received", "task-started", "task-succeeded"]
        eventually_sync(lambda: all(kinds(seen[each]) == whole for each in (first, second)))
        late = send(celery, portal, 2)  # paid already: it is answered from the ledger
        eventually_sync(lambda: kinds(seen[late])[-1:] == ["task-succeeded"])
    assert portal.tally.pays == 1


def test_requests_that_came_by_the_ledger_are_shown_as_sent_and_received(
    flower: Flower, house: House, celery: Celery
) -> None:
    """No message tells of what `tasks.enqueue`, the command or HTTP wrote down: the worker does, with its moment."""
    portal = house.add_portal()
    script = f"import tasks; print(tasks.enqueue(portal={portal.key!r}, invoice_id=2, pay_system_id=1).id)"
    with a_receiver(celery) as seen:
        done = subprocess.run(
            [sys.executable, "-c", script], env=house.environment, cwd=ROOT, capture_output=True, check=True
        )
        handle = done.stdout.decode().strip()
        whole = ["task-received", "task-sent", "task-started", "task-succeeded"]
        eventually_sync(lambda: sorted(kinds(seen[handle])) == whole)


def test_what_is_refused_or_in_a_bulk_message_ends_as_well(flower: Flower, house: House, celery: Celery) -> None:
    """A refused request, and the items of a bulk message beside the message itself, each come to their own end."""
    portal = house.add_portal()
    items = [{"invoice_id": 5, "pay_system_id": 1, "task_id": f"{portal.key}-bulk"}]
    with a_receiver(celery) as seen:
        wrong = send(celery, portal, 0)
        eventually_sync(lambda: kinds(seen[wrong]) == ["task-received", "task-failed"])
        assert "InvalidPayment" in seen[wrong][-1]["exception"]
        bulk = celery.send_task(
            "tasks.pay_invoices", kwargs={"portal": portal.key, "payments": items}, queue="payments"
        )
        whole = ["task-received", "task-started", "task-succeeded"]
        eventually_sync(lambda: kinds(seen[items[0]["task_id"]]) == whole)
        eventually_sync(lambda: kinds(seen[bulk.id]) == whole)  # the message is a task of its own


def test_inspect_tells_of_payments_in_flight(house: House, celery: Celery) -> None:
    """`ping` answers, `status` lists the worker, `active` names the payment whose call is under way, then no more."""
    portal = house.add_portal(latency_s=2.0)
    assert answer(celery, "ping") == {"ok": "pong"}
    assert f"{WORKER}: OK" in celery_says(house, "status")
    handle = send(celery, portal, 2)

    def is_active() -> bool:
        return [row["id"] for row in answer(celery, "active") if row["kwargs"]["portal"] == portal.key] == [handle]

    eventually_sync(is_active)
    celery.AsyncResult(handle).get(timeout=WITHIN_S)
    eventually_sync(lambda: not is_active())


def test_shutdown_by_remote_control_stops_a_worker_and_its_supervisor(house: House, celery: Celery) -> None:
    """Who stops a worker does not want another one in its place; others go on."""
    worker = house.start_worker()

    def has_ended() -> bool:
        celery.control.shutdown(destination=["worker-1@house"])  # a broadcast, heard by who listens at the moment
        return worker.process.poll() is not None

    eventually_sync(has_ended, within_s=60)
    assert worker.process.poll() == 0
    assert [event["event"] for event in worker.events()].count("worker.started") == 1
    portal = house.add_portal()
    assert celery.AsyncResult(send(celery, portal, 2)).get(timeout=WITHIN_S)["status"] == "paid"


def test_events_come_back_after_an_outage_of_the_broker(house: House, celery: Celery) -> None:
    """Nobody has to ask again; what happened while it was away may be lost, and no payment is."""
    answer(celery, "enable_events")
    portal = house.add_portal()
    house.server.kill()
    house.server.start()
    pools.reset()  # kombu's are shared by all applications with the same address
    afterwards = house.celery()
    eventually_sync(lambda: afterwards.control.ping(destination=[WORKER], timeout=1, limit=1))
    with a_receiver(afterwards) as seen:
        watched = send(afterwards, portal, 2)
        eventually_sync(lambda: kinds(seen[watched])[:1] == ["task-received"])
    assert house.workers[0].never_died()
