"""`POST /v1/payments` with one payment, and an array of them."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from ledger.payment import Evidence, Refusal
from ledger.verdict import Failed, Paid
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House
from tests.integration.web.api_house import PAYMENTS, a_payment, drive, ids, listed, pay
from tests.integration.web.conftest import Web, refused

PAID = Paid(Evidence.READ_BACK)


def test_a_payment_that_is_answered_with_202_is_in_the_ledger(web: Web, portal: EmulatedPortal):
    """The answer names it and where it is read; digits are a number."""
    answer = pay(web, portal, "0042")
    assert answer.status == 202, answer.body
    assert answer.headers["Location"] == answer.body["url"] == f"{PAYMENTS}/{answer.body['id']}"
    assert "Idempotency-Replayed" not in answer.headers
    [row] = portal.ledger(lambda ledger: ledger.find([answer.body["id"]]))
    assert (row.portal, row.invoice_id, row.pay_system_id, row.state) == (portal.key, 42, 31, "queued")
    shown = web.ask("GET", answer.headers["Location"])
    assert (shown.status, shown.body["status"], shown.body["invoice_id"]) == (200, "queued", 42)


def test_a_payment_by_http_is_paid_at_its_portal(house: House, web: Web, portal: EmulatedPortal):
    """From the request to the proof, with a worker as the Procfile starts it."""
    worker = house.start_worker()
    url = pay(web, portal, 2, pay_system_id=1).headers["Location"]
    shown = eventually_sync(lambda: (done := web.ask("GET", url).body)["status"] == "paid" and done)
    assert (shown["evidence"], shown["duplicate"], shown["attempts"]) == ("read_back", False, 1)
    assert [(step["state"], step["cause"]) for step in shown["transitions"]] == [
        ("queued", "accepted"),
        ("sending", "claimed"),
        ("paid", "proven"),
    ]
    assert (portal.tally.paid, portal.tally.effects) == (1, 1)
    worker.kill()  # the other tests settle by themselves
    again = pay(web, portal, 2, pay_system_id=1)
    assert (again.status, again.body["duplicate"], again.body["status"]) == (200, True, "paid")
    assert web.ask("GET", again.headers["Location"]).body == again.body


def test_the_same_key_and_body_give_the_same_answer(web: Web, portal: EmulatedPortal):
    """Also when the payment has moved on since, and in whatever place the key stands."""
    first = pay(web, portal, 1, key="once")
    again = [
        pay(web, portal, 1, key="once"),
        pay(web, portal, 1, key='"once"'),  # as the IETF draft writes it
        pay(web, portal, "1", idempotency_key="once"),
        pay(web, portal, 1, key="once", idempotency_key="once"),
    ]
    drive(portal, Failed(Refusal("CODE", "refused")))
    again.append(pay(web, portal, 1, key="once"))
    for each in again:
        assert (each.status, each.body) == (202, first.body)
        assert each.headers["Location"] == first.headers["Location"]
        assert each.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert pay(web, portal, 1).body["id"] != first.body["id"]  # without a key it is a new payment


def test_the_same_key_with_another_body_is_refused(web: Web, portal: EmulatedPortal):
    """422, naming the payment; so is a header that differs from the field."""
    first = pay(web, portal, 1, key="key-of-one")
    for changes in ({"invoice": 2}, {"pay_system_id": 32}, {"bx_rest_handler": "other"}):
        answer = pay(web, portal, **{"invoice": 1, "key": "key-of-one", **changes})
        refused(answer, 422, "key-used")
        assert answer.body["payment_id"] == first.body["id"]
    differs = pay(web, portal, 1, key="key-of-one", idempotency_key="other")
    refused(differs, 422, "invalid")
    assert [each["pointer"] for each in differs.body["errors"]] == ["/idempotency_key"]
    assert len(listed(web, f"portal={portal.key}")) == 1


def test_a_thousand_posts_with_one_key_at_once_are_one_payment(web: Web, portal: EmulatedPortal):
    """Whoever comes first, all get the same answer."""
    body = json.dumps(a_payment(portal, 7))
    headers = {"Idempotency-Key": "all-at-once", "Content-Type": "application/json"}

    async def post(session: aiohttp.ClientSession) -> tuple[int, str, str | None]:
        async with session.post(f"{web.address}{PAYMENTS}", data=body, headers=headers) as came:
            return came.status, await came.text(), came.headers.get("Idempotency-Replayed")

    async def all_of_them() -> list[tuple[int, str, str | None]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:
            return await asyncio.gather(*(post(session) for _ in range(1000)))

    came = asyncio.run(all_of_them())
    assert {(status, text) for status, text, _ in came} == {(202, came[0][1])}
    assert [replayed for _, _, replayed in came].count(None) == 1
    [row] = listed(web, f"portal={portal.key}")
    assert row["id"] == json.loads(came[0][1])["id"]


def test_an_open_payment_is_joined_or_in_the_way(web: Web, portal: EmulatedPortal):
    """The same content joins; another way to pay is a conflict that names it."""
    first = pay(web, portal, 1)
    assert pay(web, portal, 1).body == first.body
    answer = pay(web, portal, 1, pay_system_id=32)
    refused(answer, 409, "open-payment")
    assert (answer.body["payment_id"], answer.body["url"]) == (first.body["id"], first.body["url"])


def test_a_paid_invoice_is_answered_with_its_result(web: Web, portal: EmulatedPortal):
    """Without a key at once, and under a name of its own; with a new key it is a new payment."""
    first = pay(web, portal, 1)
    drive(portal, PAID)
    again = pay(web, portal, 1)
    assert (again.status, again.body["id"], again.body["duplicate"]) == (200, first.body["id"], True)
    assert web.ask("GET", again.headers["Location"]).body["duplicate"] is True
    assert web.ask("GET", first.headers["Location"]).body["duplicate"] is False
    new = pay(web, portal, 1, key="set-back-to-unpaid")
    assert new.status == 202
    assert new.body["id"] != first.body["id"]


WRONG: list[tuple[object, list[tuple[str, str]]]] = [
    ({}, [("/portal", "required"), ("/invoice_id", "required"), ("", "way-to-pay")]),
    ({"portal": "https://acme.bitrix24.com", "invoice_id": 1, "pay_system_id": 1}, [("/portal", "portal-key")]),
    ({"portal": 1, "invoice_id": 1, "pay_system_id": 1}, [("/portal", "portal-key")]),
    (
        {"portal": "a", "invoice_id": 0, "pay_system_id": -1},
        [("/invoice_id", "whole-number"), ("/pay_system_id", "whole-number")],
    ),
    ({"portal": "a", "invoice_id": 2**53, "pay_system_id": 1}, [("/invoice_id", "whole-number")]),
    ({"portal": "a", "invoice_id": 10**400, "pay_system_id": 1}, [("/invoice_id", "whole-number")]),
    ({"portal": "a", "invoice_id": 1.0, "pay_system_id": 1}, [("/invoice_id", "whole-number")]),
    ({"portal": "a", "invoice_id": True, "pay_system_id": 1}, [("/invoice_id", "whole-number")]),
    ({"portal": "a", "invoice_id": "1 ", "pay_system_id": 1}, [("/invoice_id", "whole-number")]),
    ({"portal": "a", "invoice_id": "\u0661", "pay_system_id": 1}, [("/invoice_id", "whole-number")]),
    (
        {"portal": "a", "invoice_id": None, "bx_rest_handler": ""},
        [("/invoice_id", "whole-number"), ("/bx_rest_handler", "length")],
    ),
    ({"portal": "a", "invoice_id": 1, "bx_rest_handler": "a\nb"}, [("/bx_rest_handler", "printable")]),
    ({"portal": "a", "invoice_id": 1, "bx_rest_handler": "x" * 256}, [("/bx_rest_handler", "length")]),
    ({"portal": "a", "invoice_id": 1, "bx_rest_handler": "\ud800"}, [("/bx_rest_handler", "printable")]),
    ({"portal": "a", "invoice_id": 1, "pay_system_id": 1, "idempotency_key": 1}, [("/idempotency_key", "text")]),
    ({"portal": "a", "invoice_id": 1, "pay_system_id": 1, "a/b~\u200b": 1}, [("/a~1b~0\\u200b", "unknown")]),
    ("text", [("", "object")]),
    (None, [("", "object")]),
    (1, [("", "object")]),
    ([], [("", "length")]),
    ([{}] * 1001, [("", "length")]),
    ([1, {"portal": "a", "invoice_id": 0, "pay_system_id": 1}], [("/0", "object"), ("/1/invoice_id", "whole-number")]),
]


@pytest.mark.parametrize(("body", "wrongs"), WRONG)
def test_everything_that_is_wrong_is_told_at_once(web: Web, body: Any, wrongs: list[tuple[str, str]]):
    """Each with its place, a rule for programs, a cause and a next step; and nothing of what was sent."""
    answer = web.ask("POST", PAYMENTS, data=json.dumps(body), headers={"Content-Type": "application/json"})
    refused(answer, 422, "invalid")
    assert [(each["pointer"], each["rule"]) for each in answer.body["errors"]] == wrongs
    assert all(each["detail"] and each["next_step"] for each in answer.body["errors"])


@pytest.mark.parametrize(
    ("text", "status", "name"),
    [
        (b"", 400, "bad-json"),
        (b"{", 400, "bad-json"),
        (b'{"portal": "a"} x', 400, "bad-json"),
        (b'{"portal": "a", "portal": "b"}', 400, "bad-json"),
        (b'[{"x": {"y": 1, "y": 2}}]', 400, "bad-json"),
        (b'{"\\ud800": 1}', 400, "bad-json"),
        (b'{"invoice_id": NaN}', 400, "bad-json"),
        (b'{"invoice_id": -Infinity}', 400, "bad-json"),
        (b"\xef\xbb\xbf{}", 400, "bad-json"),
        (b'{"portal": "\xff"}', 400, "bad-json"),
        (b"[" * 500_000, 400, "bad-json"),
        (b'{"a":' * 100_000, 400, "bad-json"),
        (b'"' + b"x" * 1_100_000 + b'"', 413, "too-large"),
    ],
)
def test_what_is_no_json_for_everybody_is_refused(web: Web, text: bytes, status: int, name: str):
    """Twice the same name, NaN, another encoding, depth without end, or too much of it."""
    refused(web.ask("POST", PAYMENTS, data=text, headers={"Content-Type": "application/json"}), status, name)
    assert web.ask("GET", "/healthz").status == 200


def test_a_body_of_another_type_is_refused(web: Web):
    """Also one in another encoding, and one that does not say what it is."""
    for kind in (
        "text/plain",
        "application/xml",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x",
    ):
        refused(web.ask("POST", PAYMENTS, data=b"{}", headers={"Content-Type": kind}), 415, "wrong-type")
    refused(web.ask("POST", PAYMENTS, data=b"{}", skip_auto_headers=["Content-Type"]), 415, "wrong-type")


def test_a_compressed_body_is_bounded_by_what_it_holds(web: Web):
    """A small one that becomes large is refused, and so is one that cannot be unpacked."""
    import gzip

    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    bomb = gzip.compress(b" " * 50_000_000)
    answer = web.ask("POST", PAYMENTS, data=bomb, headers=headers)
    assert answer.status in (400, 413), answer.body
    answer = web.ask("POST", PAYMENTS, data=b"no gzip at all", headers=headers)
    assert answer.status == 400, answer.body


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\tb"])
def test_a_key_that_is_none_is_refused(web: Web, portal: EmulatedPortal, key: str):
    """1 to 255 printable characters."""
    answer = web.ask("POST", PAYMENTS, json=a_payment(portal), headers={"Idempotency-Key": key})
    refused(answer, 422, "invalid")
    assert answer.body["errors"][0]["header"] == "Idempotency-Key"


def test_an_unknown_portal_is_not_found(web: Web):
    """In one payment, and for each of many; where nothing was accepted the answer says so."""
    refused(web.ask("POST", PAYMENTS, json=a_payment("nobody")), 404, "no-portal")
    answer = web.ask("POST", PAYMENTS, json=[a_payment("nobody"), a_payment("nobody", 2)])
    refused(answer, 409, "nothing-accepted")
    assert [each["error"]["type"] for each in answer.body["results"]] == ["urn:b24pay:problem:no-portal"] * 2


def test_an_array_is_answered_one_by_one(web: Web, portal: EmulatedPortal):
    """Accepted, joined, refused by what the ledger knows; in order, under the header's key again the same."""
    body = [a_payment(portal, n) for n in (1, 2, 1)] + [a_payment(portal, 2, pay_system_id=32), a_payment("nobody")]
    first = web.ask("POST", PAYMENTS, json=body, headers={"Idempotency-Key": "array"})
    assert first.status == 202, first.body
    results = first.body["results"]
    assert [each.get("outcome") for each in results] == ["accepted", "accepted", "joined", None, None]
    assert [each["index"] for each in results] == [0, 1, 2, 3, 4]
    assert results[0]["id"] == results[2]["id"]
    assert results[3]["error"]["payment_id"] == results[1]["id"]
    assert {name: first.body[name] for name in ("accepted", "joined", "already_paid", "refused")} == {
        "accepted": 2,
        "joined": 1,
        "already_paid": 0,
        "refused": 2,
    }
    drive(portal, Failed(Refusal("CODE", "refused")), 2)
    again = web.ask("POST", PAYMENTS, json=body, headers={"Idempotency-Key": "array"})
    assert ids(again.body["results"][:3]) == ids(results[:3])
    # What was in conflict has nothing in its way any more.
    assert (again.body["accepted"], again.body["joined"], again.body["refused"]) == (1, 3, 1)


def test_an_array_with_one_that_cannot_be_read_accepts_none(web: Web, portal: EmulatedPortal):
    """It is small enough to be mended and sent again whole."""
    answer = web.ask("POST", PAYMENTS, json=[a_payment(portal, 1), a_payment(portal, 0)])
    refused(answer, 422, "invalid")
    assert listed(web, f"portal={portal.key}") == []
