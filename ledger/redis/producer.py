"""The synchronous producer's door to the ledger: it writes payments down and reads them, nothing else."""

from collections.abc import Mapping, Sequence
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
        answers: list[Opened] = []
        for first in range(0, len(requests), OPEN_CHUNK):
            opened = self._run(steps.open_payments(requests[first : first + OPEN_CHUNK]))
            answers += opened
        return answers

    def find(self, handles: Sequence[str]) -> list[Payment | None]:
        """Read payments by id or by any handle that joined them."""
        return self._run(steps.find(handles)) if handles else []

    def _run(self, step: Step[T]) -> T:
        from redis.exceptions import NoScriptError

        script = self._scripts[step.script]
        try:
            reply = self._client.evalsha(script.sha, 1, PREFIX, *step.arguments)
        except NoScriptError:  # a new server, or somebody emptied its script cache
            reply = self._client.eval(script.text, 1, PREFIX, *step.arguments)
        return step.decode(as_reply(reply))
