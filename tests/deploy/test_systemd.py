"""The systemd units: valid, closed, and starting what the Procfile starts."""

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.embedded import EmbeddedServer
from tests.canaries import SECRET_KEY
from tests.eventually import eventually_sync

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
SERVICES = {"b24pay-worker@.service": "worker", "b24pay-web.service": "web"}
PYTHON = "/opt/b24pay/bin/python"
# systemd's own measure, from 0.0 (closed) to 10.0; what is below 2.0 it calls OK.
EXPOSURE_AT_MOST = 2.0


def section(unit: str, name: str) -> dict[str, str]:
    """One section of a unit; of a setting that comes twice, the first."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign] # configparser's own way to keep the case
    parser.read_string((UNITS / unit).read_text())
    return dict(parser[name])


@pytest.fixture
def analyze(tmp_path: Path) -> "Analyze":
    """`systemd-analyze` over the units as they are, but for the Python, which is this one."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("The units were not verified: this machine has no systemd-analyze.")
    for unit in UNITS.glob("b24pay*"):
        text = unit.read_text().replace(PYTHON, sys.executable)
        (tmp_path / unit.name).write_text(text)
    return Analyze(tmp_path)


class Analyze:
    """Runs the tool on units in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """What it says; the environment lets it find no other units of ours."""
        environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{self.directory}:", "SYSTEMD_COLORS": "0"}
        return subprocess.run(
            ["systemd-analyze", *words], env=environ, cwd=self.directory, capture_output=True, text=True, check=False
        )


def test_systemd_finds_nothing_to_complain_of(analyze: Analyze):
    """Every setting is known and has a value that it may have, and the target finds its services."""
    done = analyze("verify", "--man=no", "./b24pay.target", "./b24pay-worker@1.service", "./b24pay-web.service")
    # What it says of units that other packages brought is theirs.
    ours = [line for line in done.stderr.splitlines() if "b24pay" in line]
    assert ours == []


@pytest.mark.parametrize("unit", SERVICES)
def test_the_services_are_closed(analyze: Analyze, unit: str):
    """systemd's own measure of what a service could do if it were taken over."""
    done = analyze("security", "--offline=yes", "--no-pager", f"./{unit}")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) < EXPOSURE_AT_MOST, done.stdout


@pytest.mark.parametrize(("unit", "name"), SERVICES.items())
def test_a_service_is_one_line_of_the_procfile(unit: str, name: str):
    """The same command, further arguments aside; stopped with more patience than the process needs."""
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    service = section(unit, "Service")
    python, *rest = shlex.split(service["ExecStart"])
    assert python == PYTHON
    assert ["python", *rest][: len(procfile[name].split())] == procfile[name].split()
    assert int(service["TimeoutStopSec"]) >= 30
    assert service["RestartPreventExitStatus"].split() == ["2", "78"]
    assert section(unit, "Unit")["PartOf"] == "b24pay.target"


@pytest.mark.parametrize(
    ("unit", "ready"), [("b24pay-worker@.service", " ready."), ("b24pay-web.service", "web.started")]
)
def test_the_command_of_a_service_starts_and_stops_in_order(
    embedded: EmbeddedServer, tmp_path: Path, unit: str, ready: str
):
    """ExecStart as it stands, with the unit's own environment and nothing else; SIGTERM ends it with 0 in time."""
    service = section(unit, "Service")
    told = {"%i": "7", "%H": "here", "%t": str(tmp_path), PYTHON: sys.executable}

    def filled(text: str) -> str:
        for word, value in told.items():
            text = text.replace(word, value)
        return text

    (tmp_path / filled(service["RuntimeDirectory"])).mkdir()
    given = dict(pair.split("=", 1) for pair in shlex.split(filled(service["Environment"])))
    file = {"REDIS_URL": embedded.url, "B24PAY_SECRET_KEYS": SECRET_KEY, "B24PAY_WEB_LISTEN": "127.0.0.1:0"}
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            shlex.split(filled(service["ExecStart"])),
            env={**given, **file, "PYTHONPATH": str(ROOT)},
            cwd=filled(service["WorkingDirectory"]),
            stdout=out,
            stderr=out,
        )
    try:
        eventually_sync(lambda: ready in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(int(service["TimeoutStopSec"])) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    if "WORKER_NODE_FILE" in given:
        assert Path(given["WORKER_NODE_FILE"]).read_text() == "worker-7@here"
