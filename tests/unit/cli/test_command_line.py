"""How `b24pay` begins and ends, as far as that needs no server."""

import json
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
    assert command_of("worker")[0] == "celery"
    (tmp_path / "Procfile").write_text("# a comment: no\nworker: run --this 'and that'\n\n")
    assert read_procfile(tmp_path / "Procfile") == {"worker": ["run", "--this", "and that"]}


def test_the_sample_knows_what_must_become_of_it():
    """Every row has an expected end."""
    sample = make_sample(("acme", "globex"))
    assert sum(sample.paid.values()) + sum(sample.failed.values()) == PAYMENTS
    assert len(sample.content.splitlines()) == 1 + PAYMENTS + 4 + 1
