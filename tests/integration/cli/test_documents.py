"""What verbs really print is held against their schemas: here those that no other test asks through a terminal."""

import json

import pytest

from cli.main import run
from tests.canaries import SECRET_KEY
from tests.integration.cli.conftest import Said, Terminal, hold_against_schema


@pytest.mark.parametrize(
    "rounds",
    [
        ["token create shop --role viewer --dry-run", "token create shop --role viewer", "token list"],
        ["token create shop --role viewer --expires 1d", "token revoke shop --dry-run", "token revoke shop", "audit"],
        ["callback secret shop.example --dry-run", "callback secret shop.example", "callback hosts"],
        ["callback secret shop.example", "callback secret shop.example --rotate", "callback hosts"],
        ["callback list", "callback resend evt_1"],
        ["parked", "parked list", "parked drop 1", "parked drop --all --dry-run"],
        ["keys rotate --dry-run", "keys rotate"],
        ["health", "doctor", "stats", "doubts", "doubts verify", "watch --count 1"],
        ["completion bash", "completion zsh", "completion fish"],
    ],
    ids=lambda rounds: rounds[0],
)
def test_documents_are_those_of_the_schemas(
    rounds: list[str], redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Every field is described and has its type; errors are an object of their own, on stderr."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("B24PAY_SECRET_KEYS", SECRET_KEY)
    monkeypatch.setenv("B24PAY_CALLBACK_HOSTS", "shop.example")
    for line in rounds:
        capsys.readouterr()
        code = run([*line.split(), "--json"])
        said = Said(code, *capsys.readouterr())
        hold_against_schema(line.split(), said)
        for told in said.err.splitlines():
            assert not told.startswith("{") or json.loads(told).keys() == {"error", "next_step", "exit_code"}


def test_changes_about_callbacks_are_on_record(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Who made a signing secret, and who sent again; never the secret, and no row for a dry run."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("B24PAY_SECRET_KEYS", SECRET_KEY)
    run(["callback", "secret", "shop.example", "--dry-run"])
    capsys.readouterr()
    assert run(["callback", "secret", "shop.example"]) == 0
    secret = capsys.readouterr().out.strip()
    assert run(["callback", "resend", "evt_1"]) == 1
    capsys.readouterr()
    assert run(["audit", "--json"]) == 0
    out = capsys.readouterr().out
    told = [(each["what"], each["subjects"], each["outcome"]) for each in map(json.loads, out.splitlines())]
    assert told == [
        ("callback.resend", ["evt_1"], "refused"),
        ("callback.secret", ["shop.example"], "done"),
    ]
    assert secret not in out


def test_what_is_paid_is_listed_in_the_form_of_the_schemas(terminal: Terminal):
    """The verbs about payments and portals, each through the terminal that holds them against their schemas."""
    portal = terminal.house.add_portal()
    for verb in ("check", "show", "hold", "resume"):
        assert terminal.json("portal", verb, portal.key).code == 0
    paid = terminal.json("pay", "2", "--portal", portal.key, "--pay-system", "1", "--wait", "--timeout", "30")
    assert paid.code == 0, paid.err
    assert terminal.json("portal", "list").documents
    assert terminal.json("audit").documents
    assert terminal.json("health").document["workers"]
    assert terminal.json(
        "import", terminal.file("p.csv", "invoice_id,pay_system_id\n3,1\nx,1\n"), "--portal", portal.key
    )
    assert terminal.json("list", "--portal", portal.key, "--limit", "0").documents
    assert terminal.json("portal", "remove", portal.key, "--dry-run").code in {0, 1}
