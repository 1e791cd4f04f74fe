"""The synchronous producer's door to the ledger: it writes payments down and reads them, nothing else."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, TypeVar

from ledger.ledger import Opened
from ledger.payment import NewPayment, Payment
from ledger.redis import steps
from ledger.redis.replies import as_reply
from ledger.redis.schema import require_schema
from ledger.redis.scripts import PREFIX, Script, load_scripts
from ledger.redis.steps import OPEN_CHUNK, Step

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")

# Steps under way at once: the server has the next one when it is done with one, and its fsync with it.
AHEAD = 2


class ProducerLedger:
    """`open` and `find` of the ledger for a caller without an event loop."""

    def __init__(self, client: "Redis", *, scripts: Mapping[str, Script] | None = None) -> None:
        self._client = client
        self._scripts = scripts or load_scripts()

    def check_schema(self) -> None:
        """Raise UnknownSchema when the ledger was written by another version of this program."""
        require_schema(self._run(steps.check_schema()))

    def open(self, requests: Sequence[NewPayment]) -> list[Opened]:
        """Write requests down in order and make their lanes due; one answer per request, each decided atomically."""
        chunks = [requests[first : first + OPEN_CHUNK] for first in range(0, len(requests), OPEN_CHUNK)]
        answers: list[Opened] = []
        for opened in self._run_all([steps.open_payments(chunk) for chunk in chunks]):
            answers += opened
        return answers

    def find(self, handles: Sequence[str]) -> list[Payment | None]:
        """Read payments by id or by any handle that joined them."""
        return self._run(steps.find(handles)) if handles else []

    def _run_all(self, wanted: Sequence[Step[T]]) -> Iterator[T]:
        """Run steps in order. Where sending them ahead fails, go on one by one from there.

        The one behind the failed one may have been done already; it is repeated, as any step may be.
        """
        done = 0
        if len(wanted) > 1:
            with closing(self._replies(wanted)) as replies:
                for reply in replies:
                    yield wanted[done].decode(as_reply(reply))
                    done += 1
        for step in wanted[done:]:
            yield self._run(step)

    def _replies(self, wanted: Sequence[Step[T]]) -> Generator[object]:
        """What the server answers, while it has the next step already; ends at the first trouble of any kind."""
        from redis.exceptions import RedisError

        pool = self._client.connection_pool
        with suppress(RedisError, OSError):
            connection = pool.get_connection()
            sent = read = 0
            try:
                while read < len(wanted):
                    for step in wanted[sent : read + AHEAD]:
                        asked = ("EVALSHA", self._scripts[step.script].sha, 1, PREFIX, *step.arguments)
                        connection.send_command(*asked, check_health=sent == 0)  # type: ignore[no-untyped-call]  # so it is in redis-py
                        sent += 1
                    reply = connection.read_response()
                    read += 1
                    yield reply
            finally:
                if read < sent:
                    # An answer that nobody waits for may still come.
                    connection.disconnect()  # type: ignore[no-untyped-call]  # so it is in redis-py
                pool.release(connection)

    def _run(self, step: Step[T]) -> T:
        from redis.exceptions import NoScriptError

        script = self._scripts[step.script]
        try:
            reply = self._client.evalsha(script.sha, 1, PREFIX, *step.arguments)
        except NoScriptError:  # a new server, or somebody emptied its script cache
            reply = self._client.eval(script.text, 1, PREFIX, *step.arguments)
        return step.decode(as_reply(reply))
