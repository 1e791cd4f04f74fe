"""The files that put the service into containers: valid, pinned, closed by default. No daemon is needed."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
STAYS_AT_HOME = {"tests", "benchmarks", "manual", "release"}  # what only those need who work on the project
KEY = "c2hvd24tYnktY29tcG9zZS10aGlydHktdHdvLWJ5dGU="  # not the one that is searched for: the tool shows it


def run(tool: str, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a tool of the development requirements; a missing one fails the test."""
    return subprocess.run(
        [str(TOOLS / tool), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(ROOT), **environ},
    )


def compose(*profiles: str) -> dict[str, Any]:
    """The compose file as compose itself understands it, without a developer's .env."""
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    done = run("docker-compose", "--env-file", "/dev/null", *chosen, "config", B24PAY_SECRET_KEYS=KEY)
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = yaml.safe_load(done.stdout)
    return loaded


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """All services, those of the emulator's profile included."""
    found: dict[str, dict[str, Any]] = compose("emulator")["services"]
    return found


def test_the_dockerfile_passes_the_linter():
    """hadolint finds nothing, not even a remark."""
    done = run("hadolint", "--failure-threshold", "style", "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_fits_the_schema():
    """The published schema of compose files accepts it."""
    done = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    assert done.returncode == 0, done.stdout


def test_compose_accepts_the_file():
    """`docker compose config -q` has nothing to say, with and without the profile."""
    for profile in ([], ["--profile", "emulator"]):
        done = run("docker-compose", "--env-file", "/dev/null", *profile, "config", "-q", B24PAY_SECRET_KEYS=KEY)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_keys_compose_refuses_with_the_next_step():
    """Nobody starts a worker that cannot read its credentials."""
    done = run("docker-compose", "--env-file", "/dev/null", "config", "-q")
    assert done.returncode != 0
    assert ".env.example" in done.stderr


def test_the_emulator_starts_only_when_asked_for():
    """Production gets the server, the worker and the web process, nothing else."""
    assert set(compose()["services"]) == {"redis", "worker", "web"}


def test_choosing_the_emulator_changes_no_other_service():
    """By flag or by variable: what is tried is what runs in production."""
    [with_it, without] = [compose(*profile)["services"] for profile in (["emulator"], [])]
    assert set(with_it) - set(without) == {"emulator"}
    assert {name: with_it[name] for name in without} == without


def test_the_emulator_is_not_reached_from_outside(services: dict[str, dict[str, Any]]):
    """Whoever reaches it may do everything, so that is the project's network alone."""
    assert "ports" not in services["emulator"]
    assert "network_mode" not in services["worker"]


def test_every_service_is_closed_and_restarted(services: dict[str, dict[str, Any]]):
    """Read-only, without capabilities, restarted, stopped with patience, watched, bounded in its log."""
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        assert service["logging"]["options"]["max-size"], name
        assert service["stop_grace_period"], name
    assert services["worker"]["stop_grace_period"] == services["redis"]["stop_grace_period"] == "1m0s"


def test_published_ports_are_on_loopback(services: dict[str, dict[str, Any]]):
    """Nothing is reachable from outside the machine."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_images_are_pinned(services: dict[str, dict[str, Any]]):
    """Every image, in both files, has a full version: no `latest`, no bare major."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert all(re.search(r":\d+\.\d+\.\d+(-[a-z-]+)?$", image) for image in images), images


def test_the_ledger_is_durable_and_never_evicts(services: dict[str, dict[str, Any]]):
    """Append-only file, fsync before the answer, no eviction, on a volume."""
    command = services["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert services["redis"]["volumes"][0]["target"] == options["--dir"] == "/data"


def test_the_ledger_answers_its_network():
    """Builds that answer loopback alone unless they have a password would leave every worker waiting."""
    command = compose()["services"]["redis"]["command"]
    assert command[command.index("--protected-mode") + 1] == "no"


def test_image_and_number_of_workers_are_settings():
    """What `roll` brought, and how many there are, outlive the next `up`."""
    done = run(
        *("docker-compose", "--env-file", "/dev/null", "config"),
        B24PAY_SECRET_KEYS=KEY,
        B24_IMAGE="registry.example.com/b24pay:0.2.0",
        B24_REDIS_IMAGE="valkey/valkey:9.1.3-alpine",
        B24_WORKERS="4",
    )
    services = yaml.safe_load(done.stdout)["services"]
    assert {services[name]["image"] for name in ("worker", "web")} == {"registry.example.com/b24pay:0.2.0"}
    assert services["redis"]["image"] == "valkey/valkey:9.1.3-alpine"
    assert services["worker"]["scale"] == 4


def test_the_worker_waits_for_a_healthy_server(services: dict[str, dict[str, Any]]):
    """A worker starts once the ledger answers."""
    assert services["worker"]["depends_on"]["redis"]["condition"] == "service_healthy"


def test_the_image_runs_as_nobody_and_stops_by_sigterm():
    """A numeric user that is not root, the signal Celery finishes its work on, and a health check."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d{3,}:", dockerfile, re.MULTILINE)
    assert "\nSTOPSIGNAL SIGTERM\n" in dockerfile
    assert "\nHEALTHCHECK " in dockerfile
    # The classic builder, which machines without BuildKit use, knows no mounts.
    assert "--mount" not in dockerfile


def test_nothing_is_installed_without_a_hash():
    """Every package of the image is named with its hashes; the project itself comes from the build step."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    from_outside = [line for line in re.findall(r"pip install[^\n\\]*", dockerfile) if "--no-index" not in line]
    assert len(from_outside) == 2
    assert all("--require-hashes" in line for line in from_outside)


def test_the_image_holds_every_box():
    """A box that the build does not copy would be missing in production."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignore = (ROOT / ".dockerignore").read_text().split()
    for box in sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} - STAYS_AT_HOME):
        assert f"COPY {box}/ {box}/" in dockerfile
        assert f"!{box}" in ignore


def test_the_container_starts_the_worker_as_the_procfile_does():
    """One command line for a process, wherever it runs."""
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    command = (ROOT / "Dockerfile").read_text().rpartition("\nCMD ")[2].replace("\\\n", "")
    assert yaml.safe_load(command) == procfile["worker"].split()


def test_the_web_service_is_started_as_the_procfile_does(services: dict[str, dict[str, Any]]):
    """The same command line, after the ledger, and stopped with more patience than it needs."""
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert services["web"]["command"] == procfile["web"].split()
    assert services["web"]["depends_on"]["redis"]["condition"] == "service_healthy"
    assert services["web"]["stop_grace_period"] == "30s"


SCRIPTS = ["run", "environment"]
COMPOSE_SCRIPTS = ["backup", "restore", "roll", "stand-ins"]


@pytest.mark.parametrize(
    "name", [*(f".ci/{name}" for name in SCRIPTS), *(f"deploy/compose/{name}" for name in COMPOSE_SCRIPTS)]
)
def test_the_scripts_pass_the_shell_linter(name: str):
    """shellcheck finds nothing in the scripts that build, test and deploy."""
    done = run("shellcheck", name)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-demo.txt", "requirements-build.txt"]
)
def test_requirements_are_pinned_with_hashes(name: str):
    """Every line is one exact version with hashes, and no index is named."""
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    assert all(
        re.match(r"[a-z0-9.-]+(\[[a-z,]+\])?==\S+( ; .+)? \\\n +--hash=sha256:[0-9a-f]{64}", entry) for entry in entries
    )
    assert "://" not in text
    assert "--index-url" not in text


def test_the_whole_set_contains_the_runtime_as_it_is():
    """What is tested is what is installed: the same versions with the same hashes."""

    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9.-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE))

    whole = pinned("requirements-dev.txt")
    for name in ("requirements.txt", "requirements-demo.txt", "requirements-build.txt"):
        assert pinned(name) <= whole
