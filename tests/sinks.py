"""The doors through which text leaves our processes while tests run, each with a look for secrets in it.

Tests need not do anything: what a process printed is seen where the test reads it, a server's data when it stops, files
when the session ends. One hit fails the session and names the place.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from cli.embedded import EmbeddedServer
from tests.canaries import REDIS_PASSWORD, SEARCH, Search

_CONFIGURATION: Final = "password.conf"
# What is written stays as plain commands in the append-only file, so that its end shows all that ever was in Redis:
# messages and their headers, results, rows, whatever was deleted again.
_PLAIN_LOG: Final = "aof-use-rdb-preamble no\nauto-aof-rewrite-min-size 4gb\n"


class GuardedServer(EmbeddedServer):
    """A server with a password, whose whole history is searched for secrets when it is stopped."""

    search: Search = SEARCH

    @property
    def url(self) -> str:
        """The address, with the password in it."""
        return f"redis+socket://:{REDIS_PASSWORD}@{self.socket}?virtual_host=0"

    def stop(self) -> None:
        """Look first: the directory goes with the server."""
        if self.directory.exists():
            self.search.directory(self.directory, leaving_out=[_CONFIGURATION])
        super().stop()

    def _command(self) -> list[str]:
        program, *options = super()._command()
        configuration = self.directory / _CONFIGURATION  # not in argv, which everybody sees
        configuration.write_text(f"requirepass {REDIS_PASSWORD}\n{_PLAIN_LOG}")
        return [program, str(configuration), *options]


@contextmanager
def watched(search: Search = SEARCH) -> Iterator[Search]:
    """Look at what commands are given and say, in this process and in others, as long as this lasts."""
    with pytest.MonkeyPatch.context() as patch:
        _watch(patch, subprocess.Popen, "__init__", before=lambda _, command, *__: _argv(search, command))
        _watch(patch, subprocess.Popen, "communicate", after=lambda process, told: _said(search, process.args, told))
        capture: Any = pytest.CaptureFixture
        _watch(patch, capture, "readouterr", after=lambda _, told: _said(search, "a command in this process", told))
        yield search


def _argv(search: Search, command: Any) -> None:
    words = [command] if isinstance(command, str | bytes | Path) else command
    search.text("a command line", " ".join(map(str, words)))


def _said(search: Search, command: Any, told: Any) -> None:
    words = command if isinstance(command, str | bytes) else " ".join(map(str, command))
    for stream, text in zip(("stdout", "stderr"), told, strict=True):
        search.text(f"{stream} of {words[:200]!r}", text)


def _watch(
    patch: pytest.MonkeyPatch,
    kind: Any,
    name: str,
    *,
    before: Callable[..., None] | None = None,
    after: Callable[[Any, Any], None] | None = None,
) -> None:
    original = getattr(kind, name)

    def watching(self: Any, *given: Any, **options: Any) -> Any:
        if before is not None:
            before(self, *(given or [options.get("args", ())]))
        told = original(self, *given, **options)
        if after is not None:
            after(self, told)
        return told

    patch.setattr(kind, name, watching)


def verdict(search: Search = SEARCH) -> None:
    """Fail where something was found."""
    if search.hits:
        pytest.fail("secrets were found:\n  " + "\n  ".join(search.hits), pytrace=False)
