"""`b24pay portal`: nothing is stored that cannot be paid."""

import json
import socket

import pytest

from tests.house import EmulatedPortal
from tests.integration.cli.conftest import Terminal

SECRET = "emulator-secret"


def free_address(terminal: Terminal, number: int) -> str:
    """An emulated portal's address that no other test uses."""
    port = terminal.house.emulator.partition(":")[2]
    return f"127.9.{number}.1:{port}"


def webhook(authority: str, code: str = SECRET) -> str:
    """A description of a portal as an operator types it."""
    return json.dumps({"webhook": f"http://{authority}/rest/1/{code}/", "plan": "enterprise"})


def keys(terminal: Terminal) -> list[str]:
    """The keys that are stored."""
    return [each["key"] for each in terminal.json("portal", "list").documents]


def test_a_portal_is_checked_and_stored_from_stdin(terminal: Terminal):
    """The description comes on stdin, the portal is looked at live, and its secret is never shown."""
    said = terminal.feed(webhook(free_address(terminal, 1)), "portal", "add", "first", "--json")
    assert said.code == 0, said.err
    assert said.document["stored"]
    assert {"ok"} <= {finding["level"] for finding in said.document["findings"]}
    shown = terminal.json("portal", "show", "first")
    assert shown.document["plan"] == "enterprise"
    assert shown.document["limits"]["burst"] == 250
    assert shown.document["payments"]["queued"] == 0
    for words in (("portal", "list"), ("portal", "show", "first"), ("portal", "check", "first"), ("doctor",)):
        answer = terminal(*words)
        assert answer.code == 0, answer.err
        assert "first" in answer.out or words == ("doctor",)
        assert SECRET not in answer.out + answer.err


def test_a_wrong_webhook_is_not_stored(terminal: Terminal):
    """The portal refuses the code: exit code 1, a next step, nothing stored, nothing of the code shown."""
    path = terminal.file("d.json", webhook(free_address(terminal, 2), "wr0ng-c0de"))
    said = terminal("portal", "add", "wrong", "--file", path)
    assert said.code == 1
    assert "nothing was stored" in said.err
    assert "Next step" in said.err
    assert "wr0ng" not in said.out + said.err
    assert "wrong" not in keys(terminal)
    assert terminal("stats", "--portal", "wrong").code == 1


def test_an_unreachable_portal_is_not_stored_unless_the_check_is_waived(terminal: Terminal):
    """Exit code 69; --no-check stores what cannot be reached yet."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        path = terminal.file("d.json", webhook(f"127.0.0.1:{taken.getsockname()[1]}"))
    said = terminal("portal", "add", "faraway", "--file", path)
    assert said.code == 69
    assert "faraway" not in keys(terminal)
    assert terminal("portal", "add", "faraway", "--file", path, "--no-check").code == 0
    assert terminal.json("portal", "check", "faraway").code == 69
    assert terminal("portal", "remove", "faraway").code == 0


@pytest.mark.parametrize(
    "description",
    ["{}", '{"webhook": "ftp://x"}', '{"webhook": "https://acme.bitrix24.com/"}', '{"webhook": 1, "colour": "red"}'],
)
def test_a_description_that_is_no_portal_is_refused(terminal: Terminal, description: str):
    """Exit code 2, with every problem and an example."""
    said = terminal("portal", "add", "broken", "--file", terminal.file("d.json", description))
    assert said.code == 2
    assert "webhook" in said.err
    assert "broken" not in keys(terminal)


def test_a_new_credential_replaces_the_old_one_and_another_key_for_the_address_is_refused(terminal: Terminal):
    """One key per address: two lanes could pay the same invoice."""
    path = terminal.file("d.json", webhook(free_address(terminal, 3)))
    assert terminal("portal", "add", "original", "--file", path).code == 0
    assert terminal("portal", "add", "original", "--file", path).code == 0
    assert terminal.json("portal", "show", "original").document["version"] == 2
    second = terminal("portal", "add", "copy", "--file", path)
    assert second.code == 1
    assert "original" in second.err
    assert "copy" not in keys(terminal)


def test_a_dry_run_stores_nothing(terminal: Terminal):
    """Everything is checked, nothing is written."""
    path = terminal.file("d.json", webhook(free_address(terminal, 4)))
    assert terminal("portal", "add", "dry", "--file", path, "--dry-run").code == 0
    assert "dry" not in keys(terminal)
    portal = terminal.house.add_portal()
    assert terminal("portal", "hold", portal.key, "--dry-run").code == 0
    assert portal.held() is None
    assert terminal("portal", "remove", portal.key, "--dry-run").code == 0
    assert portal.key in keys(terminal)


def test_a_held_lane_keeps_its_payments_until_it_is_resumed(terminal: Terminal):
    """Hold, pay, see why it waits, resume, paid."""
    portal = terminal.house.add_portal()
    assert terminal("portal", "hold", portal.key, "--because", "audit").code == 0
    waiting = terminal("pay", "5", "--portal", portal.key, "--pay-system", "1", "--wait")
    assert waiting.code == 75
    assert "audit" in waiting.err
    assert f"portal resume {portal.key}" in waiting.err
    assert terminal("portal", "remove", portal.key).code == 1
    assert terminal.json("portal", "resume", portal.key).document == {
        "key": portal.key,
        "held": False,
        "was_held": True,
    }
    assert terminal("pay", "5", "--portal", portal.key, "--pay-system", "1", "--wait").code == 0
    assert portal.tally.effects == 1
    assert terminal("portal", "remove", portal.key).code == 0
    assert portal.key not in keys(terminal)


def test_a_portal_that_is_not_there_is_refused(terminal: Terminal):
    """Every verb says so with exit code 1 and a next step."""
    for verb in ("show", "check", "hold", "resume", "remove"):
        said = terminal("portal", verb, "nobody")
        assert said.code == 1, verb
        assert "no portal" in said.out + said.err
        assert "portal list" in said.out + said.err


def test_a_check_of_many_goes_on_after_one_that_cannot_be_looked_at(terminal: Terminal):
    """An unknown key is told in its place; the others are looked at."""
    portal = terminal.house.add_portal()
    said = terminal.json("portal", "check", "nobody", portal.key)
    assert said.code == 1
    assert [each["usable"] for each in said.documents] == [False, True]
    assert "portal add nobody" in said.documents[0]["error"]


def test_a_key_that_was_rotated_away_is_told(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    """Exit code 78 and what to set; showing and holding need no key."""
    portal = terminal.house.add_portal()
    monkeypatch.setenv("B24PAY_SECRET_KEYS", "A" * 43 + "=")
    said = terminal("portal", "check", portal.key)
    assert said.code == 78
    assert "B24PAY_SECRET_KEYS" in said.out
    assert terminal("portal", "show", portal.key).code == 0


def test_a_moved_portal_is_told_how_to_move(terminal: Terminal):
    """Another address under a known key: the switch is named, and it works."""
    path = terminal.file("d.json", webhook(free_address(terminal, 5)))
    assert terminal("portal", "add", "moving", "--file", path).code == 0
    path = terminal.file("d.json", webhook(free_address(terminal, 6)))
    said = terminal("portal", "add", "moving", "--file", path)
    assert said.code == 1
    assert "--moved" in said.err
    assert terminal("portal", "add", "moving", "--file", path, "--moved").code == 0


def application(terminal: Terminal, number: int, **oauth: object) -> tuple[EmulatedPortal, str]:
    """A portal with an installed application, and what an operator types for it."""
    portal = EmulatedPortal(terminal.house, f"app{number}", free_address(terminal, number))
    return portal, json.dumps(portal.ask(lambda emulator, name: emulator.credential(name, **oauth)))


def test_an_application_is_checked_and_stored(terminal: Terminal):
    """Its tokens are used as they are, stored sealed, and shown nowhere."""
    portal, description = application(terminal, 60)
    said = terminal.feed(description, "portal", "add", portal.key, "--json")
    assert said.code == 0, said.err
    shown = terminal.json("portal", "show", portal.key).document
    assert (shown["credential"], shown["user_id"]) == ("application", None)
    secrets = [value for name, value in json.loads(description).items() if "token" in name or "secret" in name]
    for words in (("portal", "list"), ("portal", "show", portal.key), ("portal", "check", portal.key)):
        answer = terminal(*words)
        assert answer.code == 0, answer.err
        assert not [secret for secret in secrets if secret in answer.out + answer.err]


def test_tokens_that_have_run_out_are_renewed_and_kept(terminal: Terminal):
    """When a portal is added and when it is checked; what is renewed is stored, for the old ones are worth nothing."""
    portal, description = application(terminal, 61, rotation="one_time", token_cache_s=0)
    for words in (("add", portal.key), ("check", portal.key), ("check", portal.key)):
        portal.ask(lambda emulator, name: emulator.expire(name))
        said = terminal.feed(description if "add" in words else "", "portal", *words)
        assert said.code == 0, said.err
    assert portal.ask(lambda emulator, name: emulator.token_counters(name)).refreshed == 3


def test_a_dry_run_renews_nothing(terminal: Terminal):
    """It would use up the refresh token."""
    portal, description = application(terminal, 62)
    portal.ask(lambda emulator, name: emulator.expire(name))
    said = terminal.feed(description, "portal", "add", portal.key, "--dry-run")
    assert said.code == 1
    assert "EXPIRED_TOKEN" in said.err
    assert portal.ask(lambda emulator, name: emulator.token_counters(name)).requests == 0


def test_an_application_that_may_not_pay_keeps_its_renewed_tokens(terminal: Terminal):
    """The message says so, and what to do."""
    portal, description = application(terminal, 63, scopes=["crm"])
    portal.ask(lambda emulator, name: emulator.expire(name))
    said = terminal.feed(description, "portal", "add", portal.key)
    assert said.code == 1
    assert "renewed tokens were stored" in said.err
    assert "pay_system" in said.err
    assert portal.key in keys(terminal)


def test_a_dead_refresh_token_is_not_stored(terminal: Terminal):
    """Exit code 1, and the next step is an installation."""
    portal, description = application(terminal, 64)
    portal.ask(lambda emulator, name: emulator.revoke(name))
    said = terminal.feed(description, "portal", "add", portal.key)
    assert said.code == 1
    assert "Install the application again" in said.err
    assert portal.key not in keys(terminal)
