"""What `/openapi.json` says of a route beyond its path and roles: the types of its body, query and answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

from web.guards import Handler

NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. Its summary and description are the handler's docstring."""

    name: str
    tag: str
    body: type[BaseModel] | None = None
    body_required: bool = True
    bulk: bool = False  # also takes an array of bodies, and NDJSON with one a line
    query: type[BaseModel] | None = None
    keyed: bool = False  # takes Idempotency-Key
    answers: Mapping[int, tuple[str, type[BaseModel] | None]] = field(default_factory=dict)
    refusals: frozenset[int] = frozenset()
    links: bool = False  # its answer names a payment


OPERATIONS: Final[dict[Handler, Operation]] = {}


def described(operation: Operation) -> Callable[[Handler], Handler]:
    """Say what a handler takes and answers."""

    def remember(handler: Handler) -> Handler:
        OPERATIONS[handler] = operation
        return handler

    return remember
