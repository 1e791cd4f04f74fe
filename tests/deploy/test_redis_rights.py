"""What deploy/redis/users.acl grants and refuses, on a real server (test_redis_roles.py does a day's work)."""

from collections.abc import Iterator

import pytest
import redis

from cli.failures import explained
from cli.main import run
from config.connections import redis_client
from ledger.redis.scripts import PREFIX, load_scripts
from tests.canaries import SECRET_KEY
from tests.deploy.redis_roles import (
    OPERATOR,
    PRODUCER,
    ROLES,
    STEPS,
    USERS,
    WEB,
    WORKER,
    RoleServer,
    a_role_server,
    reached,
    refused,
    rights,
)

# Nobody's business but the administrator's.
DANGEROUS = (
    ("FLUSHALL",), ("FLUSHDB",), ("KEYS", "*"), ("SCAN", "0"), ("RANDOMKEY",), ("CONFIG", "GET", "*"), ("SAVE",),
    ("CONFIG", "SET", "appendonly", "no"), ("SCRIPT", "FLUSH"), ("FUNCTION", "LIST"), ("ACL", "LIST"), ("ACL", "LOG"),
    ("SHUTDOWN",), ("MONITOR",), ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"),
    ("REPLICAOF", "NO", "ONE"), ("MIGRATE", "h", "1", "k", "0", "1"), ("RENAME", "a", "b"), ("SORT", "a"),
    ("SWAPDB", "0", "1"), ("DUMP", "payments"), ("COPY", "a", "b"),
)  # fmt: skip
_SECRET = ("portals", "doors", "tokens", "token_names", "callback_secrets", "audit")
_READ = {"audit": ("XREVRANGE", "+", "-")}
# Which of the secret keys a role may read: a worker pays by the credentials; the web process knows tokens by hashes,
# and shows the audit.
READABLE = {
    PRODUCER: set(),
    WORKER: {"portals", "callback_secrets"},
    WEB: {"portals", "doors", "tokens", "audit"},
    OPERATOR: set(_SECRET),
}


@pytest.fixture(scope="module")
def server() -> Iterator[RoleServer]:
    """A server with the file's users."""
    with a_role_server() as server:
        yield server


def test_a_user_without_a_password_comes_in_nowhere():
    """The file as it stands opens no door: every user waits for a password, and the default user is off."""
    told = rights()
    assert told["default"][0] == "off"
    assert all("resetpass" in rules and "nopass" not in rules for rules in told.values())
    assert not any(rule.startswith((">", "#")) for rules in told.values() for rule in rules), USERS


@pytest.mark.parametrize("role", ROLES)
def test_every_step_of_a_role_is_granted_whole(role: str):
    """A new command in a step shows here; refused in its middle a step would have written its first half."""
    granted = {rule[1:] for rule in rights()[role] if rule.startswith("+")}
    for step in STEPS[role]:
        lacks = " ".join(f"+{each}" for each in sorted(reached(step) - granted))
        assert not lacks, f"ledger/redis/lua/{step}.lua: add {lacks} to {role} in deploy/redis/users.acl"


def test_every_step_is_somebodys():
    """A new step is written into STEPS for whoever runs it."""
    assert set(load_scripts()) == {step for steps in STEPS.values() for step in steps}


@pytest.mark.parametrize("role", ROLES)
def test_nobody_may_do_what_harms_the_server(server: RoleServer, role: str):
    """No command of an administrator's, and no look at all keys."""
    with redis_client(server.url_of(role), decode_responses=True) as client:
        assert [command for command in DANGEROUS if not refused(client, *command)] == []


@pytest.mark.parametrize("role", ROLES)
def test_secrets_are_read_by_those_who_need_them(server: RoleServer, role: str):
    """Neither directly nor by a script of one's own."""
    with redis_client(server.url_of(role), decode_responses=True) as client:
        for key in _SECRET:
            name = PREFIX + key
            verb, *rest = _READ.get(key, ("HGETALL",))
            may = not refused(client, verb, name, *rest)
            assert may == (key in READABLE[role]), key
            by_script = not refused(client, "EVAL", "return redis.call(unpack(ARGV))", "0", verb, name, *rest)
            assert not (by_script and not may), key


@pytest.mark.parametrize("role", ROLES)
def test_the_keys_of_others_are_out_of_reach(server: RoleServer, role: str):
    """Another application's on the same server, and another queue's."""
    with redis_client(server.url_of(role), decode_responses=True) as client:
        for key in ("somebody-elses", "celery", "b24pay:{1}:lanes"):
            assert refused(client, "SET", key, "1"), key
            assert refused(client, "GET", key), key


def test_a_producer_reads_no_messages_and_a_web_process_sends_none(server: RoleServer):
    """What stands in the queue is not its sender's to look at; nothing but producers puts messages there."""
    with redis_client(server.url_of(PRODUCER), decode_responses=True) as producer:
        producer.lpush("payments", "x")
        assert refused(producer, "LRANGE", "payments", "0", "-1")
        assert refused(producer, "EVAL", "return redis.call('RPOP', 'payments')", "0")
        assert refused(producer, "DEL", PREFIX + "lanes")
    for role in (WEB, OPERATOR):
        with redis_client(server.url_of(role), decode_responses=True) as client:
            assert refused(client, "LPUSH", "payments", "x")
            assert client.llen("payments") == 1


def test_the_file_is_read_by_the_server_as_it_stands(server: RoleServer):
    """No rule was dropped or is unknown to the server."""
    with redis_client(server.url, decode_responses=True) as admin:
        for role in ROLES:
            told = admin.acl_getuser(role)
            wanted = rights()[role]
            assert sorted(told["commands"]) == sorted(rule for rule in wanted if rule.startswith("+"))
            assert len(told["keys"]) == sum("~" in rule for rule in wanted)


def test_a_command_says_what_its_user_may_not_do(
    server: RoleServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Exit code 78; user, right and file are named, and that repeating it is safe."""
    monkeypatch.setenv("B24PAY_SECRET_KEYS", SECRET_KEY)
    for role, words in ((WORKER, ("token", "create", "ops", "--role", "viewer")), (PRODUCER, ("doctor",))):
        monkeypatch.setenv("REDIS_URL", server.url_of(role))
        assert run(words) == 78
        said = " ".join("".join(capsys.readouterr()).split())
        assert "Redis does not let the user" in said
        assert "deploy/redis/users.acl" in said
        assert "b24pay-operator" in said


def test_a_refusal_in_the_middle_of_a_step_is_told_like_any_other():
    """Redis reports it as an error of the script, without the code NOPERM."""
    told_by_redis = "User b24pay-web has no permissions to run the 'zscan' command"
    text = f"ACL failure in script: {told_by_redis} script: 5f, on @user_script:9."
    told = explained(redis.exceptions.ResponseError(text))
    assert (told.code, "b24pay-web" in told.cause, "'zscan'" in told.cause) == (78, True, True)
