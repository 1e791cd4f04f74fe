"""Secrets stay inside: worker and terminal meet every exception there is, and the search behind all tests bites."""

import base64
import io
import json
import logging
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from cli.main import run
from config.connections import redis_client
from config.logging import configure_logging
from config.settings import Settings
from emulator.oauth import TOKEN_MARK
from tests.canaries import REDIS_PASSWORD, SECRET_KEY, SLOTS, WEBHOOK_CODE, Search, spellings
from tests.eventually import eventually_sync
from tests.house import ROOT, EmulatedPortal, House, Worker, a_house
from tests.raising.kinds import MODULES, PLAIN, kinds, name_of, special
from tests.raising.raiser import BODIES, HTTP, LEDGER, MESSAGES, SERIES
from tests.sinks import GuardedServer, verdict, watched

WEBHOOK = f"http://127.0.0.1/rest/1/{WEBHOOK_CODE}/batch"
REDIS = f"redis://:{REDIS_PASSWORD}@127.0.0.1:1/0"
TOKEN = f"{TOKEN_MARK:a<70}"
FORM = f"grant_type=refresh_token&client_secret={SLOTS['client secret']}&refresh_token={TOKEN}"
INSTALL = f"auth[application_token]={SLOTS['application token']}"
BEARER = f"b24t_0123456789ab_{SLOTS['bearer token']}"
LEAKING = (
    f"cannot open {WEBHOOK} over {REDIS} (password={REDIS_PASSWORD}) with {SECRET_KEY!r}, "
    f"Authorization: Bearer {TOKEN}, {TOKEN}, {FORM}, {INSTALL}, {quote(FORM)}, {quote(INSTALL)}, {BEARER}"
)
EVERY = {name_of(kind): kind for family in MODULES for kind in kinds(family)} | {name_of(kind): kind for kind in PLAIN}
WITHIN_S = 90


@pytest.fixture
def search() -> Search:
    """A search of a test's own, whose hits are its own as well."""
    return Search()


@pytest.fixture
def house() -> Iterator[House]:
    """A house for one test: what happens to its worker is nobody else's."""
    with a_house() as house:
        yield house


def raising_worker(house: House, directory: Path) -> Worker:
    """A worker that will meet what a test begins."""
    path = f"{ROOT / 'tests' / 'raising'}:{ROOT}"
    return house.start_worker(RAISE_IN=str(directory), PYTHONPATH=path, B24PAY_LOG_LEVEL="debug")


def begin(directory: Path, series: str) -> Callable[[], bool]:
    """Let a series begin; whether every class of it was raised."""
    raised = directory / series
    raised.mkdir()
    wanted = {name_of(kind) for kind in SERIES[series]}
    return lambda: {each.name for each in raised.iterdir()} == wanted


def pay(house: House, portal: EmulatedPortal, invoices: range) -> None:
    """Send payments as somebody else's service does."""
    celery = house.celery()
    for number in invoices:
        fields = {"portal": portal.key, "invoice_id": number, "pay_system_id": 1}
        celery.send_task("tasks.pay_invoice", kwargs=fields, queue="payments")


def look_at(house: House, search: Search, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every sink of a house: logs, all that ever was in Redis, what every command tells, what everybody sees."""
    for name, value in house.environment.items():
        monkeypatch.setenv(name, value)
    verbs = [
        "list",
        "stats",
        "doctor",
        "doubts",
        "parked",
        "portal list",
        "keys rotate --dry-run",
        "token list",
        "audit",
        "portal show portal-1",
    ]
    capsys.readouterr()
    for verb in verbs:
        for options in ([], ["--json"]):
            run([*verb.split(), *options])
            search.text(f"b24pay {verb}", "".join(capsys.readouterr()))
    search.directory(house.directory)
    search.directory(house.server.directory, leaving_out=["password.conf"])
    search.command_lines()
    verdict(search)


def resumed(portal: EmulatedPortal) -> EmulatedPortal:
    """A certificate that was not accepted, say, is for a person to mend."""
    if portal.held():
        portal.resume()
    return portal


def test_every_exception_on_the_way_to_a_portal(
    house: House, search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each class of aiohttp and of what it stands on, with the webhook in it: nothing shows it, and all is paid."""
    worker = raising_worker(house, tmp_path)
    portals = [house.add_portal() for _ in range(30)]
    all_met = begin(tmp_path, HTTP)
    for portal in portals:
        pay(house, portal, range(1, 3))
    eventually_sync(all_met, within_s=WITHIN_S)
    for portal in portals:
        eventually_sync(lambda: resumed(portal).counts()["paid"] == 2, within_s=WITHIN_S)  # noqa: B023 - waited for here
    assert worker.never_died()
    assert [portal.tally.repeats for portal in portals] == [0] * len(portals)
    look_at(house, search, monkeypatch, capsys)


def test_every_exception_of_the_ledger_and_the_broker(
    house: House, search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each class of redis-py, Celery, kombu and billiard in steps, messages and bodies, with all secrets in it."""
    raising_worker(house, tmp_path)
    portal = house.add_portal()
    pay(house, portal, range(1, 3))
    eventually_sync(lambda: portal.counts()["paid"] == 2)
    ledger, messages = begin(tmp_path, LEDGER), begin(tmp_path, MESSAGES)
    bodies = begin(tmp_path, BODIES)
    celery = house.celery()
    number = 10

    def all_met() -> bool:
        nonlocal number
        number += 1
        pay(house, portal, range(number, number + 1))
        items = [{"invoice_id": 10_000 + number, "pay_system_id": 1, "task_id": str(uuid.uuid4())}]
        celery.send_task("tasks.pay_invoices", kwargs={"portal": portal.key, "payments": items}, queue="payments")
        return ledger() and messages() and bodies()

    eventually_sync(all_met, within_s=WITHIN_S)
    pay(house, portal, range(9000, 9001))
    resumed(portal)
    eventually_sync(lambda: not portal.counts()["queued"])
    look_at(house, search, monkeypatch, capsys)


@pytest.mark.parametrize("name", EVERY)
def test_a_command_that_ends_in_an_exception(
    name: str, search: Search, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever reaches the edge of the terminal becomes a cause and a next step without a secret."""

    def fail(work: Coroutine[Any, Any, int]) -> None:
        work.close()
        raise special(EVERY[name], LEAKING, WEBHOOK)

    # In this order: the module is imported here, and must not find the other one changed already.
    monkeypatch.setattr("cli.watching.run", fail)
    monkeypatch.setattr("cli.session.run", fail)
    for options in ([], ["--json"]):
        assert run(["stats", *options]) != 0 or EVERY[name] is BrokenPipeError  # its reader has gone: no error
        assert search.text(name, "".join(capsys.readouterr())) == []


def chained(behind: Exception) -> None:
    """Raise an error that stands in front of another and repeats it."""
    raise RuntimeError(f"behind: {behind!r}") from behind


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_line_about_an_exception(
    style: str, search: Search, a_settings: Callable[..., Settings], restored_logging: None
) -> None:
    """As an argument, in the text, with its traceback and what stands behind it; ours and every library's."""
    stream = io.StringIO()
    configure_logging(a_settings(B24PAY_LOG_FORMAT=style, B24PAY_LOG_LEVEL="debug"), stream=stream)
    for name, kind in EVERY.items():
        try:
            chained(special(kind, LEAKING, WEBHOOK))
        except RuntimeError as error:
            text = f"it failed: {error}, {error.__cause__}"
            logging.getLogger("celery.worker").exception("failed: %s %r", text, error.__cause__)
            structlog.get_logger("b24pay").exception(text, cause=error.__cause__, args=[text, error])
        assert search.text(name, stream.getvalue()) == [], name
        stream.seek(0)
        stream.truncate()


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """The logging of the test process afterwards is what it was."""
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)


# What follows proves that the search finds what it is for.


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_a_secret_is_found_plain_and_packed(slot: str, before: str, search: Search) -> None:
    """In the middle of other text, as base64 wherever it begins, and across the parts of a large file."""
    text = f'{before}{SLOTS[slot]}", and more'
    assert search.text("here", text) == [slot]
    assert search.text("here", base64.b64encode(text.encode())) == [slot]
    assert search.text("here", base64.urlsafe_b64encode(text.encode())) == [slot]
    assert search.text("here", SLOTS[slot][1:]) == []
    assert all(slot in hit for hit in search.hits)


def test_a_hit_is_told_without_the_secret(search: Search) -> None:
    """Place and slot, and the session fails."""
    search.text("a log", SECRET_KEY)
    with pytest.raises(pytest.fail.Exception) as caught:
        verdict(search)
    assert "secret key in a log" in str(caught.value)
    assert SECRET_KEY[:20] not in str(caught.value)
    verdict(Search())


def test_a_new_slot_is_one_line(search: Search) -> None:
    """A secret that is made while tests run is looked for from then on."""
    assert search.text("here", "t0ken-of-today") == []
    search.plant("access token", "t0ken-of-today")
    assert search.text("here", "t0ken-of-today") == ["access token"]


def test_a_large_file_is_read_in_parts(search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret on the border of two parts is found; a file that hands a secret in is not looked at."""
    monkeypatch.setattr("tests.canaries._AT_ONCE", 100)
    for border in range(60, 101):
        path = tmp_path / f"{border}.log"
        path.write_text("." * border + WEBHOOK_CODE + "." * 300)
        assert "webhook code" in search.file(path), border
    given = search.allow(path)
    assert search.file(given) == []
    for each in tmp_path.iterdir():
        each.unlink()  # the session's own search comes here as well


def planted(search: Search) -> dict[str, Callable[[Path], Any]]:
    """A leak in every kind of sink; each is given a directory of its own."""
    packed = base64.b64encode(json.dumps([[], {"portal": WEBHOOK}, {}]).encode()).decode()

    def in_redis(command: Callable[[Any], object]) -> Callable[[Path], None]:
        def leak(_: Path) -> None:
            server = GuardedServer()
            server.search = search
            server.start()
            with redis_client(server.url, decode_responses=True) as client:
                command(client)
                client.flushall()
            server.stop()

        return leak

    def output(*command: str) -> Callable[[Path], object]:
        with_secret = "import sys; sys.stdin.read()"
        return lambda _: subprocess.run(
            [sys.executable, "-c", command[0] or with_secret, *command[1:]],
            input=SECRET_KEY,
            text=True,
            capture_output=True,
            check=False,
        )

    return {
        "a value": in_redis(lambda client: client.set("a", LEAKING)),
        "a name": in_redis(lambda client: client.set(SECRET_KEY, "a")),
        "a field that was deleted": in_redis(
            lambda client: (client.hset("a", WEBHOOK, "b"), client.hdel("a", WEBHOOK))
        ),
        "a message": in_redis(lambda client: client.lpush("payments", json.dumps({"body": packed}))),
        "a result": in_redis(
            lambda client: client.set("celery-task-meta-1", json.dumps({"result": {"exc_message": [WEBHOOK]}}))
        ),
        "stdout": output("import sys; print(sys.stdin.read())"),
        "stderr": output("import sys; sys.stderr.write(sys.stdin.read())"),
        "a traceback": output("import sys; raise ValueError(sys.stdin.read())"),
        "argv": output("pass", f"--key={SECRET_KEY}"),
        "a log": lambda directory: (directory / "worker.log").write_text(LEAKING),
        "a chaos report": lambda directory: (directory / "report.json").write_text(json.dumps({"fault": WEBHOOK})),
        "a file's name": lambda directory: (directory / SECRET_KEY).touch(),
    }


@pytest.mark.parametrize("sink", planted(Search()))
def test_a_planted_leak_is_found(sink: str, search: Search) -> None:
    """In whatever left the process, without the test's doing more than tests do."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        # The session's own watch stands outside of this one and would find the leak as well, as it should.
        patch.setattr("tests.canaries.SEARCH.hits", {})
        with watched(search):
            planted(search)[sink](Path(name))
        search.directory(Path(name))
    assert search.hits, sink


def test_what_a_command_says_in_this_process_is_seen(search: Search, capsys: pytest.CaptureFixture[str]) -> None:
    """The terminal of most tests is pytest's own capture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.canaries.SEARCH.hits", {})
        with watched(search):
            print(WEBHOOK)
            capsys.readouterr()
    assert list(search.hits)


def test_a_child_s_command_line_is_seen(search: Search) -> None:
    """Also of a process that a process of ours started."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()', sys.argv[1][::-1]])"
    with subprocess.Popen([sys.executable, "-c", code, WEBHOOK_CODE[::-1]], stdin=subprocess.PIPE) as process:
        eventually_sync(search.command_lines)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
    assert list(search.hits)
    assert spellings("abc") >= {b"abc", b"YWJj"}
