"""The deployment really runs: deploy/compose/rehearse.py, on the machine's Docker engine or on one of its own."""

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.engine import TestEngine, an_engine
from tests.eventually import eventually_sync

pytestmark = [pytest.mark.whole, pytest.mark.timeout(1500)]

REHEARSE = Path(__file__).parents[2] / "deploy" / "compose" / "rehearse.py"
IMAGE = f"b24pay-tried:{secrets.token_hex(4)}"
UP = "up and healthy"


@pytest.fixture(scope="module")
def engine() -> Iterator[TestEngine]:
    """An engine, or the sentence that says why the containers did not run."""
    with an_engine() as found:
        yield found


@dataclass
class Run:
    """A rehearsal that goes on."""

    process: "subprocess.Popen[bytes]"
    out: Path

    def said(self) -> str:
        """Its progress so far."""
        return self.out.with_suffix(".err").read_text()

    def wait_until_up(self) -> None:
        """Until its service is up; fails at once where the run has ended."""

        def is_up() -> bool:
            if self.process.poll() is not None:
                pytest.fail(f"It has ended: {self.said()}")
            return UP in self.said()

        eventually_sync(is_up, within_s=900)


def start(engine: TestEngine, out: Path) -> Run:
    """Start a rehearsal, its stdout and stderr in files."""
    wheels = [] if engine.wheels is None else ["--wheels", str(engine.wheels)]
    command = [sys.executable, str(REHEARSE), "--image", IMAGE, *wheels]
    with out.open("wb") as stdout, out.with_suffix(".err").open("wb") as stderr:
        return Run(subprocess.Popen(command, env=engine.environ, stdout=stdout, stderr=stderr), out)


@contextmanager
def running(engine: TestEngine, out: Path) -> Iterator[Run]:
    """A rehearsal that is broken off with the block, and then takes down what it had brought up."""
    run = start(engine, out)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
        run.process.wait(240)


@pytest.fixture(scope="module")
def whole(engine: TestEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The rehearsal that is played to its end."""
    with running(engine, tmp_path_factory.mktemp("containers") / "whole.json") as run:
        yield run
    with suppress(subprocess.CalledProcessError):  # it was never built
        engine.docker("rmi", "-f", IMAGE)


def test_a_second_run_does_not_meet_the_first_and_ctrl_c_takes_it_down(
    engine: TestEngine, whole: Run, tmp_path: Path
) -> None:
    """Two at a time have nothing in common; whoever breaks one off finds nothing left of it."""
    whole.wait_until_up()
    with running(engine, tmp_path / "second.json") as second:
        second.wait_until_up()
        assert len(projects(engine)) == 2
        second.process.send_signal(signal.SIGINT)
        assert second.process.wait(240) == 130, second.said()
    assert len(projects(engine)) == 1
    assert whole.process.poll() is None, whole.said()


def projects(engine: TestEngine) -> set[str]:
    """The rehearsals that have containers, running or not."""
    labels = engine.docker("ps", "-a", "--format", '{{.Label "com.docker.compose.project"}}').split()
    return {label for label in labels if label.startswith("b24pay-rehearsal-")}


def test_everything_is_paid_exactly_once_whatever_becomes_of_containers(engine: TestEngine, whole: Run) -> None:
    """A worker killed, Redis restarted, four workers, a new image, an old ledger: the books agree, nothing stays."""
    assert whole.process.wait(900) == 0, whole.said()
    found = json.loads(whole.out.read_text())
    assert found["accepted"] == found["paid"] == found["paid_at_the_portal"] > 500
    assert found["doubles"] == 0
    assert found["restore_forgot"] > 100
    for words in (["ps", "--all"], ["network", "ls"], ["volume", "ls"], ["images"]):
        assert found["project"] not in engine.docker(*words), words


def test_without_an_engine_it_says_that_nothing_ran(tmp_path: Path) -> None:
    """Nobody takes silence for a success."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    done = subprocess.run([sys.executable, str(REHEARSE)], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert "Nothing ran: no Docker engine answers." in done.stderr
