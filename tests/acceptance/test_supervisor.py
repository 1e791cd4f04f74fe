"""The small parent of a worker: whatever ends the worker, another one works; whatever ends the parent, none is left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.bin.worker import Hostname

from tests.eventually import eventually_sync
from tests.house import ROOT, House, Worker, a_house
from worker.supervisor import LONGEST_PAUSE_S, node_name, pause_after

SUPERVISE = (
    "import sys; from worker.supervisor import Supervisor;"
    "sys.exit(Supervisor(sys.argv[2:], stop_within_s=float(sys.argv[1])).run())"
)
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
POLITE = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[1])));"
    "print('up', flush=True); time.sleep(60)"
)


class Parent:
    """A supervisor over a child that does what a test wants."""

    def __init__(self, log: Path, *child: str, stop_within_s: float = 20) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISE, str(stop_within_s), sys.executable, "-c", *child],
                cwd=ROOT,
                stdout=out,
                start_new_session=True,
            )

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its lines about this event; lines of the child are not JSON."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def lives(self) -> int:
        """How often the child has come up."""
        return self.log.read_text().splitlines().count("up")


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[..., Parent]]:
    """Start supervisors that are gone after the test, with everything they started."""
    parents: list[Parent] = []

    def start(*child: str, **options: float) -> Parent:
        parents.append(Parent(tmp_path / f"{len(parents)}.log", *child, **options))
        return parents[-1]

    yield start
    for each in parents:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("raise SystemExit(1)", "exit code 1; the lines before this one say why"),
        ("raise SystemExit(0)", "it stopped without having been asked to by its supervisor"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
    ],
)
def test_a_child_that_ends_unasked_is_started_again(parent: Callable[..., Parent], code: str, cause: str) -> None:
    """Each end is one line with its cause, and the pauses grow."""
    supervisor = parent(code)
    eventually_sync(lambda: len(supervisor.events("worker.restarted")) >= 3)
    restarted = supervisor.events("worker.restarted")[:3]
    assert [line["cause"] for line in restarted] == [cause] * 3
    assert [line["pause_s"] for line in restarted] == [0.1, 0.2, 0.4]
    assert {line["level"] for line in restarted} == {"error"}


@pytest.mark.parametrize("code", [78, 2])
def test_what_no_new_start_can_mend_is_passed_on(parent: Callable[..., Parent], code: int) -> None:
    """A bad configuration and a wrong command line are told to whoever started the worker."""
    supervisor = parent(f"raise SystemExit({code})")
    assert supervisor.process.wait(20) == code
    assert (len(supervisor.events("worker.started")), supervisor.events("worker.restarted")) == (1, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("code", [0, 3])
def test_a_stop_is_passed_down_and_the_exit_code_up(
    parent: Callable[..., Parent], number: signal.Signals, code: int
) -> None:
    """The child decides whether it was a clean stop."""
    supervisor = parent(POLITE, str(code))
    eventually_sync(supervisor.lives)
    supervisor.process.send_signal(number)
    assert supervisor.process.wait(20) == code
    assert supervisor.lives() == 1


def test_a_child_that_does_not_stop_is_killed(parent: Callable[..., Parent]) -> None:
    """After its time a stop is a SIGKILL, and the exit code says so."""
    supervisor = parent(STUBBORN, stop_within_s=0.2)
    eventually_sync(supervisor.lives)
    supervisor.process.terminate()
    assert supervisor.process.wait(20) == 128 + signal.SIGKILL
    assert len(supervisor.events("worker.overdue")) == 1


def test_a_hangup_renews_the_child(parent: Callable[..., Parent]) -> None:
    """SIGHUP ends the child in order and starts another at once; that is no failure."""
    supervisor = parent(POLITE, "0")
    for life in (1, 2):
        eventually_sync(lambda life=life: supervisor.lives() == life)
        supervisor.process.send_signal(signal.SIGHUP)
    eventually_sync(lambda: supervisor.lives() == 3)
    assert supervisor.events("worker.restarted") == []
    supervisor.process.terminate()
    assert supervisor.process.wait(20) == 0


def test_a_stop_between_two_lives_starts_no_third(parent: Callable[..., Parent]) -> None:
    """A supervisor that waits for its next try stops as quickly as any other."""
    supervisor = parent("raise SystemExit(1)")
    eventually_sync(lambda: len(supervisor.events("worker.restarted")) >= 4)
    supervisor.process.terminate()
    assert supervisor.process.wait(20) == 0


def test_pauses_are_short_and_bounded() -> None:
    """However often a worker fails, the next try is near: Redis may be back by then."""
    assert [pause_after(failures) for failures in (1, 2, 3, 6, 7, 5000)] == [0.1, 0.2, 0.4, 2.0, 2.0, 2.0]
    assert LONGEST_PAUSE_S < 5


def test_workers_get_names_of_their_own() -> None:
    """Containers that share a host name and a process id do not share a node name; a given one is kept."""
    assert node_name([]) != node_name([])
    assert node_name(["--hostname", "a@b"]) == node_name(["-n", "a@b"]) == node_name(["--hostname=a@b"]) == "a@b"
    assert node_name(["-n", "a@b", "-nc@d"]) == "c@d"


NAMES = ("w1", "w1@", "@box", "w1@%h", "%n", "%n-2@%n.%d", "w%i%I@box", "100%%@box", "%%h@box")


@pytest.mark.parametrize("given", NAMES)
def test_a_name_is_what_celery_makes_of_it(given: str) -> None:
    """Health checks ask the name that was written down: it must be the one that the worker listens to."""
    node = node_name(["-n", given])
    assert node == Hostname().convert(given, None, None)
    assert Hostname().convert(node.replace("%", "%%"), None, None) == node, "as the child is told"


@pytest.mark.parametrize(("limit", "scarce"), [("-Sn", False), ("-n", True)])
def test_a_low_limit_of_open_files_is_raised_or_told(limit: str, scarce: bool) -> None:
    """The soft limit is ours to raise; a hard one that is too low is a line in the log."""
    code = "import resource; from worker.supervisor import raise_file_limit; print(raise_file_limit())"
    script = f'ulimit {limit} 256 && exec "$0" -c "$1"'
    command = ["/bin/sh", "-c", script, sys.executable, code]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert ('"files.scarce"' in told.stdout) is scarce
    assert (int(told.stdout.splitlines()[-1]) == 256) is scarce


def test_a_bad_configuration_is_told_as_before() -> None:
    """The exit code of the contract and all problems reach whoever started the worker."""
    environ = {**os.environ, "B24PAY_LEASE_S": "soon"}
    command = [sys.executable, "-m", "worker"]
    told = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert told.returncode == 78
    assert "REDIS_URL" in told.stderr
    assert "B24PAY_LEASE_S" in told.stderr
    assert all(json.loads(line) for line in told.stdout.splitlines())


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Real workers."""
    with a_house() as house:
        yield house


def alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pay_one(house: House) -> None:
    """A payment goes through."""
    portal, celery = house.add_portal(), house.celery()
    kwargs = {"portal": portal.key, "invoice_id": 2, "pay_system_id": 1}
    sent = celery.send_task("tasks.pay_invoice", kwargs=kwargs, queue="payments")
    assert sent.get(timeout=30)["status"] == "paid"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_worker_consumes_again(house: House, number: signal.Signals) -> None:
    """SIGKILL is any crash; SIGTERM to itself is what a worker does whose payments loop has ended."""
    worker = house.start_worker()
    began = time.monotonic()
    os.kill(worker.child_pid(), number)
    eventually_sync(lambda: worker.times_ready() == 2)
    print(f"consuming again {time.monotonic() - began:.2f} s after {number.name}")
    pay_one(house)
    assert worker.stop() == 0


def test_a_worker_that_came_before_redis_works_when_redis_is_there(house: House) -> None:
    """Nobody has to start processes in an order: the worker waits until the ledger answers, and says so."""
    house.server.kill()
    log = house.directory / "early.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "worker"]
        early = subprocess.Popen(command, cwd=ROOT, env=house.environment, stdout=out, stderr=out)
    try:
        eventually_sync(lambda: log.read_text().count('"ledger.unavailable"') >= 2)
        house.server.start()
        eventually_sync(lambda: " ready." in log.read_text())
        early.terminate()
        assert early.wait(30) == 0
        assert '"worker.restarted"' not in log.read_text()
    finally:
        early.kill()
        early.wait()


def test_a_worker_does_not_outlive_its_parent(house: House) -> None:
    """The parent killed: the child hands its lanes back and ends, nobody drives in secret."""
    worker = house.start_worker()
    child = worker.child_pid()
    worker.process.kill()
    worker.process.wait()
    eventually_sync(lambda: not alive(child))
    assert "supervisor.gone" in {event["event"] for event in worker.events()}
    assert "runtime.stopped" in {event["event"] for event in worker.events()}


def test_ctrl_c_and_a_closed_terminal_reach_the_whole_group(house: House) -> None:
    """SIGHUP renews once, SIGINT stops in order with 0, and every line is JSON: what honcho and a terminal send."""
    worker: Worker = house.start_worker()
    os.killpg(worker.process.pid, signal.SIGHUP)
    eventually_sync(lambda: worker.times_ready() == 2)
    os.killpg(worker.process.pid, signal.SIGINT)
    assert worker.process.wait(30) == 0
    names = [event["event"] for event in worker.events()]
    assert (names.count("worker.started"), names.count("worker.renewed"), names.count("worker.stopped")) == (2, 1, 1)
    assert names.count("runtime.stopped") == 2
