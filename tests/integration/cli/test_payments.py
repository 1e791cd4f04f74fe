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
    way = inspected["transitions"]
    assert [step["state"] for step in way] == ["queued", "sending", "paid"]
    assert sorted(step["at"] for step in way) == [step["at"] for step in way]
    assert way[-1]["evidence"] == "read_back"
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
    [counted] = terminal.json("stats", "--portal", portal.key).document["failures"]
    assert (counted["code"], counted["count"], counted["counting"]) == (failed["error"]["code"], 1, False)
    assert failed["error"]["code"] in terminal("stats", "--portal", portal.key).out
    all_failed = ("retry", "--state", "failed", "--portal", portal.key)
    assert terminal.json(*all_failed, "--code", "ANOTHER", "--dry-run").documents == []
    [would] = terminal.json(*all_failed, "--code", failed["error"]["code"], "--dry-run").documents
    assert (would["id"], would["changed"]) == (failed["id"], False)
    assert terminal(*all_failed, "--code", failed["error"]["code"]).code == 0
    assert terminal("pay", "3", "--portal", portal.key, "--pay-system", "99", "--wait").code == 0
    assert terminal.json("status", failed["id"]).document["status"] == "paid"
    assert terminal("retry", failed["id"]).code == 1
    [retried, *_] = [
        each for each in terminal.json("inspect", failed["id"]).document["transitions"] if "retry" in each["evidence"]
    ]
    assert retried["evidence"] == "payment.retry, failed -> queued, done"
    assert retried["state"] == "queued"
    assert retried["by"] != "person"


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
    way = terminal.json("inspect", said.document["id"]).document["transitions"]
    [doubt] = [step for step in way if step["state"] == "in_doubt"]
    assert (doubt["at"] is not None, doubt["cause"]) == (True, "no_answer")
    assert "no trustworthy answer came" in doubt["evidence"]
    assert "no trustworthy answer came" in terminal("inspect", said.document["id"]).out
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


def test_a_dry_run_foretells_what_the_ledger_would_say(terminal: Terminal):
    """Join, conflict, paid already: with the exit code that the real request would have."""
    portal = terminal.house.add_portal()
    terminal("portal", "hold", portal.key)
    first = terminal.json("pay", "11", "--portal", portal.key, "--pay-system", "1").document["id"]
    same = terminal.json("pay", "11", "--portal", portal.key, "--pay-system", "1", "--dry-run")
    assert (same.code, same.document["invoice_id"]) == (0, 11)
    assert first in same.document["text"]
    other = terminal("pay", "11", "--portal", portal.key, "--pay-system", "2", "--dry-run")
    assert other.code == 1
    assert first in other.err
    terminal("portal", "resume", portal.key)
    assert terminal("pay", "11", "--portal", portal.key, "--pay-system", "1", "--wait").code == 0
    assert "known as paid" in terminal("pay", "11", "--portal", portal.key, "--pay-system", "1", "--dry-run").out


def test_waiting_in_vain_says_what_happens_next(terminal: Terminal):
    """Time is up while the portal is out of reach; a payment that failed names its retry."""
    terminal.file("d.json", '{"webhook": "http://127.0.0.1:9/rest/1/nobody-home/"}')
    assert terminal("portal", "add", "out-of-reach", "--file", "d.json", "--no-check").code == 0
    said = terminal("pay", "1", "--portal", "out-of-reach", "--pay-system", "1", "--wait", "--timeout", "1")
    assert said.code == 75
    assert "What happens next" in said.err
    assert "b24pay status" in said.err
    portal = terminal.house.add_portal()
    assert "b24pay retry" in terminal("pay", "1", "--portal", portal.key, "--pay-system", "99", "--wait").err


def test_a_list_is_a_table_however_short(terminal: Terminal):
    """One row and many look the same, and a list that was not cut does not say so."""
    portal = terminal.house.add_portal()
    terminal("portal", "hold", portal.key)
    paid = [terminal.json("pay", n, "--portal", portal.key, "--pay-system", "1").document["id"] for n in ("1", "2")]
    one = terminal("list", "--portal", portal.key, "--limit", "1")
    assert one.out.splitlines()[0].split() == ["id", "portal", "invoice", "status", "why"]
    assert "--limit 0" in one.err
    both = terminal("list", "--portal", portal.key, "--limit", "2")
    assert both.err == ""
    assert all(each in both.out for each in paid)


def test_a_change_of_many_is_one_table_with_each_payment_once(terminal: Terminal):
    """No empty lines, and an id that was given twice is not counted twice."""
    said = terminal("cancel", "not-there", "not-there")
    assert (said.code, len(said.out.splitlines())) == (1, 2)


def test_a_portal_s_text_is_shown_and_not_obeyed(terminal: Terminal):
    """Markup, HTML, escape sequences and formulas of an error text reach neither terminal nor spreadsheet as such."""
    portal = terminal.house.add_portal()
    text = "=1+1 \x1b[31m[red]x[/red] <b>h</b> \u202e"
    portal.fault("refuse", place="command", code="ERROR_CHECK_FAILURE", text=text)
    path = terminal.file("x.csv", "invoice_id,pay_system_id\n1,1\n")
    assert terminal("import", path, "--portal", portal.key, "--wait", "--report", "out.csv").code == 1
    shown = terminal("list", "--portal", portal.key).out + terminal.json("list", "--portal", portal.key).out
    assert "[red]x[/red] <b>h</b>" in shown
    report = (terminal.directory / "out.csv").read_text()
    for said in (shown, report):
        assert "\x1b" not in said
        assert "\u202e" not in said
    assert ",'=1+1" in report
