"""What each role does in a day: every door of payments, every route, every command, every trouble a worker meets."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Celery, group
from celery.result import AsyncResult

from config.connections import celery_url, redis_client
from tests.acceptance.test_held_lanes import NEW, OLD
from tests.canaries import WEBHOOK_CODE
from tests.deploy.redis_roles import PRODUCER, RoleServer, until
from tests.house import ROOT, EmulatedPortal, House, Worker

CALLED = "127.0.0.7"  # the host that is told of ends

_PRODUCER = """
import sys
from tasks import enqueue, enqueue_many, PaymentFailed
portal, callback = sys.argv[1:]
one = enqueue(portal=portal, invoice_id=1, pay_system_id=1, idempotency_key="one", callback=callback)
assert enqueue(portal=portal, invoice_id=1, pay_system_id=1, idempotency_key="one").id
many = enqueue_many({"portal": portal, "invoice_id": n, "pay_system_id": 1} for n in range(2, 12))
for each in (one, *many):
    each.result(timeout=60)
assert enqueue(portal=portal, invoice_id=1, pay_system_id=1).result(timeout=60)["duplicate"]
bad = enqueue(portal=portal, invoice_id=999, pay_system_id=1)
try:
    bad.result(timeout=60)
except PaymentFailed:
    print("done")
"""


@dataclass
class Business:
    """One house whose processes each have the user of their role."""

    house: House
    server: RoleServer
    worker: Worker
    web: str  # its address
    command: Callable[..., Any]  # a command of the operator's: (*words, text="") -> its JSON documents
    called: str  # an address that takes callbacks
    portal: EmulatedPortal
    bearer: str  # the header of an operator's token

    def pay(self, first: int, count: int = 5) -> list[str]:
        """Hand payments in by HTTP; their ids."""
        return [self.http("POST", "/v1/payments", self.fields(n))["id"] for n in range(first, first + count)]

    def http(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """One request to the web process; an error of the server's is a failure."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.web}{path}", data, method=method)
        for name, value in {"Content-Type": "application/json", "Authorization": self.bearer, **headers}.items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as refused:
            raise AssertionError((method, path, refused.read().decode())) from None
        return json.loads(text) if text.startswith(("{", "[")) else text

    def fields(self, invoice: int) -> dict[str, object]:
        """The body of one payment."""
        return {"portal": self.portal.key, "invoice_id": invoice, "pay_system_id": 1}


def produce(on: Business) -> None:
    """`tasks`, and a Celery application that has none of our code."""
    rules = {"B24PAY_CALLBACK_HOSTS": CALLED, "B24PAY_ALLOW_INSECURE_PORTALS": "1"}
    environ = {**os.environ, "REDIS_URL": on.server.url_of(PRODUCER), "PYTHONPATH": str(ROOT), **rules}
    words = [sys.executable, "-c", _PRODUCER, on.portal.key, on.called]
    on.portal.fault("refuse", place="command", invoice="999", code="ERROR_CHECK_FAILURE", text="no")
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "done\n", done.stderr
    _produce_by_celery(on)


def _produce_by_celery(on: Business) -> None:
    url = celery_url(on.server.url_of(PRODUCER))
    app = Celery("shop", broker=url, backend=url, set_as_current=False)
    app.AsyncResult = type("AsyncResult", (AsyncResult,), {"app": app, "__del__": lambda _result: None})
    fields = [{"portal": on.portal.key, "invoice_id": n, "pay_system_id": 1} for n in range(20, 26)]
    sent = [app.send_task("tasks.pay_invoice", kwargs=each, queue="payments") for each in fields[:3]]
    for each in sent:
        each.get(timeout=60)
        assert each.state == "SUCCESS"
        each.forget()
    pay = app.signature("tasks.pay_invoice", queue="payments")
    together = group(pay.clone(kwargs=each) for each in fields[3:]).apply_async()
    together.join(timeout=60)
    app.send_task("tasks.pay_invoice", kwargs=fields[0], queue="payments", priority=5).get(timeout=60)
    app.close()


def trouble(on: Business) -> None:
    """What makes a worker use its seldom steps: doubts, read-backs, held lanes, renewals, parked messages, a crash."""
    on.portal.fault("500_html", place="after_k", k=2, method="batch", count=1)
    ids = on.pay(100, 10)
    until(lambda: on.portal.counts()["paid"] >= len(ids))
    tokens = on.house.add_application(settings={"plan": "none"}, token_cache_s=0)
    tokens.ask(lambda emulator, name: emulator.expire(name))
    on.http("POST", "/v1/payments", {"portal": tokens.key, "invoice_id": 1, "pay_system_id": 1})
    until(lambda: tokens.counts()["paid"] == 1)
    _hold_and_probe(on)
    with redis_client(on.server.url_of(PRODUCER), decode_responses=True) as producer:
        producer.lpush("payments", "no message at all")
    until(lambda: on.command("parked", "list", "--json"))
    _crash(on)


def _hold_and_probe(on: Business) -> None:
    revoked = on.house.add_portal()
    revoked.change(webhooks=NEW)
    on.http("POST", "/v1/payments", {"portal": revoked.key, "invoice_id": 1, "pay_system_id": 1})
    until(revoked.held)
    revoked.change(webhooks=OLD)
    until(lambda: revoked.counts()["paid"] == 1)


def _crash(on: Business) -> None:
    """Messages that were fetched by a process that died are found by the next one."""
    on.portal.change(latency_s=0.5)
    app = Celery("shop", broker=celery_url(on.server.url_of(PRODUCER)), set_as_current=False)
    for n in range(200, 240):
        fields = {"portal": on.portal.key, "invoice_id": n, "pay_system_id": 1}
        app.send_task("tasks.pay_invoice", kwargs=fields, queue="payments")
    on.worker.kill_child()
    on.portal.change(latency_s=0.0)
    until(lambda: on.portal.tally.effects >= 40 and not _open(on.portal))
    app.close()


def outage(on: Business) -> None:
    """A server that starts anew knows no script."""
    on.server.restart()
    on.pay(300)
    until(lambda: not _open(on.portal))


def _open(portal: EmulatedPortal) -> int:
    counts = portal.counts()
    return sum(number for state, number in counts.items() if state not in ("paid", "failed", "cancelled"))


def serve(on: Business) -> None:
    """Every route, by a token."""
    [one, *_] = on.pay(400)
    until(lambda: not _open(on.portal))
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/payments", f"/v1/payments/{one}"):
        on.http("GET", path)
    for path in ("/v1/doubts", "/v1/portals", f"/v1/portals/{on.portal.key}", "/v1/callbacks"):
        on.http("GET", path)
    on.http("GET", f"/v1/payments?portal={on.portal.key}&invoice=400")
    on.http("POST", f"/v1/portals/{on.portal.key}/hold", {"reason": "a look"})
    [held] = on.pay(500, 1)
    on.http("POST", f"/v1/payments/{held}/cancel", {"because": "not wanted"})
    [failed, *_] = on.http("GET", f"/v1/payments?portal={on.portal.key}&state=failed")["payments"]
    on.http("POST", f"/v1/payments/{failed['id']}/retry", {"because": "wanted"})
    on.http("POST", f"/v1/portals/{on.portal.key}/resume", {"because": "looked"})
    until(lambda: not _open(on.portal))
    on.http("POST", "/v1/payments", on.fields(600), **{"Idempotency-Key": "again"})
    callbacks = until(lambda: on.http("GET", "/v1/callbacks?state=delivered")["callbacks"])
    on.http("POST", f"/v1/callbacks/{callbacks[0]['id']}/resend", {"because": "lost it"})


def _healthy(on: Business) -> bool:
    try:
        return bool(on.command("health", "--json")[0]["healthy"])
    except AssertionError:
        return False


def operate(on: Business) -> None:
    """Every command that works on the ledger."""
    port = on.house.emulator.partition(":")[2]
    give, key = on.command, on.portal.key
    until(lambda: _healthy(on))
    for words in (
        ("doctor",), ("stats",), ("list",), ("audit",), ("doubts",), ("portal", "list"),
        ("portal", "show", key), ("portal", "check", key), ("watch", "--count", "1"),
        ("token", "list"), ("callback", "hosts"), ("callback", "list"), ("parked", "list"),
    ):  # fmt: skip
        give(*words, "--json")
    give("parked", "show", "1", "--json")
    give("parked", "drop", "--all", "--json")
    give("callback", "secret", "shop.example.com", "--json")
    give("token", "revoke", give("token", "create", "spare", "--role", "viewer", "--json")[0]["name"], "--json")
    give("pay", "700", "--portal", key, "--pay-system", "1", "--wait", "--json")
    give("import", "-", "--portal", key, "--wait", "--json", text="invoice_id,pay_system_id\n701,1\n702,1\n")
    give("portal", "hold", key, "--because", "a look", "--json")
    [held] = on.pay(710, 1)
    give("status", held, "--json")
    give("inspect", held, "--json")
    give("cancel", held, "--json")
    give("retry", "--state", "failed", "--portal", key, "--json")
    give("portal", "resume", key, "--json")
    until(lambda: not _open(on.portal))
    give("callback", "resend", "--host", CALLED, "--since", "1h", "--json")
    webhook = f"http://127.0.99.1:{port}/rest/1/{WEBHOOK_CODE}/"
    give("portal", "add", "spare", "--no-check", "--json", text=json.dumps({"webhook": webhook}))
    give("portal", "remove", "spare", "--json")
    application = {"client_id": "local.emulator", "client_secret": "emulator-client-secret"}
    give("portal", "invite", "app", "--json", text=json.dumps(application))
    give("keys", "rotate", "--json")
