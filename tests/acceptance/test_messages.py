"""Messages of whatever kind: none ends the worker, none delays the others, and an operator sees what cannot be used."""

import base64
import io
import json
import random
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError

from cli.main import run
from config.connections import redis_client
from tests.acceptance.test_attacks import GOOD_HEADERS
from tests.acceptance.test_celery_door import failure, send
from tests.eventually import eventually_sync
from tests.house import House
from worker.parked import MOST

WITHIN_S = 60
CANARY = "c4nary0code"  # stands where a webhook's secret stands
SEED, ENTRIES = 3, 400


def put(house: House, *entries: bytes | str) -> None:
    """Put anything into the broker's list."""
    with redis_client(house.server.url, decode_responses=False) as client:
        client.lpush("payments", *entries)


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str


def parked(house: House, *arguments: str) -> Said:
    """`b24pay parked` as an operator gives it."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        for name, value in house.environment.items():
            patch.setenv(name, value)
        code = run(["parked", *arguments])
    return Said(code, out.getvalue())


def parked_rows(house: House) -> list[dict[str, Any]]:
    """What it lists."""
    return [json.loads(line) for line in parked(house, "list", "--json").out.splitlines()]


def envelope(headers: object = None, body: object = None, **changes: object) -> dict[str, object]:
    """A whole message; `changes` are of its outer fields."""
    kwargs = {"portal": f"https://x.bitrix24.com/rest/1/{CANARY}/", "invoice_id": 1, "pay_system_id": 1}
    text = json.dumps([[], kwargs, {}] if body is None else body)
    return {
        "body": base64.b64encode(text.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {**GOOD_HEADERS, "id": str(uuid.uuid4())} if headers is None else headers,
        "properties": {"body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "payments"}},
        **changes,
    }


# Of every kind of JSON, and what kombu, Celery or a terminal might stumble over.
ODD: tuple[object, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        10**400,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\0",
        "\x1b[31m",
        "\ud800",
        "ü" * 300,
    ),
    *([], {}, [1], ["x"], {"a": 1}, [[]], [None, None], [1, 2, 3], {"__type__": "uuid", "__value__": 1}, "9" * 5000),
)
HEADERS = (
    *("task", "id", "root_id", "parent_id", "group", "lang", "eta", "expires", "retries", "timelimit", "origin"),
    *("argsrepr", "kwargsrepr", "shadow", "ignore_result", "stamps", "stamped_headers", "compression", "meth"),
)
PROPERTIES = (
    "delivery_tag",
    "delivery_info",
    "body_encoding",
    "priority",
    "reply_to",
    "correlation_id",
    "delivery_mode",
)
OUTER = ("body", "headers", "properties", "content-type", "content-encoding")


def odd_header(luck: random.Random) -> bytes:
    message = envelope({**GOOD_HEADERS, "id": str(uuid.uuid4()), luck.choice(HEADERS): luck.choice(ODD)})
    return json.dumps(message).encode()


def odd_property(luck: random.Random) -> bytes:
    properties = {"body_encoding": "base64", luck.choice(PROPERTIES): luck.choice(ODD)}
    return json.dumps(envelope(properties=properties)).encode()


def odd_part(luck: random.Random) -> bytes:
    return json.dumps(envelope(**{luck.choice(OUTER): luck.choice(ODD)})).encode()


def odd_body(luck: random.Random) -> bytes:
    body = luck.choice([luck.choice(ODD), [luck.choice(ODD) for _ in range(3)], [[], {}, luck.choice(ODD)]])
    task = luck.choice(["tasks.pay_invoice", "tasks.pay_invoices", "celery.map", "celery.chord_unlock"])
    return json.dumps(envelope({**GOOD_HEADERS, "task": task, "id": str(uuid.uuid4())}, body)).encode()


def odd_field(luck: random.Random) -> bytes:
    task = luck.choice(["tasks.pay_invoice", "tasks.pay_invoices"])
    names = ["portal", "invoice_id", "pay_system_id", "idempotency_key", "payments", "x"]
    kwargs = {"portal": "portal-1", "invoice_id": 1, "pay_system_id": 1, luck.choice(names): luck.choice(ODD)}
    return json.dumps(envelope({**GOOD_HEADERS, "task": task, "id": str(uuid.uuid4())}, [[], kwargs, {}])).encode()


def flipped(luck: random.Random) -> bytes:
    raw = bytearray(json.dumps(envelope()).encode())
    for _ in range(luck.randint(1, 4)):
        raw[luck.randrange(len(raw))] = luck.randrange(256)
    return bytes(raw)


def cut(luck: random.Random) -> bytes:
    raw = json.dumps(envelope()).encode()
    return raw[: luck.randrange(len(raw))] + b" "


def noise(luck: random.Random) -> bytes:
    return luck.randbytes(luck.randint(1, 200))


def plain_json(luck: random.Random) -> bytes:
    return json.dumps(luck.choice(ODD)).encode()


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    *(odd_header, odd_header, odd_property, odd_part, odd_body, odd_field),
    *(flipped, cut, noise, plain_json),
)
# Each once, whatever the dice say.
HEAVY: Mapping[str, bytes] = {
    "100,000 brackets": b"[" * 100_000,
    "100,000 closed brackets": b"[" * 100_000 + b"]" * 100_000,
    "5 MB": json.dumps(envelope(body=[[], {"portal": "x" * 5_000_000}, {}])).encode(),
    "a bomb": json.dumps(
        envelope(
            {**GOOD_HEADERS, "id": "bomb", "compression": "application/x-gzip"},
            body=None,
        )
        | {"body": base64.b64encode(zlib.compress(b"[" * 500_000_000, 9)).decode()}
    ).encode(),
    "an unpickling": json.dumps(
        envelope() | {"content-type": "application/x-python-serialize", "body": base64.b64encode(b"\x80\x04.").decode()}
    ).encode(),
}


def test_no_entry_of_the_list_ends_the_worker(house: House, celery: Celery) -> None:
    """Hundreds of hostile entries between good payments: all are paid in the worker's first life, the rest is seen."""
    portal = house.add_portal()
    luck = random.Random(SEED)
    results = []
    for number in range(ENTRIES):
        put(house, luck.choice(KINDS)(luck))
        if number % 20 == 0:
            results.append(send(celery, portal.key, number + 1))
    put(house, *HEAVY.values())
    results.append(send(celery, portal.key, ENTRIES + 1))
    for result in results:
        assert result.get(timeout=WITHIN_S)["status"] == "paid"
    assert (portal.tally.paid, portal.tally.doubles) == (len(results), 0)
    [worker] = house.workers
    assert worker.never_died()
    with redis_client(house.server.url, decode_responses=False) as client:
        eventually_sync(lambda: client.exists("payments", "payments.unacked", "payments.unacked_index") == 0)
    rows = parked_rows(house)
    assert len(rows) == MOST
    # Refusals of whole messages (wrong fields) are answered and not parked; all the others were.
    events = [event["event"] for event in worker.events()]
    assert events.count("message.parked") > ENTRIES // 2
    assert CANARY not in worker.log.read_text()
    assert CANARY not in parked(house).out
    assert all(CANARY not in parked(house, "show", str(row["number"])).out for row in rows[:20])


def test_parked_messages_are_listed_shown_and_dropped(house: House) -> None:
    """An operator sees why and what, newest first, and only the named ones go."""
    parked(house, "drop", "--all")
    put(house, b"first rubbish", json.dumps(envelope({**GOOD_HEADERS, "id": "seen", "task": ["x"]})))
    rows = eventually_sync(lambda: rows if len(rows := parked_rows(house)) == 2 else None)
    assert [row["reason"] for row in rows] == ["its header 'task' is not a text", "it is not JSON (JSONDecodeError)"]
    assert (rows[0]["task_id"], rows[1]["size"]) == ("seen", len(b"first rubbish"))
    shown = parked(house, "show", str(rows[0]["number"])).out
    assert "https://x.bitrix24.com/rest/1/***" in shown
    assert CANARY not in shown
    assert "first rubbish" in parked(house, "show", str(rows[1]["number"]), "--json").out
    assert parked(house, "drop", "--all", "--dry-run").code == 0
    assert len(parked_rows(house)) == 2
    assert parked(house, "drop", str(rows[1]["number"]), "999999").code == 4
    assert [row["number"] for row in parked_rows(house)] == [rows[0]["number"]]
    assert parked(house, "show", "999999").code == 1
    assert parked(house, "drop").code == 2


@pytest.mark.parametrize(
    ("headers", "body", "told"),
    [
        ({"task": "tasks.nothing"}, None, "its task is none of tasks.pay_invoice, tasks.pay_invoices"),
        ({"task": "celery.map"}, None, "its task is none of"),
        ({"timelimit": ["x", 1]}, None, "its header 'timelimit' is not two numbers"),
        ({}, [[], {}], "its body is not [args, kwargs, embed]"),
    ],
)
def test_a_producer_with_a_readable_id_is_told(
    house: House, celery: Celery, headers: dict[str, object], body: object, told: str
) -> None:
    """Parked, and answered with InvalidPayment, as far as there is an id to answer under."""
    handle = str(uuid.uuid4())
    put(house, json.dumps(envelope({**GOOD_HEADERS, "id": handle, **headers}, body)))
    name, [text] = failure(celery.AsyncResult(handle))
    assert name == "InvalidPayment"
    assert told in text


@pytest.mark.parametrize(("name", "spoken"), [("link", "link"), ("link_error", "link_error")])
def test_links_are_refused_with_the_way_out(house: House, celery: Celery, name: str, spoken: str) -> None:
    """They would start when the payment is written down, long before it is paid; they were dropped silently once."""
    portal = house.add_portal()
    kwargs = {"portal": portal.key, "invoice_id": 2, "pay_system_id": 1}
    link = {name: celery.signature("somebody.next")}
    kind, [text] = failure(celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments", **link))
    assert kind == "InvalidPayment"
    assert f"asks for {spoken}" in text
    assert "AsyncResult(id).get()" in text
    assert portal.counters.requests == 0


def test_a_chain_is_refused(house: House, celery: Celery) -> None:
    """The same for what a chain puts after a payment."""
    portal = house.add_portal()
    first = celery.signature(
        "tasks.pay_invoice", kwargs={"portal": portal.key, "invoice_id": 2, "pay_system_id": 1}, queue="payments"
    )
    last = (first | celery.signature("somebody.next", queue="elsewhere")).apply_async()
    kind, [text] = failure(last.parent)
    assert (kind, "asks for chain" in text) == ("InvalidPayment", True)


def handled(house: House, handle: str, times: int) -> bool:
    """Whether so many messages under an id were refused or parked."""
    events = house.workers[0].events()
    names = ("request.refused", "message.parked")
    return sum(each["event"] in names and each.get("task_id") == handle for each in events) == times


def test_nothing_overwrites_what_a_payments_producer_reads(house: House, celery: Celery) -> None:
    """Copies under its id that are expired, revoked, unknown or a bulk message leave its result alone."""
    portal = house.add_portal(webhooks={"1/another": {}})
    result = send(celery, portal.key, 2)
    eventually_sync(lambda: portal.held() == "INVALID_CREDENTIALS")
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    own = {**GOOD_HEADERS, "id": result.id}
    put(house, json.dumps(envelope({**own, "expires": past})))
    put(house, json.dumps(envelope({**own, "task": "tasks.nothing"})))
    put(house, json.dumps(envelope({**own, "task": "tasks.pay_invoices", "expires": past})))
    put(
        house,
        json.dumps(envelope({**own, "task": "tasks.pay_invoices"}, [[], {"portal": portal.key, "payments": []}, {}])),
    )
    eventually_sync(lambda: handled(house, result.id, 3))
    celery.control.revoke(result.id)
    eventually_sync(lambda: "flagged as revoked" in house.workers[0].log.read_text())
    put(house, json.dumps(envelope(own)))
    eventually_sync(lambda: handled(house, result.id, 4))
    assert celery.AsyncResult(result.id).state in ("PENDING", "STARTED")
    portal.change(webhooks={"1/emulator-secret": {}})
    portal.resume()
    assert result.get(timeout=WITHIN_S)["status"] == "paid"


def test_an_expired_message_pays_nothing_and_says_so(house: House, celery: Celery) -> None:
    """Its producer reads REVOKED, as of any Celery task."""
    portal = house.add_portal()
    kwargs = {"portal": portal.key, "invoice_id": 2, "pay_system_id": 1}
    past = datetime.now(UTC) - timedelta(seconds=5)
    result = celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments", expires=past)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WITHIN_S)
    assert (result.state, portal.counters.requests) == ("REVOKED", 0)


def test_a_message_with_an_eta_is_paid_at_its_time(house: House, celery: Celery) -> None:
    """Not before, and others do not wait for it; one that has expired by then is not paid."""
    portal = house.add_portal()
    began = time.monotonic()
    kwargs = {"portal": portal.key, "pay_system_id": 1}
    late = celery.send_task("tasks.pay_invoice", kwargs={**kwargs, "invoice_id": 2}, queue="payments", countdown=2)
    stale = celery.send_task(
        "tasks.pay_invoice", kwargs={**kwargs, "invoice_id": 3}, queue="payments", countdown=2, expires=1
    )
    assert send(celery, portal.key, 4).get(timeout=WITHIN_S)["status"] == "paid"
    assert late.get(timeout=WITHIN_S)["status"] == "paid"
    assert time.monotonic() - began >= 2
    with pytest.raises(TaskRevokedError):
        stale.get(timeout=WITHIN_S)
    assert portal.tally.paid == 2


def test_a_compressed_message_is_read(house: House, celery: Celery) -> None:
    """Celery's own compression is fine; its limit is met by the bomb above."""
    portal = house.add_portal()
    kwargs = {"portal": portal.key, "invoice_id": 2, "pay_system_id": 1}
    result = celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments", compression="gzip")
    assert result.get(timeout=WITHIN_S)["status"] == "paid"


def test_messages_of_every_priority_are_read(house: House, celery: Celery) -> None:
    """Kombu keeps them in lists of their own."""
    portal = house.add_portal()
    kwargs = {"portal": portal.key, "pay_system_id": 1}
    results = [
        celery.send_task("tasks.pay_invoice", kwargs={**kwargs, "invoice_id": n + 1}, queue="payments", priority=n)
        for n in range(10)
    ]
    assert [result.get(timeout=WITHIN_S)["status"] for result in results] == ["paid"] * 10


@pytest.fixture(scope="module", autouse=True)
def _worker_lives(house: House) -> Iterator[None]:
    yield
    assert house.workers[0].never_died()
