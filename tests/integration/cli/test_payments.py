"""`pay`, `status`, `list`, `inspect`, `stats`, `watch`, `retry` and `cancel` on a real worker and emulator."""

import signal

from emulator.records import Change
from tests.integration.cli.conftest import Terminal


def test_a_payment_is_paid_and_proven(terminal: Terminal):
    """`pay --wait` ends with 0 and the contract's result; every way of looking at it agrees."""
    portal = terminal.house.add_portal()
    said = terminal.json("pay", "2", "--portal", portal.key, "--pay-system", "1", "--wait", "--timeout", "30")
    assert said.code == 0, said.err
    paid = said.document
    assert (paid["status"], paid["evidence"], paid["attempts"]) == ("paid", "read_back", 1)
    assert terminal.json("status", paid["id"]).document == paid
    assert terminal.json("status", "--portal", portal.key, "--invoice", "2").document == paid
    assert terminal.json("list", "--portal", portal.key, "--state", "paid").documents == [paid]
    inspected = terminal.json("inspect", paid["id"]).document
    assert inspected["next"] == "nothing: it is paid"
    assert inspected["sent_at"]
    [lane] = terminal.json("stats", "--portal", portal.key).document["lanes"]
    assert lane["payments"]["paid"] == 1
    assert paid["id"] in terminal("inspect", paid["id"]).out
    again = terminal.json("pay", "2", "--portal", portal.key, "--pay-system", "1", "--wait")
    assert again.code == 0
    assert again.document["duplicate"]
    assert portal.tally.effects == 1


def test_a_refused_payment_ends_with_1_and_its_reason(terminal: Terminal):
    """An unknown pay system fails for good; after mending, `retry` pays."""
    portal = terminal.house.add_portal()
    said = terminal.json("pay", "3", "--portal", portal.key, "--pay-system", "99", "--wait")
    assert said.code == 1
    failed = said.document
    assert failed["error"]["code"] == "ERROR_CHECK_FAILURE"
    assert "ERROR_CHECK_FAILURE" in terminal("status", failed["id"]).out
    portal.change(pay_systems=[{"id": 99, "kind": "rest"}])
    dry = terminal.json("retry", failed["id"], "--dry-run")
    assert (dry.code, dry.document["changed"]) == (0, False)
    assert terminal("retry", "--state", "failed", "--portal", portal.key).code == 0
    assert terminal("pay", "3", "--portal", portal.key, "--pay-system", "99", "--wait").code == 0
    assert terminal.json("status", failed["id"]).document["status"] == "paid"
    assert terminal("retry", failed["id"]).code == 1


def test_a_request_that_cannot_be_accepted_ends_with_1(terminal: Terminal):
    """Unknown portal and conflict: the text names what is in the way."""
    portal = terminal.house.add_portal()
    unknown = terminal("pay", "4", "--portal", "nobody", "--pay-system", "1")
    assert unknown.code == 1
    assert "portal add nobody" in unknown.err
    terminal("portal", "hold", portal.key)
    first = terminal.json("pay", "4", "--portal", portal.key, "--pay-system", "1", "--key", "k").document
    for changes in (["--pay-system", "2"], ["--pay-system", "2", "--key", "k"]):
        conflict = terminal("pay", "4", "--portal", portal.key, *changes)
        assert conflict.code == 1
        assert first["id"] in conflict.err


def test_what_was_not_sent_can_be_cancelled_once(terminal: Terminal):
    """Queued payments are withdrawn; others stay, and partly done is told."""
    portal = terminal.house.add_portal()
    terminal("portal", "hold", portal.key)
    queued = terminal.json("pay", "6", "--portal", portal.key, "--pay-system", "1").document
    assert terminal("cancel", queued["id"], "--dry-run").code == 0
    assert terminal.json("status", queued["id"]).document["status"] == "queued"
    both = terminal.json("cancel", queued["id"], "not-there")
    assert both.code == 4
    assert [each["changed"] for each in both.documents] == [True, False]
    assert terminal("cancel", queued["id"]).code == 1
    assert portal.counts()["cancelled"] == 1


def test_an_invoice_in_doubt_ends_with_3(terminal: Terminal):
    """The portal does the work and answers nonsense, and cannot be read: nobody knows, and that is the exit code."""
    portal = terminal.house.add_portal()
    portal.fault("502_html", place="after")
    said = terminal.json("pay", "7", "--portal", portal.key, "--pay-system", "1", "--wait", "--timeout", "1.5")
    assert said.code == 3
    assert said.document["status"] == "in_doubt"
    assert "read back" in terminal.json("inspect", said.document["id"]).document["next"]


def test_what_is_not_known_is_told(terminal: Terminal):
    """Nothing found is 1, partly found is 4."""
    portal = terminal.house.add_portal()
    known = terminal.json("pay", "8", "--portal", portal.key, "--pay-system", "1").document["id"]
    assert terminal("status", "not-there").code == 1
    assert terminal("status", known, "not-there").code == 4
    assert terminal("inspect", "not-there").code == 1
    assert terminal("status", "--portal", portal.key, "--invoice", "99").code == 1
    assert terminal("list", "--portal", "nobody").code == 1


def test_a_dry_run_accepts_nothing(terminal: Terminal):
    """`pay --dry-run` checks the request and the portal."""
    portal = terminal.house.add_portal()
    assert terminal("pay", "9", "--portal", portal.key, "--pay-system", "1", "--dry-run").code == 0
    assert terminal("pay", "9", "--portal", "nobody", "--pay-system", "1", "--dry-run").code == 1
    assert sum(portal.counts().values()) == 0


def test_a_payment_set_back_by_a_person_is_paid_with_a_new_key(terminal: Terminal):
    """Without a key the old result answers; with a new one the portal is asked again."""
    portal = terminal.house.add_portal()
    assert terminal("pay", "10", "--portal", portal.key, "--pay-system", "1", "--wait").code == 0
    portal.ask(lambda emulator, name: emulator.change(name, [10], Change.UNPAY))
    new = terminal.json("pay", "10", "--portal", portal.key, "--pay-system", "1", "--key", "anew", "--wait")
    assert new.code == 0
    assert not new.document["duplicate"]
    assert portal.tally.effects == 2


def test_watch_tells_snapshots_and_stops(terminal: Terminal):
    """Into a pipe it writes one snapshot after the other; Ctrl-C is the ordinary end."""
    looks = terminal.json("watch", "--count", "2", "--interval", "0.1")
    assert looks.code == 0
    assert len(looks.documents) == 2
    assert "paid_per_s" in looks.documents[1]
    assert "paid/s" in terminal("watch", "--count", "1").out
    process = terminal.start("watch", "--json", "--interval", "0.1")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in out + err


def test_a_reader_that_goes_away_ends_long_output_quietly(terminal: Terminal):
    """`| head -1`: no traceback, no error, no endless work."""
    portal = terminal.house.add_portal()
    terminal("portal", "hold", portal.key)
    rows = "".join(f"{number},1\n" for number in range(1, 3001))
    terminal("import", terminal.file("p.csv", f"invoice_id,pay_system_id\n{rows}"), "--portal", portal.key)
    for arguments in (["list", "--json", "--limit", "0", "--portal", portal.key], ["watch", "--interval", "0.1"]):
        process = terminal.start(*arguments)
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
