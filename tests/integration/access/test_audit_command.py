"""Every changing verb leaves an entry, and `b24pay audit` finds it."""

import getpass
import io
import json
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from access.audit import Audit, Ending, Intent, Origin, Outcome
from cli.acting import who
from ledger.payment import Handle, NewPayment, PortalKey, Refusal
from ledger.redis import RedisLedger
from ledger.verdict import Decision, Failed, InDoubt, Verdict
from tests.integration.access.conftest import Terminal

ADDED = {"webhook": "http://127.0.0.1/rest/1/emulator-secret/"}


@pytest.fixture
def insecure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portals may be on this machine."""
    monkeypatch.setenv("B24PAY_ALLOW_INSECURE_PORTALS", "1")
    monkeypatch.setenv("B24PAY_WEB_URL", "http://127.0.0.1:8080")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What stands on stdin."""

    def give(described: object) -> None:
        stdin = io.TextIOWrapper(io.BytesIO(json.dumps(described).encode()))
        monkeypatch.setattr(sys, "stdin", stdin)

    return give


def test_every_changing_verb_leaves_an_entry(terminal: Terminal, insecure: None, typed: Any):
    """By whom, at which machine; a dry run leaves none."""
    typed(ADDED)
    assert terminal("portal", "add", "acme", "--no-check").code == 0
    typed({"client_id": "local.1", "client_secret": "emulator-client-secret", "address": "127.0.0.1"})
    assert terminal("portal", "invite", "acme").code == 0
    for arguments in (
        ["portal", "hold", "acme", "--because", "maintenance"],
        ["portal", "resume", "acme"],
        ["keys", "rotate"],
        ["token", "create", "shop", "--role", "viewer"],
        ["token", "revoke", "shop"],
        ["portal", "remove", "acme"],
    ):
        dry = terminal(*arguments, "--dry-run")
        assert dry.code in (0, 1), dry.err
        done = terminal(*arguments)
        assert done.code == 0, done.err
    entries = terminal.json("audit").documents
    assert [each["what"] for each in reversed(entries)] == [
        "portal.add",
        "portal.invite",
        "portal.hold",
        "portal.resume",
        "keys.rotate",
        "token.create",
        "token.revoke",
        "portal.remove",
    ]
    assert {each["outcome"] for each in entries} == {"done"}
    assert {each["from"] for each in entries} == {"cli"}
    assert {each["who"] for each in entries} == {f"{getpass.getuser()}@{socket.gethostname()}"}
    assert len({each["request_id"] for each in entries}) == len(entries)
    hold = next(each for each in entries if each["what"] == "portal.hold")
    assert (hold["subjects"], hold["why"], hold["before"]) == (["acme"], "maintenance", None)
    resume = next(each for each in entries if each["what"] == "portal.resume")
    assert resume["before"]["code"] == hold["after"]["code"] == "OPERATOR"
    added = entries[-1]
    assert (added["before"], added["after"]["endpoint"]) == (None, "http://127.0.0.1/rest/")


async def ended(redis: Any, verdict: Verdict, first: int, number: int) -> list[str]:
    """Payments of acme that were sent and have this verdict."""
    ledger = RedisLedger(redis, lease_s=75, retention_s=3600, max_attempts=5, quiet_s=0)
    asked = [
        NewPayment(id=Handle(f"p{each}"), portal=PortalKey("acme"), invoice_id=each, pay_system_id=1)
        for each in range(first, first + number)
    ]
    await ledger.open(asked)
    [lease], _ = await ledger.take("driver", 10)
    claim = await ledger.claim(lease, number)
    await ledger.settle(lease, [Decision(payment, verdict) for payment in claim.payments])
    await ledger.release(lease, 0)
    return [payment.id for payment in claim.payments]


async def test_payments_that_are_changed_at_once_are_entries_of_a_hundred(terminal: Terminal, redis: Any, acme: str):
    """Each is found by its id; before and after are told of each."""
    ids = await ended(redis, Failed(Refusal("X", "y")), 1, 120)
    assert terminal("retry", "--state", "failed", "--portal", acme, "--dry-run").code == 0
    assert terminal.json("audit").documents == []
    assert terminal("retry", "--state", "failed", "--portal", acme).code == 0
    entries = terminal.json("audit", "--what", "payment.retry").documents
    assert sorted(len(each["subjects"]) for each in entries) == [20, 100]
    [one] = terminal.json("audit", "--subject", ids[0]).documents
    assert (one["before"][ids[0]], one["after"][ids[0]], one["outcome"]) == ("failed", "queued", "done")
    assert terminal("cancel", ids[0], "nobody").code == 4
    [one] = terminal.json("audit", "--subject", "nobody").documents
    assert (one["what"], one["outcome"]) == ("payment.cancel", "partly")
    assert (one["before"], one["after"]) == ({ids[0]: "queued", "nobody": None}, {ids[0]: "cancelled", "nobody": None})
    assert terminal("cancel", ids[0]).code == 1
    assert terminal.json("audit", "--subject", ids[0]).documents[0]["outcome"] == "refused"


async def test_decisions_on_doubts_say_why(terminal: Terminal, redis: Any, acme: str):
    """A decision, one that is refused, and a reading that was asked for."""
    [doubt] = await ended(redis, InDoubt(0), 1, 1)
    [failed] = await ended(redis, Failed(Refusal("X", "y")), 2, 1)
    assert terminal("doubts", "verify", doubt, "--timeout", "0").code == 75
    assert terminal("doubts", "resolve", failed, "--as", "paid", "--because", "x").code == 1
    assert terminal("doubts", "resolve", doubt, "--as", "paid", "--because", "seen in the portal").code == 0
    resolve, verify = terminal.json("audit").documents
    assert (resolve["what"], resolve["subjects"], resolve["why"]) == (
        "doubt.resolve",
        [doubt, acme],
        "seen in the portal",
    )
    assert (resolve["before"], resolve["after"]) == ({doubt: "in_doubt"}, {doubt: "paid"})
    assert (verify["what"], verify["subjects"]) == ("doubt.verify", [doubt])


def test_what_is_refused_or_breaks_off_is_an_entry_too(
    terminal: Terminal, insecure: None, typed: Any, monkeypatch: pytest.MonkeyPatch
):
    """With its cause, and without what was typed."""
    typed({"webhook": "ftp://127.0.0.1/rest/1/emulator-secret/"})
    assert terminal("portal", "add", "acme", "--no-check").code == 2
    [refused] = terminal.json("audit").documents
    assert (refused["what"], refused["outcome"], refused["after"]) == ("portal.add", "refused", None)
    assert refused["error"]

    async def broken(*_: object) -> None:
        raise ConnectionError("gone")

    typed(ADDED)
    assert terminal("portal", "add", "acme", "--no-check").code == 0
    monkeypatch.setattr(RedisLedger, "hold", broken)
    assert terminal("portal", "hold", "acme").code == 75
    [failed] = terminal.json("audit", "--what", "portal.hold").documents
    assert failed["outcome"] == "failed"


async def test_an_entry_is_found_by_who_what_subject_and_time(terminal: Terminal, redis: Any):
    """A group of actions, a part of a name; what is older than a week only when it is asked for."""
    audit = Audit(redis, retention_s=30 * 86_400)
    old = await redis.time()
    await redis.xadd(
        "b24pay:{0}:audit", {"row": '{"who": "ann", "what": "portal.hold"}'}, id=f"{(old[0] - 10 * 86_400) * 1000}-0"
    )
    for name, what, subject in (("bob@a", "portal.hold", "acme"), ("ann", "portals.x", "acme"), ("Ann", "a.b", "t")):
        intent = Intent(who=name, role="operator", origin=Origin.HTTP, what=what, subjects=[subject], request_id="r")
        await audit.note(intent, Ending(outcome=Outcome.DONE))

    def found(*options: str) -> list[str]:
        return [each["what"] for each in terminal.json("audit", *options).documents]

    assert found() == ["a.b", "portals.x", "portal.hold"]
    assert found("--who", "ann") == ["a.b", "portals.x"]
    assert found("--what", "portal") == found("--what", "portal.hold") == ["portal.hold"]
    assert found("--subject", "acme") == ["portals.x", "portal.hold"]
    assert found("--who", "ann", "--since", "30d") == ["a.b", "portals.x", "portal.hold"]
    assert found("--who", "nobody") == []


async def test_an_unfinished_change_is_told_as_such(terminal: Terminal, redis: Any):
    """With what to look at."""
    intent = Intent(who="bob", role="operator", origin=Origin.HTTP, what="a.b", subjects=["x"] * 5, request_id="r")
    await Audit(redis, retention_s=3600).begin(intent)
    said = terminal("audit")
    assert "unfinished" in said.out
    assert "and 2 more" in said.out
    assert "look at the subject" in said.err
    assert terminal.json("audit").document["outcome"] == "unfinished"


def test_sudo_names_who_is_behind_it(monkeypatch: pytest.MonkeyPatch):
    """Nobody is called root."""
    monkeypatch.setenv("SUDO_USER", "ann")
    assert who() == f"ann as {getpass.getuser()}@{socket.gethostname()}"


def test_the_time_of_an_entry_is_the_server_s(terminal: Terminal):
    """To the millisecond, in UTC."""
    assert terminal("token", "create", "shop", "--role", "viewer").code == 0
    at = datetime.fromisoformat(terminal.json("audit").document["at"])
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
