"""A house with a worker and a web process that show their metrics."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.eventually import eventually_sync
from tests.house import ROOT, House, Worker, a_house
from tests.integration.web.conftest import Street

ANY_PORT = {"B24PAY_METRICS_LISTEN": "127.0.0.1:0"}


def get(address: str, path: str, *, within_s: float = 2.0) -> tuple[int, str]:
    """Status and text; status 0 where nobody answers in time."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=within_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def listens_at(worker: Worker) -> str:
    """Where a worker has said that it shows its metrics."""
    return str([each["listen"] for each in worker.events() if each["event"] == "metrics.listening"][-1])


@dataclass(frozen=True)
class Scrape:
    """What one process shows."""

    text: str

    def names(self) -> set[str]:
        """Of every series that has a figure."""
        return {sample.name for family in text_string_to_metric_families(self.text) for sample in family.samples}

    def sum(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert found, f"{name} {labels} is not shown"
        return sum(found)


def scrape(address: str) -> Scrape:
    """Scrape a process as Prometheus does."""
    status, text = get(address, "/metrics", within_s=10)
    assert status == 200, text
    return Scrape(text)


@dataclass(frozen=True)
class Told:
    """What `b24pay health` said."""

    code: int
    document: dict[str, object]
    error: str


def health(house: House, *words: str, **changes: str) -> Told:
    """Give the command as a process."""
    command = [sys.executable, "-c", "from cli.main import main; main()", "health", "--json", *words]
    environ = {**house.environment, "PYTHONPATH": str(ROOT), **changes}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=ROOT, check=False)
    return Told(done.returncode, json.loads(done.stdout or "{}"), done.stderr)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Server, emulator and one worker."""
    assert os.environ.get("B24PAY_METRICS_LISTEN") is None
    with a_house(**ANY_PORT) as house:
        house.start_worker()
        yield house


@pytest.fixture(scope="module")
def worker(house: House) -> str:
    """Where the worker shows its metrics, once it consumes."""
    address = listens_at(house.workers[0])
    eventually_sync(lambda: get(address, "/readyz")[0] == 200)
    return address


@pytest.fixture(scope="module")
def web(house: House) -> Iterator[str]:
    """Where a web process listens."""
    street = Street(house, [])
    yield street.start("web").address.removeprefix("http://")
    street.close()
