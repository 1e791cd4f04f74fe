"""How `b24pay` begins and ends, as far as that needs no server."""

import json
import sys
from pathlib import Path

import pytest

from cli.main import run
from cli.procfile import command_of, read_procfile
from cli.sample import PAYMENTS, make_sample
from config.errors import ConfigurationError, Problem


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No .env of the developer speaks."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-verb"],
        ["pay"],
        ["pay", "1", "--portal", "acme"],
        ["pay", "1", "--portal", "acme", "--pay-system", "1", "--timeout", "3"],
        ["pay", "-4", "--portal", "acme", "--pay-system", "1"],
        *(["pay", number, "--portal", "acme", "--pay-system", "31"] for number in ("0", "abc", "1.5", "true")),
        ["pay", str(2**60), "--portal", "acme", "--pay-system", "31"],
        ["pay", "1", "--portal", "https://acme.bitrix24.com", "--pay-system", "31"],
        ["pay", "1", "--portal", "acme", "--pay-system", "x"],
        ["status"],
        ["status", "--portal", "acme"],
        ["list", "--state", "broken"],
        ["retry"],
        ["retry", "a", "--state", "failed", "--portal", "acme"],
        ["cancel"],
        ["import", "no-such-file.csv"],
        ["portal", "add", "acme", "--file", "no-such-file.json"],
    ],
)
def test_wrong_usage_is_told_before_anything_is_touched(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    """Exit code 2, a cause and a next step on stderr, nothing on stdout."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert "Next step: " in err


@pytest.mark.parametrize(
    ("typed", "meant"), [(["paiy"], "'pay'"), (["prtal", "list"], "'portal'"), (["portal", "chek"], "'check'")]
)
def test_a_misspelt_command_gets_a_suggestion(typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]):
    """At every level, with exit code 2."""
    assert run(typed) == 2
    assert f"Did you mean {meant}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["portal", "add", "acme", '{"webhook": "https://acme.bitrix24.com/rest/1/c4n4ry/"}'],
        ["portal", "add", "acme", "https://acme.bitrix24.com/rest/1/c4n4ry/"],
        ["portal", "add", "acme", "--webhook=https://acme.bitrix24.com/rest/1/c4n4ry/"],
        ["pay", "1", "--portal", "https://acme.bitrix24.com/rest/1/c4n4ry/", "--pay-system", "1"],
        ["https://acme.bitrix24.com/rest/1/c4n4ry/"],
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(
    arguments: list[str], form: list[str], capsys: pytest.CaptureFixture[str]
):
    """Exit code 2; neither stream shows the code."""
    assert run([*arguments, *form]) == 2
    assert "c4n4ry" not in "".join(capsys.readouterr())


def test_a_secret_on_the_command_line_of_add_is_told_to_go_to_stdin(capsys: pytest.CaptureFixture[str]):
    """The next step says where it belongs."""
    run(["portal", "add", "acme", "https://acme.bitrix24.com/rest/1/c4n4ry/"])
    assert "stdin" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["nan", "inf", "soon", "-1"])
@pytest.mark.parametrize("verb", [["pay", "1", "--portal", "acme", "--pay-system", "1"], ["import", "x.csv"]])
def test_a_time_limit_that_is_none_is_refused(verb: list[str], given: str, capsys: pytest.CaptureFixture[str]):
    """`nan` would end the wait at once, `inf` never."""
    assert run([*verb, "--wait", "--timeout", given]) == 2
    assert "--timeout" in capsys.readouterr().err


def test_a_report_may_not_replace_the_file_that_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The only list of what had to be paid would be gone."""
    sheet = tmp_path / "payments.csv"
    sheet.write_text("invoice_id,pay_system_id\n1,1\n")
    (tmp_path / "link.csv").symlink_to(sheet)
    for report in ("payments.csv", "./payments.csv", "link.csv"):
        assert run(["import", "payments.csv", "--portal", "acme", "--report", report]) == 2
    assert "replace" in capsys.readouterr().err
    assert sheet.read_text().startswith("invoice_id")


def test_an_empty_description_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Somebody forgot the pipe: "not JSON, line 1" would not tell that."""
    (tmp_path / "d.json").write_bytes(b" \n")
    assert run(["portal", "add", "acme", "--file", "d.json"]) == 2
    assert "d.json is empty" in capsys.readouterr().err


def test_an_error_is_one_json_object_with_json(capsys: pytest.CaptureFixture[str]):
    """Scripts read cause, next step and exit code from stderr."""
    assert run(["pay", "abc", "--portal", "acme", "--pay-system", "31", "--json"]) == 2
    out, err = capsys.readouterr()
    told = json.loads(err)
    assert out == ""
    assert told["exit_code"] == 2
    assert "invoice_id" in told["error"]
    assert told["next_step"]


def test_a_bad_configuration_is_told_with_all_problems(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Exit code 78, every problem in one go."""
    monkeypatch.setenv("B24PAY_LEASE_S", "soon")
    monkeypatch.setenv("B24PAY_COLOUR", "red")
    assert run(["stats"]) == 78
    err = capsys.readouterr().err
    for name in ("REDIS_URL", "B24PAY_LEASE_S", "B24PAY_COLOUR"):
        assert name in err


@pytest.mark.parametrize("arguments", [["stats"], ["list"], ["doctor"], ["watch"], ["portal", "list"]])
def test_an_unreachable_server_is_told_without_its_password(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Exit code 69 and a next step."""
    monkeypatch.setenv("REDIS_URL", "redis://:canary@127.0.0.1:1/0")
    assert run(arguments) == 69
    out, err = capsys.readouterr()
    assert "cannot be reached" in out + err
    assert "REDIS_URL" in out + err
    assert "canary" not in out + err


@pytest.mark.parametrize("typed", ["", "not json", "[]", '{"webhook": 1', "\ud800"])
def test_a_description_that_is_no_json_object_is_refused_without_being_repeated(
    typed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Exit code 2; what was typed may hold a secret and is not shown."""
    (tmp_path / "d.json").write_bytes((typed + "canary").encode("utf-8", "surrogatepass"))
    assert run(["portal", "add", "acme", "--file", "d.json"]) == 2
    out, err = capsys.readouterr()
    assert "canary" not in out + err
    assert "webhook" in err


def test_the_configuration_error_of_a_command_lists_each_problem():
    """The table of failures keeps every line."""
    from cli.failures import explained

    error = explained(ConfigurationError([Problem("A", "is wrong", "Mend A"), Problem("B", "is wrong", "Mend B")]))
    assert error.code == 78
    assert "Mend A" in error.cause
    assert "Mend B" in error.cause


def test_an_unknown_error_is_told_without_secrets():
    """Whatever was raised, the text is redacted and the exit code says: try again."""
    from cli.failures import explained

    error = explained(RuntimeError("POST https://acme.bitrix24.com/rest/1/c4n4ry/batch failed"))
    assert error.code == 75
    assert "c4n4ry" not in error.cause


def test_the_procfile_names_the_worker(tmp_path: Path):
    """The demonstration starts what the Procfile says, whatever that is."""
    assert command_of("worker") == [sys.executable, "-m", "worker"]
    (tmp_path / "Procfile").write_text("# a comment: no\nworker: run --this 'and that'\n\n")
    assert read_procfile(tmp_path / "Procfile") == {"worker": ["run", "--this", "and that"]}


def test_the_sample_knows_what_must_become_of_it():
    """Every row has an expected end."""
    sample = make_sample(("acme", "globex"))
    assert sum(sample.paid.values()) + sum(sample.failed.values()) == PAYMENTS
    assert len(sample.content.splitlines()) == 1 + PAYMENTS + 4 + 1


def test_a_portal_s_silence_is_told_in_plain_words():
    """Neither the method nor a missing code is an operator's business."""
    from bitrix24.errors import Fate, Meaning, NotSent
    from cli.failures import explained

    error = explained(NotSent("", "the connection was refused", meaning=Meaning(Fate.NOT_RUN), method="scope"))
    assert error.cause == "The portal did not answer: the connection was refused."
    assert error.code == 69


def test_examples_and_names_of_settings_stay_readable():
    """What was typed is redacted; our own words are not."""
    from bitrix24.portal import InvalidPortal, parse_portal
    from cli.failures import explained

    with pytest.raises(InvalidPortal) as raised:
        parse_portal("acme", {})
    assert "/rest/1/CODE/" in explained(raised.value).cause
    assert explained(raised.value).code == 2
    error = ConfigurationError([Problem("B24PAY_SECRET_KEYS", "key 1 of 1 is not a Fernet key", "Make one")])
    assert "key 1 of 1" in explained(error).cause
