"""`b24pay token`: made once and shown once, listed, revoked; and the audit tells of it."""

import json
from typing import Any

import pytest

from access.gate import Gate, NotAdmitted
from access.tokens import Tokens
from tests.canaries import SEARCH
from tests.integration.access.conftest import Said, Terminal

FIELDS = {
    "id",
    "name",
    "role",
    "portals",
    "callback",
    "state",
    "created_at",
    "expires_at",
    "revoked_at",
    "last_used_at",
}


def token_of(said: Said) -> str:
    """The one line on stdout; from now on it is looked for everywhere else."""
    assert said.code == 0, said.err
    [text] = said.out.splitlines()
    SEARCH.plant("bearer token", text.split("_")[2])
    return text


async def test_a_token_is_shown_once_on_stdout_and_works(terminal: Terminal, redis: Any):
    """So that `TOKEN=$(b24pay token create ...)` is all a script needs; what to do with it stands on stderr."""
    said = terminal("token", "create", "ops", "--role", "operator")
    text = token_of(said)
    token = await Gate(Tokens(redis)).admit(text)
    assert (token.name, token.role, token.portals, token.expires_at) == ("ops", "operator", None, None)
    assert "only time" in said.err
    assert "until it is revoked" in said.err
    for command in (["token", "list"], ["audit"], ["token", "revoke", "ops"]):
        for form in ([], ["--json"]):
            told = terminal(*command, *form)
            assert told.code == 0
            assert text.split("_")[2] not in told.out + told.err


async def test_a_token_may_be_limited_in_portals_and_time(terminal: Terminal, redis: Any, acme: str):
    """As a document for scripts, whose fields are these."""
    said = terminal.json("token", "create", "shop", "--role", "producer", "--portal", acme, "--expires", "90d")
    assert said.code == 0, said.err
    document = said.document
    SEARCH.plant("bearer token", document["token"].split("_")[2])
    assert document.keys() == {*FIELDS, "created", "token"}
    assert (document["portals"], document["state"], document["created"]) == ([acme], "usable", True)
    [token] = await Tokens(redis).list()
    assert token.expires_at is not None
    assert round(token.expires_at - token.created_at) == 90 * 86_400
    listed = terminal.json("token", "list").document
    assert listed == {name: document[name] for name in FIELDS}


async def test_a_revoked_token_is_refused_and_listed(terminal: Terminal, redis: Any):
    """By name or id; twice is no error, and a name that nobody has is one."""
    text = token_of(terminal("token", "create", "shop", "--role", "viewer"))
    token_id = text.split("_")[1]
    assert terminal.json("token", "revoke", token_id, "--dry-run").document["state"] == "usable"
    assert terminal.json("token", "revoke", "shop").document["state"] == "revoked"
    again = terminal.json("token", "revoke", token_id)
    assert (again.code, again.document["was_revoked"]) == (0, True)
    with pytest.raises(NotAdmitted):
        await Gate(Tokens(redis)).admit(text)
    assert [each["state"] for each in terminal.json("token", "list").documents] == ["revoked"]
    unknown = terminal("token", "revoke", "nobody")
    assert (unknown.code, unknown.out) == (1, "")
    assert "token list" in unknown.err


async def test_dry_runs_change_nothing_and_refuse_the_same(terminal: Terminal, redis: Any):
    """No token, no row of the audit."""
    said = terminal.json("token", "create", "shop", "--role", "viewer", "--dry-run")
    assert said.document == {"name": "shop", "role": "viewer", "portals": None, "callback": None, "created": False}
    assert await redis.keys("*token*") == []
    assert await redis.exists("b24pay:{0}:audit") == 0
    token_of(terminal("token", "create", "shop", "--role", "viewer"))
    for dry in ([], ["--dry-run"]):
        taken = terminal("token", "create", "shop", "--role", "viewer", *dry)
        assert taken.code == 1
        assert "called shop already" in taken.err
        nowhere = terminal("token", "create", "b", "--role", "viewer", "--portal", "nowhere", *dry)
        assert nowhere.code == 1
        assert "portal list" in nowhere.err
    assert len(await Tokens(redis).list()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "shop"],
        ["create", "shop", "--role", "admin"],
        ["create", "a b", "--role", "viewer"],
        ["create", "", "--role", "viewer"],
        ["create", "x" * 64, "--role", "viewer"],
        ["create", "0123456789ab", "--role", "viewer"],
        ["create", "shop", "--role", "viewer", "--expires", "soon"],
        ["create", "shop", "--role", "viewer", "--expires", "0d"],
        ["create", "shop", "--role", "viewer", "--expires", "90"],
        ["create", "shop", "--role", "viewer", "--expires", "-1d"],
        ["create", "shop", "--role", "viewer", "--expires", "99999999999d"],
        ["revoke"],
    ],
)
def test_wrong_usage_is_told(arguments: list[str], terminal: Terminal):
    """Exit code 2, a cause and a next step."""
    said = terminal("token", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Error: ")
    assert "Next step: " in said.err


@pytest.mark.parametrize("verb", ["create", "revoke"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_token_on_the_command_line_is_refused_and_not_repeated(verb: str, form: list[str], terminal: Terminal):
    """It stands in the shell's history by then, and should be revoked."""
    options = ["--role", "viewer"] if verb == "create" else []
    said = terminal("token", verb, "b24t_0123456789ab_" + "f4" * 32, *options, *form)
    assert said.code == 2
    assert "f4f4" not in said.out + said.err
    assert "0123456789ab" in said.err


def test_help_has_examples(terminal: Terminal):
    """Each page shows how it is used."""
    for command in (["token"], ["token", "create"], ["token", "list"], ["token", "revoke"], ["audit"]):
        said = terminal(*command, "--help")
        assert said.code == 0
        assert "Example" in said.out
        assert f"b24pay {' '.join(command)}" in said.out


async def test_tables_for_people(terminal: Terminal, redis: Any, acme: str):
    """What is shown without --json."""
    assert "No tokens yet" in terminal("token", "list").out
    assert "Nothing was changed" in terminal("audit").out
    token_of(terminal("token", "create", "shop", "--role", "viewer", "--portal", acme))
    shown = terminal("token", "list").out
    assert all(word in shown for word in ("shop", "viewer", "acme", "usable"))
    shown = terminal("audit").out
    assert all(word in shown for word in ("token.create", "shop", "done", "cli"))
    assert json.loads(terminal.json("audit").out)["after"]["portals"] == [acme]
