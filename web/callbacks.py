"""Callbacks over HTTP: what is pending, failed or delivered, and sending again."""

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from access.roles import Principal
from callbacks.document import document_of
from ledger.callbacks import Callback, CallbackState
from web.access import PRINCIPAL
from web.parts import PARTS
from web.problems import Problem

_LIMIT: Final = 100
_LARGEST_LIMIT: Final = 500
_STEP: Final = "See docs/callbacks.md for what may be asked."
_PARAMETERS: Final = frozenset({"state", "host", "since", "cursor", "limit"})


async def list_callbacks(request: web.Request) -> web.Response:
    """`GET /v1/callbacks?state=&host=&since=&cursor=&limit=`: newest first, only those of the asker's portals.

    A page may have fewer than `limit` although `next` is there.
    """
    asked = request.query
    if unknown := sorted(set(asked) - _PARAMETERS):
        raise _bad(f"There is no parameter {unknown[0][:40]!r}.")
    page = await request.app[PARTS].ledger.callbacks.page(
        _state(asked.get("state", "pending")),
        host=asked.get("host", "").lower(),
        since=_moment(asked.get("since")),
        offset=_number("cursor", asked.get("cursor", "0"), 2**31 - 1),
        limit=max(1, _number("limit", asked.get("limit", str(_LIMIT)), _LARGEST_LIMIT)),
    )
    principal = request[PRINCIPAL]
    shown = [document_of(each) for each in page.callbacks if _is_theirs(principal, each)]
    return web.json_response({"callbacks": shown, "next": None if page.next is None else str(page.next)})


async def resend_callback(request: web.Request) -> web.Response:
    """`POST /v1/callbacks/{id}/resend`: due now, under the same id, with all its attempts."""
    outbox, event = request.app[PARTS].ledger.callbacks, request.match_info["id"]
    [known] = await outbox.find([event])
    if known is None or not _is_theirs(request[PRINCIPAL], known) or await outbox.resend([event]) != [True]:
        raise Problem(404, "no-callback", "There is no callback of this id (any more).", "See GET /v1/callbacks.")
    [now] = await outbox.find([event])
    return web.json_response(document_of(now or known), status=202)


def _is_theirs(principal: Principal, callback: Callback) -> bool:
    return principal.may_touch(callback.payment.portal)


def _state(text: str) -> CallbackState:
    try:
        return CallbackState(text)
    except ValueError:
        raise _bad(f"state is one of {', '.join(CallbackState)}.") from None


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(aware.astimezone(UTC), datetime.fromtimestamp(0, UTC))
    except (ValueError, OverflowError):
        raise _bad("since is a moment such as 2026-11-24T10:00:00Z.") from None


def _number(name: str, text: str, largest: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(largest)) and int(text) <= largest:
        return int(text)
    raise _bad(f"{name} is a whole number up to {largest}.")


def _bad(cause: str) -> Problem:
    return Problem(422, "bad-query", cause, _STEP)
