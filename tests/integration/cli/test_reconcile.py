"""`b24pay reconcile` against an emulated portal whose people did what people do."""

import csv
from pathlib import Path

import pytest

from emulator.records import Change
from tests.canaries import WEBHOOK_CODE
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House
from tests.integration.cli.conftest import Terminal


@pytest.fixture
def portal(house: House, terminal: Terminal) -> EmulatedPortal:
    """A portal with 60 payments that a worker has paid, and one that it refused."""
    portal = house.add_portal(plan="none")
    rows = "".join(f"{portal.key},{n},1\n" for n in range(1, 61))
    sheet = terminal.file("sheet.csv", f"portal,invoice_id,pay_system_id\n{rows}")
    assert terminal("import", sheet, "--wait").code == 0
    assert terminal("pay", "61", "--portal", portal.key, "--pay-system", "99", "--wait").code == 1
    return portal


def by_hand(portal: EmulatedPortal, change: Change, *invoices: int) -> None:
    """What a person does at the portal."""
    portal.ask(lambda emulator, name: emulator.change(name, invoices, change))


def test_a_portal_that_agrees_is_done(terminal: Terminal, portal: EmulatedPortal) -> None:
    """Exit code 0, and the sum."""
    said = terminal("reconcile", "--portal", portal.key)
    assert (said.code, said.out) == (0, "61 payments compared: 61 alike, 0 different.\n")
    summary = terminal.json("reconcile", "--portal", portal.key).document
    assert (summary["kind"], summary["complete"], summary["next_cursor"]) == ("summary", True, None)


def test_differences_are_listed_told_to_scripts_and_written_down(terminal: Terminal, portal: EmulatedPortal) -> None:
    """Exit code 3; the table, the documents and the report have the same."""
    by_hand(portal, Change.UNPAY, 1)
    by_hand(portal, Change.DELETE, 2)
    by_hand(portal, Change.PAY, 61)
    said = terminal("reconcile", "--portal", portal.key, "--report", "out.csv")
    assert said.code == 3
    assert "61 payments compared: 58 alike, 3 different." in said.out
    told = terminal.json("reconcile", "--portal", portal.key)
    *findings, _ = told.documents
    wanted = {(1, "unpaid_there"), (2, "gone"), (61, "paid_there")}
    assert (told.code, {(each["invoice_id"], each["kind"]) for each in findings}) == (3, wanted)
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(int(row["invoice_id"]), row["kind"]) for row in rows} == wanted
    assert all(row["difference"] == "yes" for row in rows)


def test_periods_that_adjoin_share_nothing_and_leave_nothing_out(terminal: Terminal, portal: EmulatedPortal) -> None:
    """Each payment ends in exactly one of them."""
    rows = portal.ledger(lambda ledger: ledger.payments(portal.key, "paid", 0, 100))
    ends = sorted(row.finished_at for row in rows)
    middle = ends[len(ends) // 2].isoformat()
    first = terminal.json("reconcile", "--portal", portal.key, "--since", "1h", "--until", middle).document
    second = terminal.json("reconcile", "--portal", portal.key, "--since", middle).document
    whole = terminal.json("reconcile", "--portal", portal.key).document
    assert first["until"] == second["since"]
    assert first["counts"]["agreed"] + second["counts"]["agreed"] == whole["counts"]["agreed"] == 61


def test_a_revoked_credential_ends_it_with_a_cursor_to_go_on(terminal: Terminal, portal: EmulatedPortal) -> None:
    """Exit code 4, the portal's reason and what to mend; mended, the rest is compared."""
    portal.change(webhooks={"1/another": {}})
    said = terminal.json("reconcile", "--portal", portal.key)
    assert (said.code, said.document["stopped"]["code"]) == (4, "INVALID_CREDENTIALS")
    assert "--cursor" in said.err
    assert portal.held() is None
    portal.change(webhooks={f"1/{WEBHOOK_CODE}": {}})
    again = terminal.json("reconcile", "--portal", portal.key, "--cursor", said.document["next_cursor"])
    assert (again.code, again.document["counts"]["agreed"]) == (0, 61)


def test_who_waits_in_vain_is_told_so(terminal: Terminal, portal: EmulatedPortal) -> None:
    """A portal that is out of order for longer than the patience: exit code 4, and nothing is called a difference."""
    portal.fault("error", place="before", status=503, code="", text="maintenance")
    said = terminal.json("reconcile", "--portal", portal.key, "--patience", "1")
    assert (said.code, said.document["stopped"]["code"]) == (4, "OUT_OF_PATIENCE")
    assert said.document["counts"]["differing"] == 0
    portal.ask(lambda emulator, _: emulator.clear_faults())


@pytest.mark.parametrize(
    "wrong",
    [
        ("--since", "yesterday"),
        ("--since", "2026-01-02T00:00Z", "--until", "2026-01-01T00:00Z"),
        ("--since", "1d", "--cursor", "abc"),
        ("--cursor", "abc"),
        ("--report", "nowhere/out.csv"),
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, house: House, wrong: tuple[str, ...]) -> None:
    """Usage, before the portal is asked anything."""
    if not house.portals:
        house.add_portal()
    assert terminal("reconcile", "--portal", "portal-1", *wrong).code == 2
    assert terminal("reconcile", "--portal", "nobody").code == 1


def test_redis_may_restart_in_the_middle(terminal: Terminal, house: House, portal: EmulatedPortal) -> None:
    """The command waits for it and goes on where it was."""
    by_hand(portal, Change.UNPAY, 1)
    portal.change(latency_s=1.0)
    process = terminal.start("reconcile", "--portal", portal.key, "--json")
    asked = portal.counters.requests
    eventually_sync(lambda: portal.counters.requests > asked)
    house.server.restart()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, '"differing": 1' in out) == (3, True), err
