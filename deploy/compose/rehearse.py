#!/usr/bin/env python3
"""Run the service in containers and harm it: killed, restarted, scaled, rolled, restored; everything paid exactly once.

    deploy/compose/rehearse.py                         four minutes; needs a Docker engine and Python 3.11
    deploy/compose/rehearse.py --image b24pay:0.1.0    of this image, which is built if there is none, and kept

A compose project, images and ports of its own, so it may run beside a real one; all of it is removed at the end, after
Ctrl-C too. Progress is on stderr, the summary on stdout. Exit codes: 0 all is well, 1 it is not, 69 nothing ran because
no engine answers.
"""

import argparse
import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from producer import Producer
from service import PORTAL, Door, Emulator, Engine, Failed, served, until

NO_ENGINE = 69
# Short, so that what is in doubt is decided while one waits; the proportions are those of production.
QUICK = {"B24PAY_HTTP_TOTAL_S": "10", "B24PAY_PORTAL_CUT_S": "5", "B24PAY_LEASE_S": "13"}
WEBHOOK = json.dumps({"webhook": f"http://{PORTAL}/rest/1/emulator-secret/"}).encode()


class Rehearsal:
    """One run: the acts in their order, and what they found."""

    def __init__(self, engine: Engine, project: str, image: str) -> None:
        self.engine, self.project, self.image = engine, project, image
        self.renewed = f"{project}:renewed"
        self.door, self.emulator = Door(engine), Emulator(engine)
        self.producer = Producer(self.door)
        self.found: dict[str, Any] = {"project": project}
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def build(self, wheels: Path | None) -> None:
        """The Dockerfile, as it is; with wheels, pip finds its packages there and asks nobody else."""
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            words: list[str] = []
            if wheels is not None:
                address = stack.enter_context(served(wheels))
                # The older builder lets a build use the machine's own loopback without a permission.
                self.engine.environ["DOCKER_BUILDKIT"] = "0"
                options = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": address}
                words = ["--network", "host", *(f"--build-arg={name}={value}" for name, value in options.items())]
            self.engine.docker("build", *words, "-t", self.image, ".", within_s=1200)
        self.found["build_s"] = round(time.monotonic() - began)
        self.say(f"built {self.image}")

    def look_at_the_image(self) -> None:
        """Its size, and whether its bases are the real ones."""
        size = int(self.engine.inspect(self.image, "{{.Size}}")) / 1e6
        layers = self.engine.docker("history", "--human=false", "--format", "{{.Size}}", self.image).split()
        self.found["image_mb"] = round(size)
        self.found["image_mb_above_base"] = round(sum(map(int, layers[:-1])) / 1e6) if len(layers) > 1 else 0
        stand_in = self.engine.inspect(self.image, '{{index .Config.Labels "b24pay.stand-in"}}')
        self.found["stand_ins"] = stand_in
        self.say(f"image of {size:.0f} MB" + (f", on a stand-in: {stand_in}" if stand_in else ""))

    def up(self) -> None:
        """Server and two workers, a token, then the rest: the lines of README and docs/deployment.md."""
        began = time.monotonic()
        self.engine.up("redis", "worker")
        self.door.token = self.b24pay("token", "create", "rehearsal", "--role", "operator").strip()
        self.engine.up()
        self.b24pay("portal", "add", "acme", given=WEBHOOK)
        self.door.find()
        # Each pay takes its time, so that there is always something in flight to be harmed.
        self.emulator.ask("PATCH", f"settings?portal={PORTAL}", {"pay_s": 0.02})
        self.found["up_s"] = round(time.monotonic() - began, 1)
        self.say(f"up and healthy: {', '.join(self.engine.compose('ps', '--services').split())}")

    def b24pay(self, *words: str, given: bytes = b"") -> str:
        """The terminal's command, in a worker's container."""
        return self.engine.compose("exec", "-T", "worker", "b24pay", *words, given=given)

    def look_into_the_containers(self) -> None:
        """Nobody is root, nobody can write beside /tmp, nothing may be gained."""
        for service in ("redis", "worker", "web", "emulator"):
            [container, *_] = self.engine.ids(service)
            status = self.engine.docker("exec", container, "cat", "/proc/1/status")
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            if "0" in fields["Uid"].split():
                raise Failed(f"{service} runs as root")
            if int(fields["CapEff"], 16) or int(fields["CapBnd"], 16) or fields["NoNewPrivs"] != "1":
                raise Failed(f"{service} may gain rights: {fields['CapBnd']}, {fields['NoNewPrivs']}")
            with contextlib.suppress(Failed):
                self.engine.docker("exec", container, "touch", "/opt/written")
                raise AssertionError(f"{service} can write to its image")
        self.say("no root, no capabilities, nothing writable")

    def kill_a_worker(self) -> None:
        """SIGKILL of a whole container; the other one takes over, and the missing one is put back."""
        before = self.producer.number_accepted()
        [victim, *_] = self.engine.ids("worker")
        at = time.time()
        self.engine.docker("kill", "--signal", "KILL", victim)
        self.say("killed a worker")
        until(lambda: self.producer.number_accepted() > before + 100, 60, "producers went on")
        self.until_paid()
        self.found["killed_worker_pause_s"] = round(self.longest_pause(at), 1)
        self.scale(2)

    def restart_redis(self) -> None:
        """What is queued waits one quiet time, and is read once, before it is paid (decision 0016)."""
        at = time.time()
        self.engine.compose("restart", "redis")
        self.say("restarted Redis")
        began = time.monotonic()
        before = self.producer.number_accepted()
        until(lambda: self.producer.number_accepted() > before, 60, "the door accepted payments again")
        self.say(f"payments are accepted again {time.monotonic() - began:.1f} s after it was back")
        self.until_paid()
        self.found["redis_restart_pause_s"] = round(self.longest_pause(at), 1)
        self.found["redis_restart_door_away_s"] = round(self.producer.longest_silence(at), 1)

    def scale(self, number: int) -> None:
        """So many workers, the running ones untouched."""
        self.engine.up("--no-recreate", "--scale", f"worker={number}", "worker")
        if len(self.engine.ids("worker")) != number:
            raise Failed(f"{len(self.engine.ids('worker'))} workers run and not {number}")
        self.say(f"{number} workers")

    def roll(self) -> None:
        """A new image, one worker after the other, payments going on."""
        text = f"FROM {self.image}\nLABEL b24pay.rehearsal=renewed\n".encode()
        self.engine.docker("build", "-q", "-t", self.renewed, "-", given=text)
        at, began, number = time.time(), time.monotonic(), len(self.engine.ids("worker"))
        self.engine.script("roll", self.renewed)
        # What comes after it says the same, as .env does for an operator.
        self.engine.environ["B24_IMAGE"] = self.renewed
        images = {self.engine.inspect(each, "{{.Config.Image}}") for each in self.engine.ids("worker")}
        if images != {self.renewed} or len(self.engine.ids("worker")) != number:
            raise Failed(f"after the roll there are {len(self.engine.ids('worker'))} workers of {images}")
        self.found["roll_s"] = round(time.monotonic() - began, 1)
        self.until_paid()
        self.found["roll_pause_s"] = round(self.longest_pause(at), 1)
        self.found["roll_door_away_s"] = round(self.producer.longest_silence(at), 1)
        self.say(f"rolled {number} workers and web in {self.found['roll_s']} s")

    def restore(self, backup: Path) -> None:
        """An old ledger in the place of the present one; producers ask again, and nothing is paid twice."""
        self.engine.script("restore", str(backup))
        self.door.find()
        until(lambda: self.door.ask("GET", "/readyz")[0] == 200, 60, "web was ready after the restore")
        forgotten = self.producer.number_accepted() - len({row["invoice_id"] for row in self.door.payments("acme")})
        if forgotten <= 0:
            raise Failed("the restored ledger has forgotten nothing: it is not the old one")
        self.producer.ask_again()
        self.until_paid()
        self.found["restore_forgot"] = forgotten
        self.say(f"restored a ledger that had forgotten {forgotten} payments; all were asked for again")

    def until_paid(self) -> float:
        """Wait until everything accepted so far is paid; the seconds."""
        wanted = set(self.producer.accepted())

        def all_paid() -> bool:
            return wanted <= {row["invoice_id"] for row in self.door.payments("acme", "&state=paid")}

        return until(all_paid, 400, "everything accepted was paid", pause_s=1)

    def longest_pause(self, since: float) -> float:
        """The longest time between the ends of two payments, from a moment on; seconds."""
        ends = [row["finished_at"] for row in self.door.payments("acme") if row["finished_at"]]
        moments = sorted(datetime.fromisoformat(end).timestamp() for end in ends)
        near = [since, *(moment for moment in moments if moment >= since)]
        return max(after - before for before, after in pairwise(near))

    def compare(self) -> None:
        """What producers were told, what the ledger says, what the portal did."""
        accepted = set(self.producer.accepted())
        rows = list(self.door.payments("acme"))
        paid = {row["invoice_id"] for row in rows if row["status"] == "paid"}
        other = [row for row in rows if row["status"] != "paid"]
        totals, counts = self.emulator.effects()
        at_the_portal = {number for number, times in counts.items() if times}
        self.found |= {
            "accepted": len(accepted),
            "paid": len(paid),
            "paid_at_the_portal": len(at_the_portal),
            "doubles": totals["doubles"] + sum(times > 1 for times in counts.values()),
        }
        if other or not accepted == paid == at_the_portal or self.found["doubles"]:
            raise Failed(f"ledger and portal disagree: {self.found}, not paid: {other[:3]}")
        self.say(f"{len(accepted)} accepted, {len(paid)} paid in the ledger and at the portal, 0 doubles")

    def down(self) -> None:
        """Everything goes; what is left behind is an error."""
        began = time.monotonic()
        self.engine.compose("down", "--volumes", "--remove-orphans")
        left = self.engine.left_behind(self.project)
        if left:
            raise Failed(f"`down` has left behind: {left}")
        self.found["down_s"] = round(time.monotonic() - began, 1)
        self.say("down: no container, network or volume is left")

    def play(self) -> None:
        """All acts, with payments coming in all the time until the books are compared."""
        with tempfile.TemporaryDirectory() as directory:
            backup = Path(directory) / "ledger.tar"
            self.up()
            self.look_into_the_containers()
            with self.producer.at_work():
                until(lambda: self.producer.number_accepted() >= 200, 60, "the first 200 payments were accepted")
                self.kill_a_worker()
                self.engine.script("backup", str(backup))
                self.restart_redis()
                self.scale(4)
                self.roll()
            self.until_paid()
            self.compare()
            self.restore(backup)
            self.compare()
        self.down()


@contextlib.contextmanager
def cleaned_up(rehearsal: Rehearsal, *, remove_image: bool) -> Iterator[None]:
    """Whatever happens in the block: the last words of containers if it failed, and nothing of the project stays."""
    try:
        yield
    except Failed:
        with contextlib.suppress(Failed, subprocess.TimeoutExpired):
            print(rehearsal.engine.compose("logs", "--no-color", "--tail", "15"), file=sys.stderr)
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        rehearsal.producer.stop()
        for command in (
            ("compose", "down", "--volumes", "--remove-orphans", "--timeout", "10"),
            ("docker", "rmi", "-f", rehearsal.renewed),
            *([("docker", "rmi", "-f", rehearsal.image)] if remove_image else []),
        ):
            # The compose file is read even to take everything down, and an image may never have been there.
            with contextlib.suppress(Failed, subprocess.TimeoutExpired):
                getattr(rehearsal.engine, command[0])(*command[1:])


def main(arguments: list[str]) -> int:
    """Rehearse; the exit code."""
    parser = argparse.ArgumentParser(description="Run the service in containers, harm it, and compare the books.")
    parser.add_argument("--image", help="take this image, built if there is none; it is kept")
    parser.add_argument("--wheels", type=Path, help="build from these packages alone (deploy/compose/stand-ins)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)

    project = f"b24pay-rehearsal-{secrets.token_hex(3)}"
    image = options.image or f"{project}:built"
    environ = {
        **QUICK,
        "COMPOSE_PROJECT_NAME": project,
        "COMPOSE_ENV_FILES": os.devnull,  # a developer's .env is not for this
        "B24_IMAGE": image,
        "B24_WORKERS": "2",
        "B24_WEB_PORT": "0",
        "B24_REDIS_PORT": "0",
        "B24PAY_ALLOW_INSECURE_PORTALS": "1",
        "B24PAY_SECRET_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }
    try:
        engine = Engine(environ)
        version = engine.docker("version", "--format", "{{.Server.Version}}").strip()
    except (Failed, FileNotFoundError) as error:
        print(f"Nothing ran: no Docker engine answers. {error}", file=sys.stderr)
        return NO_ENGINE
    rehearsal = Rehearsal(engine, project, image)
    rehearsal.found["engine"] = version
    try:
        with cleaned_up(rehearsal, remove_image=options.image is None):
            if not engine.docker("images", "-q", image).strip():
                rehearsal.build(options.wheels)
            rehearsal.look_at_the_image()
            rehearsal.play()
    except (Failed, AssertionError, subprocess.TimeoutExpired) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Broken off; everything was taken down.", file=sys.stderr)
        return 130
    print(json.dumps(rehearsal.found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
