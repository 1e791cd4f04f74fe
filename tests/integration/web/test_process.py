"""The web process: how it starts, what every answer has, and how it ends."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from cli.embedded import EmbeddedServer
from tests.eventually import eventually_sync
from tests.house import ROOT, House, procfile_command
from tests.integration.web.conftest import Place, Street


@pytest.fixture
def alone(own_server: EmbeddedServer, house: House, street: Street) -> Iterator[tuple[EmbeddedServer, Place]]:
    """A web process on a server of its own, which a test may stop."""
    web = street.start(f"web-{time.monotonic_ns()}", REDIS_URL=own_server.url)
    yield own_server, Place(house, web)
    web.stop()


def test_health_is_the_process_and_readiness_is_redis(alone: tuple[EmbeddedServer, Place]):
    """A Redis that goes away restarts nobody; the process is ready again when it is back."""
    server, place = alone
    assert place.web.ask("GET", "/healthz").status == 200
    assert place.web.ask("GET", "/readyz").body == {"status": "ready"}
    server.stop()
    assert place.web.ask("GET", "/healthz").status == 200
    answer = place.web.ask("GET", "/readyz")
    assert (answer.status, answer.body["type"]) == (503, "urn:b24pay:problem:unavailable")
    assert answer.headers["Retry-After"]
    door = place.web.ask("POST", "/v1/install/acme/door", data={"event": "ONAPPINSTALL"})
    assert (door.status, door.body["type"]) == (503, "urn:b24pay:problem:unavailable")
    server.start()
    eventually_sync(lambda: place.web.ask("GET", "/readyz").status == 200)


def test_every_answer_is_hardened_and_named(place: Place):
    """Headers and request id, on what works and on what is refused; a caller's id is kept when it is one."""
    asked = [
        place.web.ask("GET", "/healthz", headers={"X-Request-ID": "of-the-caller-1"}),
        place.web.ask("GET", "/nothing", headers={"X-Request-ID": "bad id\u00e9"}),
        place.web.ask("GET", "/v1/install/acme/door"),
    ]
    assert [each.status for each in asked] == [200, 404, 405]
    assert asked[0].headers["X-Request-ID"] == "of-the-caller-1"
    assert len(asked[1].headers["X-Request-ID"]) == 32
    assert asked[2].headers["Allow"] == "POST"
    for each in asked:
        assert each.headers["X-Content-Type-Options"] == "nosniff"
        assert each.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in each.headers["Content-Security-Policy"]
        assert each.headers["Server"] == "b24pay"
    for each in asked[1:]:
        assert each.headers["Content-Type"].startswith("application/problem+json")
        assert each.body["request_id"] == each.headers["X-Request-ID"]
        assert each.body["detail"]
        assert each.body["next_step"]


def test_large_bodies_and_other_forms_are_refused(place: Place):
    """Nothing larger than an event, and nothing but a form; a wrong door learns nothing of either."""
    applicant = place.portal()
    url = applicant.invite()
    large = place.web.ask("POST", url, data={"event": "x" * 70_000})
    assert (large.status, large.body["type"]) == (413, "urn:b24pay:problem:too-large")
    other = place.web.ask("POST", url, json={"event": "ONAPPINSTALL"})
    assert (other.status, other.body["type"]) == (415, "urn:b24pay:problem:not-a-form")
    many = place.web.ask("POST", url, data={f"f{number}": "1" for number in range(300)})
    assert (many.status, many.body["type"]) == (400, "urn:b24pay:problem:unreadable-form")
    wrong = place.web.ask("POST", url[:-1], json={"event": "ONAPPINSTALL"})
    assert wrong.status == 404


def test_one_address_cannot_knock_without_end(place: Place):
    """429 with Retry-After for one address, while another is let in and health is not counted."""
    knock = {"headers": {"X-Forwarded-For": "203.0.113.7"}, "data": {"event": "x"}}
    statuses = [place.web.ask("POST", "/v1/install/acme/door", **knock).status for _ in range(32)]
    assert statuses[:30] == [404] * 30
    last = place.web.ask("POST", "/v1/install/acme/door", **knock)
    assert (last.status, last.body["type"]) == (429, "urn:b24pay:problem:too-often")
    assert int(last.headers["Retry-After"]) >= 1
    knock["headers"] = {"X-Forwarded-For": "203.0.113.8"}
    assert place.web.ask("POST", "/v1/install/acme/door", **knock).status == 404
    assert place.web.ask("GET", "/healthz").status == 200


def test_a_line_names_the_route_and_not_the_path(place: Place):
    """Whatever is asked, the door's name is in no line; neither is a malformed request's."""
    place.web.ask("POST", "/v1/install/acme/s3cret-door", data={"event": "x"})
    host, port = place.web.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"POST /v1/install/acme/s3cret-door HTTP/9.x\r\nbad header\r\n\r\n")
        raw.recv(4096)
    route = "/v1/install/{key}/{door}"
    mine = eventually_sync(lambda: [each for each in place.web.events() if each.get("route") == route])
    assert mine[-1]["status"] in (404, 429)
    assert mine[-1]["request_id"]
    assert "s3cret" not in place.web.log.read_text()


def test_sigterm_finishes_what_is_under_way(house: House, street: Street):
    """A request that waits for its portal is answered, then the process ends with 0."""
    web = street.start("web-stops")
    place = Place(house, web, portals=100)
    applicant = place.portal()
    url, form = applicant.invite(), applicant.form()
    applicant.emulator(lambda handle, name: handle.patch(name, latency_s=1.5))
    answers = []
    asking = threading.Thread(target=lambda: answers.append(applicant.post(url, form)))
    asking.start()
    eventually_sync(lambda: applicant.emulator(lambda handle, name: handle.requests(portal=name)))
    assert web.stop() == 0
    asking.join(10)
    assert [each.status for each in answers] == [200]
    assert web.events()[-1]["event"] == "web.stopped"


def test_a_wrong_configuration_is_told_whole_and_ends_with_78():
    """Every problem at once, each with a hint, before anything listens."""
    wrong = {
        "B24PAY_WEB_LISTEN": "8080",
        "B24PAY_WEB_URL": "https://h/path",
        "B24PAY_WEB_PROXIES": "10.0.0.0/8, proxy",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(procfile_command("web"), cwd=ROOT, env=wrong, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (78, "")
    for variable in (*wrong.keys() - {"PATH"}, "REDIS_URL", "B24PAY_SECRET_KEYS"):
        assert f"{variable}: " in done.stderr
    assert "entry 2 of 2" in done.stderr


def test_a_public_address_without_tls_is_refused():
    """Credentials come in by it."""
    code = (
        "from config.settings import load_settings; load_settings({'B24PAY_WEB_URL': 'http://pay.example'}, require=())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "B24PAY_WEB_URL: is not https" in done.stderr


def test_an_address_that_is_taken_ends_with_a_line(place: Place, house: House):
    """Two processes on one port: the second says so."""
    taken = place.web.address.removeprefix("http://")
    done = subprocess.run(
        procfile_command("web"),
        cwd=ROOT,
        env={**house.environment, "B24PAY_WEB_LISTEN": taken},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 71
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "web.unstartable"
