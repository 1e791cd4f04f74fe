"""A primary, a replica and three sentinels on the loopback, and a failover that is provoked."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Final

import redis

from cli.embedded import find_program
from cli.guarded import KILL_GROUP, Guarded
from tests.canaries import REDIS_PASSWORD
from tests.deploy.redis_roles import free_port, until

NAME: Final = "b24pay"
# How long a primary is silent before the sentinels agree that it is gone; docs/redis.md gives the same.
DOWN_AFTER_MS: Final = 2000
_DATA = """port {port}
bind 127.0.0.1
dir {directory}
requirepass {password}
masterauth {password}
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
repl-diskless-sync yes
repl-diskless-sync-delay 0
"""
_SENTINEL = """port {port}
bind 127.0.0.1
dir {directory}
sentinel monitor {name} 127.0.0.1 {primary} 2
sentinel auth-pass {name} {password}
sentinel down-after-milliseconds {name} {down_after}
sentinel failover-timeout {name} 6000
"""


class Watched:
    """The whole group; `url` is what programs get."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="b24pay-sentinels-")
        self._program = str(find_program())
        self._processes: dict[int, Guarded] = {}
        self.primary, self.replica, *self.sentinels = [free_port() for _ in range(5)]
        self._data(self.primary)
        self._data(self.replica, f"replicaof 127.0.0.1 {self.primary}\n")
        until(lambda: self._told(self.replica)["master_link_status"] == "up")
        for port in self.sentinels:
            text = _SENTINEL.format(
                port=port, directory=self._directory(port), name=NAME, primary=self.primary, password=REDIS_PASSWORD,
                down_after=DOWN_AFTER_MS,
            )  # fmt: skip
            self._start(port, text, "--sentinel")
        until(lambda: all(self._knows(port) for port in self.sentinels))

    @property
    def url(self) -> str:
        """By the sentinels."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"sentinel://:{REDIS_PASSWORD}@{hosts}/0?master={NAME}"

    def strike(self, number: signal.Signals) -> None:
        """Hit the primary."""
        os.kill(self._processes[self.primary].process.pid, number)

    def promoted(self) -> bool:
        """Whether the replica is the primary now."""
        return str(self._told(self.replica)["role"]) == "master"

    def demoted(self) -> bool:
        """Whether the former primary follows the new one."""
        return str(self._told(self.primary)["role"]) == "slave"

    def stop(self) -> None:
        """End everything."""
        for guarded in self._processes.values():
            os.killpg(guarded.process.pid, signal.SIGKILL)
            guarded.process.wait()
            guarded.dismiss()
        self._temporary.cleanup()

    def _data(self, port: int, more: str = "") -> None:
        text = _DATA.format(port=port, directory=self._directory(port), password=REDIS_PASSWORD)
        self._start(port, text + more)
        until(lambda: self._told(port))

    def _start(self, port: int, text: str, *words: str) -> None:
        file = self._directory(port) / "server.conf"
        file.write_text(text)
        self._processes[port] = Guarded([self._program, str(file), *words], KILL_GROUP)

    def _directory(self, port: int) -> Path:
        directory = Path(self._temporary.name) / str(port)
        directory.mkdir(exist_ok=True)
        return directory

    def _told(self, port: int) -> dict[str, object]:
        try:
            with redis.Redis(port=port, password=REDIS_PASSWORD, socket_timeout=2) as client:
                return dict(client.info("replication"))
        except redis.exceptions.RedisError as error:
            raise AssertionError(str(error)) from None

    def _knows(self, port: int) -> bool:
        try:
            with redis.Redis(port=port, socket_timeout=2, decode_responses=True) as client:
                [told] = client.execute_command("SENTINEL", "MASTERS")
        except redis.exceptions.RedisError:
            return False
        row = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=False))
        return int(row["num-other-sentinels"]) == 2 and int(row["num-slaves"]) == 1
