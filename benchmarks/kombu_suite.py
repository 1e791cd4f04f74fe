"""Run kombu's own Redis tests with our transport in the place of theirs.

    python -m benchmarks.kombu_suite SOURCES [pytest options]

SOURCES is an unpacked source distribution of the installed kombu; its wheel has no tests:

    pip download kombu==$(python -c 'import kombu; print(kombu.__version__)') --no-binary :all: --no-deps

Two runs. The unit tests work on imitations of a client that know no scripts, so there our classes stand in with
`atomic_fetch` off: what is not ours must be kombu's. The integration tests talk to a server started here, and there
every channel fetches atomically.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.embedded import EmbeddedServer

UNIT = ("t/unit/transport/test_redis.py",)
INTEGRATION = ("t/integration/test_redis.py", "t/integration/test_redis_brpop_qos.py")
ROOT = Path(__file__).resolve().parent.parent

# Loaded by pytest before any test, so that the tests find our classes under kombu's names.
PLUGIN = """
import os
from kombu.transport import redis as theirs
import worker.transport as ours

names = {name: name for name in ("QoS", "Channel", "SentinelChannel", "Transport", "SentinelTransport")}
for name, our_name in {**names, "MultiChannelPoller": "Poller"}.items():
    setattr(theirs, name, getattr(ours, our_name))
ours.install()
ours.Channel.atomic_fetch = ours.SentinelChannel.atomic_fetch = os.environ["ATOMIC_FETCH"] == "1"

def pytest_collection_finish(session):
    # The unit tests replace this before kombu's module is loaded, which here is loaded already.
    from kombu.utils import eventio
    theirs.poll = eventio.poll
"""


def main(arguments: Sequence[str]) -> int:
    """Run both suites; 0 when nothing failed."""
    sources, *options = arguments
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "our_transport.py").write_text(PLUGIN)
        path = os.pathsep.join([directory, str(ROOT)])
        unit = _pytest(Path(sources), [*UNIT, *options], {"PYTHONPATH": path, "ATOMIC_FETCH": "0"})
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        server = EmbeddedServer(options={"port": port, "bind": "127.0.0.1"})
        server.start()
        try:
            where = {"REDIS_HOST": "127.0.0.1", "REDIS_6379_TCP": port}
            environ = {"PYTHONPATH": path, "ATOMIC_FETCH": "1", **where}
            integration = _pytest(Path(sources), [*INTEGRATION, *options], environ)
        finally:
            server.stop()
    return unit or integration


def _pytest(sources: Path, options: Sequence[str], environ: Mapping[str, str]) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "our_transport", "-p", "no:cacheprovider", *options]
    return subprocess.run(  # noqa: S603 - pytest, on sources that the caller names
        command, cwd=sources, env={**os.environ, **environ}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
