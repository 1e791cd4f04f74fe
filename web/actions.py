"""What the audit hears of a request that changes something: before its handler runs, and how it ended."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import structlog
from aiohttp import web

from access.audit import Ending, Intent, Origin, Outcome
from web.access import PRINCIPAL, route_of
from web.guards import REQUEST_ID, Handler
from web.parts import PARTS
from web.problems import Problem

log = structlog.get_logger(__name__)

# What a change may be called; the command line says the same.
RETRY: Final = "payment.retry"
CANCEL: Final = "payment.cancel"
VERIFY: Final = "doubt.verify"
RESOLVE: Final = "doubt.resolve"
HOLD: Final = "portal.hold"
RESUME: Final = "portal.resume"
RESEND: Final = "callback.resend"
RECONCILE: Final = "portal.reconcile"
_BEGUN: Final = web.RequestKey("begun", dict)  # the id of the intent's row under "id", until its ending is written
_REFUSALS: Final = range(400, 500)


async def record(  # noqa: PLR0917 - the parts of one sentence, in its order
    request: web.Request, action: str, subject: str, before: object = None, after: object = None, why: str | None = None
) -> None:
    """Write down what this request has changed: it ends the intent that was written before the handler ran.

    A handler that changes several things calls it for each of them. Raises RedisError.
    """
    who = request[PRINCIPAL].name
    log.info("web.changed", who=who, action=action, subject=subject, before=before, after=after, why=why)
    ending = Ending(outcome=Outcome.DONE, what=action, subjects=[subject], before=before, after=after, why=why)
    begun = request[_BEGUN].pop("id", None) if _BEGUN in request else None
    audit = request.app[PARTS].audit
    if begun is not None:
        await audit.end(begun, ending)
    else:
        await audit.note(_intent(request, action, [subject]), ending)


@dataclass(slots=True)
class Portion:
    """Up to a hundred payments of a bulk change; whoever changes them says here what became of each."""

    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    changed: int = 0

    def note(self, payment_id: str, before: str, after: str, *, changed: bool) -> None:
        """What became of one payment."""
        self.before[payment_id], self.after[payment_id] = before, after
        self.changed += changed


@asynccontextmanager
async def portion(request: web.Request, action: str, subjects: Sequence[str], why: str) -> AsyncIterator[Portion]:
    """Put a part of a bulk change between two rows of its own, with the name of each payment in both."""
    audit, made = request.app[PARTS].audit, Portion()
    begun = await audit.begin(replace(_intent(request, action, list(subjects)), why=why))
    ending = Ending(outcome=Outcome.FAILED)
    try:
        yield made
        whole = made.changed == len(subjects)
        outcome = Outcome.DONE if whole else Outcome.PARTLY if made.changed else Outcome.REFUSED
        ending = Ending(outcome=outcome)
    except Exception as error:
        ending = Ending(outcome=Outcome.FAILED, error=type(error).__name__)
        raise
    finally:
        await audit.end(begun, replace(ending, before=made.before, after=made.after))


@web.middleware
async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run the handler of a route with an action between two rows of the audit; a refusal is a row as well."""
    route = route_of(request)
    if route is None or route.action is None:
        return await handler(request)
    audit = request.app[PARTS].audit
    begun = {"id": await audit.begin(_intent(request, route.action, list(request.match_info.values())))}
    request[_BEGUN] = begun
    ending = Ending(outcome=Outcome.FAILED)
    try:
        response = await handler(request)
    except Problem as problem:
        outcome = Outcome.REFUSED if problem.status in _REFUSALS else Outcome.FAILED
        ending = Ending(outcome=outcome, error=problem.cause)
        raise
    except web.HTTPException as error:
        ending = Ending(outcome=Outcome.REFUSED, error=f"HTTP {error.status}")
        raise
    except Exception as error:
        ending = Ending(outcome=Outcome.FAILED, error=type(error).__name__)
        raise
    else:
        ending = Ending(outcome=Outcome.REFUSED if response.status in _REFUSALS else Outcome.DONE)
        return response
    finally:
        if "id" in begun:
            await audit.end(begun["id"], ending)


def _intent(request: web.Request, what: str, subjects: list[str]) -> Intent:
    principal, route = request[PRINCIPAL], route_of(request)
    return Intent(
        who=principal.name,
        role=principal.role.value,
        origin=Origin.WEB if route is not None and route.page else Origin.HTTP,
        what=what,
        subjects=subjects,
        request_id=request[REQUEST_ID],
        token=principal.token_id,
    )
