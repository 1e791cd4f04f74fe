"""Faults on request: what the client sees, and what was executed behind its back."""

import asyncio
import errno
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from emulator import Handle, RunningEmulator
from emulator.handle import AdminError
from tests.emulator.portal_caller import INVOICE, Answered, Caller, pay_command
from tests.eventually import eventually


async def struck(portal: Caller, handle: Handle, kind: str, place: str, **rule: object) -> tuple[Answered, int]:
    await handle.add_fault(kind, place=place, count=1, **rule)
    answered = await portal.pay(3)
    return answered, (await handle.effects()).tally.effects


@pytest.mark.parametrize(("place", "effects"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize(
    ("kind", "status", "content_type", "start"),
    [
        ("500_html", 500, "text/html", "<html>"),
        ("500_json", 500, "application/json", '{"error":"INTERNAL_SERVER_ERROR"'),
        ("502_html", 502, "text/html", "<html>"),
        ("503_html", 503, "text/html", "<html>"),
        ("504_html", 504, "text/html", "<html>"),
        ("403_html", 403, "text/html", "<html>"),
        ("empty", 200, "text/html", ""),
        ("truncated", 200, "application/json", '{"result":'),
        ("wrong_type", 200, "text/html", '{"result":true'),
        ("list", 200, "application/json", '[{"result": true'),
        ("result_list", 200, "application/json", '{"result": [true]'),
        ("numeric_code", 400, "application/json", '{"error":0,'),
        ("wrong_encoding", 200, "application/json", '{"error":"WRONG_ENCODING","error_description":"Wrong request enc'),
        ("sql_error", 500, "application/json", '{"error":"ERROR_CORE","error_description":"SQL query error!"}'),
    ],
)
async def test_replies_are_spoilt_before_or_after_execution(
    *, portal: Caller, handle: Handle, kind: str, status: int, content_type: str, start: str, place: str, effects: int
) -> None:
    """The same broken reply may stand for nothing done or for everything done."""
    answered, done = await struck(portal, handle, kind, place)
    assert (answered.status, done) == (status, effects)
    assert answered.headers["Content-Type"].startswith(content_type)
    assert answered.text.startswith(start)
    if kind == "truncated":
        with pytest.raises(json.JSONDecodeError):
            answered.json  # noqa: B018 -- reading is the test
    assert (await portal.pay(4)).json["result"] is True
    assert (await handle.requests())[0].fault == f"{kind}/{place}"
    assert (await handle.counters()).faults == 1


@pytest.mark.parametrize(("place", "effects"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("kind", ["reset", "close", "cut_body"])
async def test_connections_break_before_or_after_execution(
    portal: Caller, handle: Handle, kind: str, place: str, effects: int
) -> None:
    """A reset, an early end and a body cut in the middle all reach the client as broken connections."""
    await handle.add_fault(kind, place=place, count=1)
    with pytest.raises(aiohttp.ClientError) as broken:
        await portal.pay(3)
    assert isinstance(broken.value, aiohttp.ClientPayloadError) == (kind == "cut_body")
    assert (getattr(broken.value, "errno", None) == errno.ECONNRESET) == (kind == "reset")
    assert (await handle.effects()).tally.effects == effects
    assert (await portal.pay(4)).status == 200


async def test_any_reply_and_any_error_can_be_given(portal: Caller, handle: Handle) -> None:
    """A rule may name the status, the body, the headers, or a code and its text."""
    await handle.add_fault("reply", status=418, body="teapot", content_type="text/plain", headers={"X-A": "b"}, count=1)
    await handle.add_fault("error", code="QUERY_LIMIT_EXCEEDED", text="Too many requests", status=503, count=1)
    answered = await portal.pay(1)
    assert (answered.status, answered.text, answered.headers["X-A"]) == (418, "teapot", "b")
    assert (await portal.pay(1)).error == (503, "QUERY_LIMIT_EXCEEDED", "Too many requests")


async def test_a_batch_may_die_in_the_middle(portal: Caller, handle: Handle) -> None:
    """The first k commands are done and committed, the reply is lost."""
    await handle.add_fault("500_html", place="after_k", k=3)
    answered = await portal.batch({f"j{n}": pay_command(n + 1) for n in range(6)})
    assert answered.status == 500
    assert (await handle.effects(portal.authority)).counts == {1: 1, 2: 1, 3: 1}
    (entry,) = await handle.requests()
    assert entry.executed == 3


async def test_a_hanging_portal_does_the_work_while_nobody_listens(portal: Caller, handle: Handle) -> None:
    """The client gives up, the invoice is paid."""
    await handle.add_fault("hang", place="after", seconds=0.4)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(portal.pay(3), 0.2)
    assert (await handle.effects()).tally.effects == 1

    async def journalled() -> bool:
        (entry,) = await handle.requests()
        return entry.client_gone and entry.status == 200

    await eventually(journalled)


async def test_work_may_come_after_the_reply(portal: Caller, handle: Handle) -> None:
    """A 504 goes out at once and the payment happens later, counted as late."""
    await handle.add_fault("504_html", place="during", late_s=0.2)
    assert (await portal.pay(3)).status == 504
    assert (await handle.effects()).tally.effects == 0

    async def paid() -> bool:
        return (await handle.effects()).tally.late == 1

    await eventually(paid)


async def test_the_front_end_can_cut_long_calls(portal: Caller, tell: Callable[..., None], handle: Handle) -> None:
    """After `cut_s` the client reads 504, and the work goes on."""
    tell(cut_s=0.1, pay_s=0.4)
    assert (await portal.pay(3)).status == 504

    async def paid() -> bool:
        return (await handle.effects()).tally.effects == 1

    await eventually(paid)


async def test_bodies_can_drip_and_be_huge(portal: Caller, handle: Handle) -> None:
    """A dripping body arrives whole in the end; a huge one has the size it was given."""
    await handle.add_fault("drip", place="after", seconds=0.001, count=1)
    assert (await portal.pay(3)).json["result"] is True
    await handle.add_fault("huge", size=300_000, count=1)
    assert len((await portal.pay(3)).text) == 300_000


async def test_single_commands_can_be_refused(portal: Caller, handle: Handle) -> None:
    """One command of a batch fails before or after it ran, its neighbours do not."""
    await handle.add_fault("refuse", command=INVOICE, invoice="2", code="ACCESS_DENIED", text="Access denied!")
    await handle.add_fault("refuse", place="command_after", command=INVOICE, invoice="3", code=0, text="odd")
    result = (await portal.batch({f"j{n}": pay_command(n) for n in (1, 2, 3)})).json["result"]
    assert result["result_error"] == {
        "j2": {"error": "ACCESS_DENIED", "error_description": "Access denied!"},
        "j3": {"error": 0, "error_description": "odd"},
    }
    assert (await handle.effects(portal.authority)).counts == {1: 1, 3: 1}
    assert (await portal.pay(2)).error == (400, "ACCESS_DENIED", "Access denied!")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"nth": 2}, [200, 502, 200, 200]),
        ({"skip": 2}, [200, 200, 502, 502]),
        ({"count": 2}, [502, 502, 200, 200]),
        ({"skip": 1, "nth": 2}, [200, 200, 502, 200]),
        ({"method": "crm.*"}, [200, 200, 200, 200]),
        ({"command": "*.invoice", "invoice": 3}, [200, 200, 502, 200]),
        ({"portal": "10.*"}, [200, 200, 200, 200]),
        ({"probability": 0}, [200, 200, 200, 200]),
    ],
)
async def test_rules_strike_whom_they_name(
    portal: Caller, handle: Handle, rule: dict[str, object], expected: list[int]
) -> None:
    """A rule can wait, stop, and pick portal, method and invoice."""
    await handle.add_fault("502_html", **rule)
    assert [(await portal.pay(n)).status for n in (1, 2, 3, 4)] == expected


async def test_chances_repeat_with_their_seed(emulator: RunningEmulator, portal: Caller) -> None:
    """The same seed strikes the same requests."""

    async def strikes() -> list[int]:
        emulator.farm.faults.reseed(7)
        return [(await portal.call("scope")).status for _ in range(30)]

    async with Handle.connect(emulator.authority) as handle:
        await handle.add_fault("503_html", probability=0.5)
    first, second = await strikes(), await strikes()
    assert first == second
    assert {200, 503} == set(first)


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"kind": "500_htm"}, "did you mean '500_html'"),
        ({"kind": "reset", "plaec": "after"}, "did you mean 'place'"),
        ({"kind": "refuse", "place": "after"}, "go only together"),
        ({"kind": "empty", "probability": 2}, "a number from 0 to 1"),
    ],
)
async def test_wrong_rules_are_refused_with_a_reason(handle: Handle, rule: dict[str, Any], complaint: str) -> None:
    """A typo in a rule is an error, not a rule that never fires."""
    with pytest.raises(AdminError, match=complaint):
        await handle.add_fault(**rule)


async def test_rules_can_be_listed_and_dropped(portal: Caller, handle: Handle) -> None:
    """The admin tells how often a rule has struck."""
    number = await handle.add_fault("502_html")
    await portal.pay(1)
    assert await handle.fired() == {number: 1}
    await handle.clear_faults()
    assert (await portal.pay(1)).status == 200


async def test_latency_is_waited_before_the_work(portal: Caller, tell: Callable[..., None]) -> None:
    """A slow portal answers no sooner than it was told."""
    tell(latency_s=0.1)
    began = time.monotonic()
    await portal.call("scope")
    assert time.monotonic() - began >= 0.1
