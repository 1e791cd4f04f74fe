"""The far side as the worker sees it: pay, read back, call. It states facts; it never retries, waits or decides.

Every method is one HTTP request. What is not a result is raised as (or, inside a batch, answered with) a PortalError
that says whether the call had left us and what that means.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode

from yarl import URL

from bitrix24.batch import (
    BATCH_METHOD,
    PAY_METHOD,
    PAYS_MAX,
    READ_KEY,
    BatchReply,
    batch_params,
    duration_of,
    duration_of_all,
    get_key,
    look_params,
    operating_of,
    pay_key,
    pay_params,
    read_batch,
)
from bitrix24.classification import Body, Ending, Where, classify
from bitrix24.credentials import OAuth
from bitrix24.errors import Moved, NoAnswer, NotSent, PortalError, Refused
from bitrix24.facts import Answer, Claims, Invoice, Invoices, Pay, Reply, Seen
from bitrix24.fence import clock
from bitrix24.hosts import is_oauth_host, new_endpoint
from bitrix24.invoices import GET_METHOD, READ_MAX, READ_METHOD, read_params, read_rows
from bitrix24.portal import Portal
from bitrix24.shapes import NOT_JSON, error_of, parse, redact, redact_code
from bitrix24.tokens import Renewed, read_renewal, renewal_form
from bitrix24.transport import Call, HttpReply, Lost, Transport

_OK: Final = range(200, 300)
RENEWAL_S: Final = 15.0  # a token server that needs longer is out of order
_FORM: Final = "application/x-www-form-urlencoded"
_NO_SUCH: Final = re.compile(r"^not found\W*$", re.IGNORECASE)  # `crm.invoice.get`, with an empty code


class Client:
    """One shared HTTP session for all portals of a process; open it in the loop that uses it.

    `connections` bounds the calls under way at once, over all portals; who waits for one longer than a quarter of
    `http_total_s` (at most 15 s) gets NotSent. `proxy` is the URL of an HTTP proxy that all calls go through.
    """

    def __init__(
        self,
        *,
        http_total_s: float = 60.0,
        allow_insecure: bool = False,
        connections: int = 256,
        proxy: str | None = None,
        clock: Callable[[], float] = clock,
    ) -> None:
        self._allow_insecure = allow_insecure
        self._transport = Transport(
            http_total_s=http_total_s,
            allow_insecure=allow_insecure,
            connections=connections,
            proxy=proxy,
            clock=clock,
        )

    async def open(self) -> None:
        """Make the session; a second call changes nothing."""
        await self._transport.open()

    async def close(self) -> None:
        """Close the session; calls under way end as errors."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def pay(
        self, portal: Portal, pays: Sequence[Pay], *, singly: bool = False, must_end_by: float | None = None
    ) -> Reply:
        """Send 1-49 pays and one read-back of their invoices in one batch; an answer per pay, in the order asked.

        Raises PortalError where the request as a whole has no answer: its meaning then holds for every pay.
        `singly` sends exactly one pay by a direct call instead: its refusal is raised as well, and `invoices` is empty,
        so the caller reads back with a `read_back` of its own. `must_end_by` is a moment of `bitrix24.fence.clock`:
        nothing leaves after it, whatever this process went through on the way.
        """
        if not 1 <= len(pays) <= (1 if singly else PAYS_MAX):
            raise ValueError(f"{len(pays)} pays do not fit into one request")
        if singly:
            return await self._pay_singly(portal, pays[0], must_end_by)
        value, took_s = await self._ask(portal, BATCH_METHOD, batch_params(pays), must_end_by)
        batch = read_batch(value, len(pays))
        if batch is None:
            raise _error(portal, BATCH_METHOD, Ending(where=Where.REPLY, status=200, body=Body.JSON, in_batch=True))
        answers = tuple(_answer(portal, batch, at) for at in range(len(pays)))
        invoices = _invoices(portal, batch, [pay.invoice_id for pay in pays])
        ran = zip(answers, batch.durations, strict=True)
        commands_s = duration_of_all(duration for answer, duration in ran if isinstance(answer, Claims))
        return Reply(
            answers=answers, invoices=invoices, took_s=took_s, operating=batch.operating, commands_s=commands_s
        )

    async def read_back(self, portal: Portal, invoice_ids: Sequence[int]) -> Mapping[int, Invoice]:
        """What the portal says now about at most 50 invoices; an absent one was deleted or is not readable."""
        if len(invoice_ids) > READ_MAX:
            raise ValueError(f"{len(invoice_ids)} invoices do not fit into one request")
        if not invoice_ids:
            return {}
        value, _ = await self._ask(portal, READ_METHOD, read_params(invoice_ids))
        invoices = read_rows(value.get("result"), invoice_ids)
        if invoices is None:
            raise _unreadable(portal, in_batch=False)
        return invoices

    async def look_again(
        self, portal: Portal, listed: Sequence[int], one_by_one: Sequence[int]
    ) -> Mapping[int, Seen | PortalError]:
        """What the portal says of invoices that a reading left open, in one batch: of those that it had `listed`, and,
        asked for one by one, of those that it had not. None: there is no such invoice.

        Raises PortalError where the request as a whole has no answer.
        """
        if bool(listed) + len(one_by_one) > READ_MAX:
            raise ValueError(f"{len(listed)} and {len(one_by_one)} invoices do not fit into one request")
        value, _ = await self._ask(portal, BATCH_METHOD, look_params(listed, one_by_one))
        batch = read_batch(value, 0)
        if batch is None:
            raise _unreadable(portal, in_batch=True)
        return {**_listed_again(portal, batch, listed), **{each: _seen(portal, batch, each) for each in one_by_one}}

    async def call(self, portal: Portal, method: str, params: Mapping[str, object] | None = None) -> object:
        """The `result` of any method, for live checks; raises PortalError."""
        value, _ = await self._ask(portal, method, params or {})
        return value.get("result")

    async def renew(self, portal: Portal) -> Renewed:
        """Exchange the refresh token of a portal's application for a new pair; raises PortalError.

        The old pair may be worth nothing from here on: store the new one before anything else. `renewal` does that.
        """
        credential = portal.credential
        if not isinstance(credential, OAuth):
            raise TypeError(f"the credential of {portal.key} cannot be renewed")
        if not is_oauth_host(URL(credential.oauth_url), allow_insecure=self._allow_insecure):
            return read_renewal(credential, Lost(left=False, reason="its address is not Bitrix24's"), 0.0)
        began = time.time()
        form = urlencode(renewal_form(credential)).encode()
        call = Call(
            portal=portal.key,
            url=URL(credential.oauth_url),
            body=form,
            content_type="application/x-www-form-urlencoded",
        )
        return read_renewal(credential, await self._transport.send(call, clock() + RENEWAL_S), began)

    async def _pay_singly(self, portal: Portal, pay: Pay, must_end_by: float | None) -> Reply:
        value, took_s = await self._ask(portal, PAY_METHOD, pay_params(pay), must_end_by)
        if value.get("result") is not True:
            raise _error(portal, PAY_METHOD, Ending(where=Where.REPLY, status=200, body=Body.JSON))
        time = value.get("time")
        return Reply(
            answers=(Claims(),),
            invoices={},
            took_s=took_s,
            operating=operating_of(time),
            commands_s=duration_of(time),
        )

    async def _ask(
        self, portal: Portal, method: str, params: Mapping[str, object], must_end_by: float | None = None
    ) -> tuple[Mapping[str, object], float]:
        """A reply that has a `result` and how long it took; raises PortalError for everything else."""
        came = await self._transport.post(portal, method, json.dumps(params, allow_nan=False).encode(), must_end_by)
        if isinstance(came, Lost):
            raise _lost(portal, method, came)
        value = parse(came.text)
        if came.status in _OK and isinstance(value, dict) and "error" not in value and "result" in value:
            return value, came.took_s
        raise self._refused(portal, method, came, value)

    def _refused(self, portal: Portal, method: str, came: HttpReply, value: object) -> PortalError:
        error = error_of(value)
        body = Body.OTHER if value is NOT_JSON else Body.JSON if error is None else Body.ERROR
        code, text = error or ("", _describe(came, value))
        moved_to = None
        if came.status not in _OK and error is None:
            moved_to = new_endpoint(portal.endpoint, came.location, allow_insecure=self._allow_insecure)
        ending = Ending(
            where=Where.REPLY,
            status=came.status,
            code=code,
            text=text,
            body=body,
            in_batch=method == BATCH_METHOD,
            reading=method == READ_METHOD,
            moved=moved_to is not None,
            credential=portal.credential.kind,
        )
        return _error(portal, method, ending, moved_to)


def reading_not_permitted(error: PortalError) -> bool:
    """Whether a read-back failed because this credential may not read invoices, and not for a passing reason."""
    if error.method != READ_METHOD or isinstance(error, NotSent | NoAnswer):
        return False
    if error.code in ("INSUFFICIENT_SCOPE", "ERROR_METHOD_NOT_FOUND"):
        return True
    denied = "access denied" in error.text.lower()
    return denied if not error.code else error.code == "ACCESS_DENIED" and "commercial plan" not in error.text.lower()


def _answer(portal: Portal, batch: BatchReply, at: int) -> Answer:
    key = pay_key(at)
    claimed, refused = key in batch.results, key in batch.errors
    if claimed and not refused and batch.results[key] is True:
        return Claims()
    if refused and not claimed:
        return _command_error(portal, PAY_METHOD, batch.errors[key])
    where = Where.COMMAND if claimed else Where.MISSING
    return _error(portal, PAY_METHOD, Ending(where=where, text=_ODD[where], body=Body.JSON, in_batch=True))


def _invoices(portal: Portal, batch: BatchReply, asked: Sequence[int]) -> Invoices:
    if READ_KEY in batch.errors:
        return _command_error(portal, READ_METHOD, batch.errors[READ_KEY])
    found = read_rows(batch.results.get(READ_KEY), asked)
    return _unreadable(portal, in_batch=True) if found is None else found


def _listed_again(portal: Portal, batch: BatchReply, listed: Sequence[int]) -> Mapping[int, Seen | PortalError]:
    if not listed:
        return {}
    found = _invoices(portal, batch, listed)
    if isinstance(found, PortalError):
        return dict.fromkeys(listed, found)
    return {each: found.get(each) or _unreadable(portal, in_batch=True) for each in listed}


def _seen(portal: Portal, batch: BatchReply, invoice_id: int) -> Seen | PortalError:
    key = get_key(invoice_id)
    if key in batch.errors:
        error = _command_error(portal, GET_METHOD, batch.errors[key])
        return None if not error.code and _NO_SUCH.search(error.text) else error
    found = read_rows([batch.results.get(key)], [invoice_id]) or {}
    return found.get(invoice_id) or _unreadable(portal, in_batch=True)


def _command_error(portal: Portal, method: str, entry: object) -> PortalError:
    error = error_of(entry)
    code, text = error or ("", "an error without code")
    body = Body.JSON if error is None else Body.ERROR
    reading = method in (READ_METHOD, GET_METHOD)
    ending = Ending(where=Where.COMMAND, code=code, text=text, body=body, in_batch=True, reading=reading)
    return _error(portal, method, ending)


def _unreadable(portal: Portal, *, in_batch: bool) -> PortalError:
    text = "the read-back did not answer what was asked"
    ending = Ending(where=Where.COMMAND, text=text, body=Body.JSON, in_batch=in_batch, reading=True)
    return _error(portal, READ_METHOD, ending)


_ODD: Final = {
    Where.COMMAND: "the result was not true",
    Where.MISSING: "the reply does not mention this command",
}


def _lost(portal: Portal, method: str, lost: Lost) -> PortalError:
    where = Where.AFTER_SEND if lost.left else Where.CERTIFICATE if lost.certificate else Where.BEFORE_SEND
    reading = method == READ_METHOD
    ending = Ending(where=where, text=lost.reason, in_batch=method == BATCH_METHOD, reading=reading)
    return _error(portal, method, ending)


def _describe(came: HttpReply, value: object) -> str:
    if value is not NOT_JSON:
        return f"HTTP {came.status} with JSON that is no answer"
    if came.text is None:
        return f"HTTP {came.status} with a body that is too large or unreadable"
    return f"HTTP {came.status} with {'an empty body' if not came.text.strip() else 'a body that is no JSON'}"


def _error(portal: Portal, method: str, ending: Ending, moved_to: str | None = None) -> PortalError:
    """The error for an ending: its class says where the call stood, its meaning comes from the table."""
    secrets = [secret.reveal() for secret in portal.credential.secrets]
    code = redact_code(ending.code, *secrets)
    text = redact(ending.text, *secrets) or "no description"
    meaning = classify(ending)
    if moved_to is not None:
        return Moved(text, endpoint=moved_to, meaning=meaning, method=method, status=ending.status)
    kind: type[PortalError]
    if ending.where in (Where.BEFORE_SEND, Where.CERTIFICATE):
        kind = NotSent
    elif ending.body is Body.ERROR or (ending.status is not None and ending.status not in _OK):
        kind = Refused
    else:
        kind = NoAnswer
    return kind(code, text, meaning=meaning, method=method, status=ending.status)
