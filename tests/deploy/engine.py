"""A Docker engine for tests: the machine's own where one answers, else one of their own where that can be started."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_INS = ROOT / "deploy" / "compose" / "stand-ins"
UNREACHABLE = 69
NEEDED = ("dockerd", "docker", "mmdebstrap")
MISSING = (
    "The containers did not run: no Docker engine answers, and none can be started here "
    f"(it takes root and {', '.join(NEEDED)})."
)


@dataclass(frozen=True)
class TestEngine:
    """How commands reach an engine, and the packages to build from where it cannot pull."""

    __test__ = False
    environ: dict[str, str]
    wheels: Path | None = None

    def docker(self, *words: str) -> str:
        """The stdout of a docker command; one that fails raises."""
        command = ["docker", *words]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=True).stdout


@contextmanager
def an_engine() -> Iterator[TestEngine]:
    """An engine that is able to build the image; skips the test, with a sentence, where there is none."""
    # Compose of the development requirements, where the engine brings none.
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if _answers(environ):
        yield _that_can_pull(TestEngine(environ))
    elif os.geteuid() == 0 and all(map(shutil.which, NEEDED)):
        with tempfile.TemporaryDirectory(prefix="b24pay-engine-") as directory, _own_engine(Path(directory)) as address:
            yield _with_stand_ins({**environ, "DOCKER_HOST": address}, Path(directory))
    else:
        pytest.skip(MISSING)


def _answers(environ: dict[str, str]) -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "version"], env=environ, capture_output=True, check=False).returncode == 0


def _that_can_pull(engine: TestEngine) -> TestEngine:
    base = (ROOT / "Dockerfile").read_text().partition("FROM ")[2].split()[0]
    try:
        engine.docker("pull", "-q", base)
    except subprocess.CalledProcessError:
        pytest.skip(f"The containers did not run: this Docker engine cannot pull {base}.")
    return engine


@contextmanager
def _own_engine(directory: Path) -> Iterator[str]:
    """A daemon with everything of its own, that changes nothing of the machine's network; its address."""
    address = f"unix://{directory}/d.sock"
    command = [
        *("dockerd", "--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec"),
        *("--pidfile", f"{directory}/d.pid", "--host", address, "--bridge", "none"),
        *("--iptables=false", "--ip-forward=false", "--ip-masq=false"),
    ]
    with (directory / "d.log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not _answers({**os.environ, "DOCKER_HOST": address}):
            if daemon.poll() is not None or time.monotonic() > end:
                last = (directory / "d.log").read_text().splitlines()[-1:]
                pytest.skip(f"The containers did not run: a Docker engine does not start here: {last}")
            time.sleep(0.2)
        yield address
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        # The daemon leaves its network namespace mounted, and a directory with a mount in it cannot be removed.
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for path in sorted((path for path in mounted if path.startswith(f"{directory}/")), reverse=True):
            subprocess.run(["umount", path], check=False)


def _with_stand_ins(environ: dict[str, str], directory: Path) -> TestEngine:
    """The base images, made of Debian's packages: such a machine has an engine and no registry.

    B24_STAND_INS names a directory that keeps them from one run to the next.
    """
    made = os.environ.get("B24_STAND_INS") or str(directory / "stand-ins")
    command = [str(STAND_INS), made]
    done = subprocess.run(
        command, env={**environ, "PYTHON": sys.executable}, capture_output=True, text=True, check=False
    )
    if done.returncode == UNREACHABLE:
        pytest.skip(f"The containers did not run: packages for base images are out of reach: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return TestEngine(environ, Path(done.stdout.strip()))
