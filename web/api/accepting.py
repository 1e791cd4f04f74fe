"""`POST /v1/payments`: one payment, an array of them, or a stream with one a line."""

from typing import Final, assert_never

from aiohttp import web

from config.tracing import carried
from ledger.ledger import Accepted, AlreadyPaid, Conflict, Joined, Opened, UnknownPortal
from ledger.payment import NewPayment
from ledger.redis import RedisLedger
from tasks.payment import new_ids
from web import actions
from web.api import answers
from web.api.bodies import JSON, parse, read_bytes, require_type, required
from web.api.bulk import Bulk, take_array, take_lines
from web.api.conflicts import conflict
from web.api.door import API, ledger_of, may_touch, no_portal
from web.api.models import PaymentRequest, key_wrong
from web.api.names import named_by_key
from web.api.operations import NDJSON, Operation, described
from web.api.wrongs import Wrong, refusal

LARGEST_JSON: Final = 1_048_576  # 1,000 payments of an array, with room
_KEY_HEADER: Final = "Idempotency-Key"
_REPLAYED: Final = {"Idempotency-Replayed": "true"}


@described(
    Operation(
        name="acceptPayments",
        tag="payments",
        body=PaymentRequest,
        bulk=True,
        keyed=True,
        answers={
            202: ("Durable in the ledger.", answers.Accepted),
            200: ("The invoice is known as paid: its result, `duplicate` is true.", answers.PaymentDetails),
        },
        refusals=frozenset({400, 404, 408, 409, 413, 415, 422}),
        links=True,
    )
)
async def accept(request: web.Request) -> web.StreamResponse:
    """Hand in payments.

    One object is one payment. The same `Idempotency-Key` with the same body gets the same answer again, with
    `Idempotency-Replayed: true`; with another body it is refused with 422. An array has at most 1,000 payments: if one
    cannot be read, none is accepted. NDJSON has one payment a line, up to 100,000, and is answered line by line while
    it comes; a line that is refused does not stop the others.
    """
    kind = require_type(request, JSON, NDJSON)
    key = _key_of(request)
    ledger = await ledger_of(request)
    if kind == NDJSON:
        return await take_lines(request, Bulk(request, ledger, key))
    data = parse(await read_bytes(request, LARGEST_JSON))
    if isinstance(data, list):
        return await take_array(Bulk(request, ledger, key), data)
    return await _take_one(request, ledger, data, key)


def _key_of(request: web.Request) -> str | None:
    """The key of the request, as Stripe's (bare) or the IETF draft's (in quotes); raises Problem."""
    given = request.headers.getall(_KEY_HEADER, [])
    if not given:
        return None
    key = given[0][1:-1] if len(given[0]) > 1 and given[0][0] == given[0][-1] == '"' else given[0]
    wrong = key_wrong(key)
    if len(given) > 1:
        wrong = Wrong(_KEY_HEADER, "once", "is given twice", "Give it once.", within="header")
    if wrong:
        raise refusal([wrong])
    return key


async def _take_one(request: web.Request, ledger: RedisLedger, data: object, key: str | None) -> web.Response:
    wanted = required(PaymentRequest, data)
    if key and wanted.idempotency_key not in (None, key):
        text = "differs from the header Idempotency-Key"
        raise refusal([Wrong("/idempotency_key", "same-key", text, "Say the same in both, or leave one out.")])
    key = key or wanted.idempotency_key
    if not may_touch(request, wanted.portal):
        raise no_portal()
    ask = wanted.named(named_by_key(key) if key else new_ids(1)[0], key, carried(request.headers))
    return await _answer(request, ledger, ask, await request.app[API].gathering.open(ledger, ask))


async def _answer(request: web.Request, ledger: RedisLedger, ask: NewPayment, opened: Opened) -> web.Response:
    match opened:
        case Accepted(row):
            await actions.record(request, actions.ACCEPT, row.id, None, row.state, None)
            return _durable(answers.accepted(row), {})
        case Joined(row):
            return _durable(answers.accepted(row), _REPLAYED if ask.idempotency_key else {})
        case AlreadyPaid(row):
            # Under the name of this request it is a duplicate, for ever.
            place = {"Location": answers.url_of(ask.id)}
            return web.json_response(answers.payment_details(row), headers=place)
        case Conflict():
            raise await conflict(request, ledger, opened)
        case UnknownPortal():
            raise no_portal()
    assert_never(opened)


def _durable(document: answers.Document, headers: dict[str, str]) -> web.Response:
    return web.json_response(document, status=202, headers={"Location": str(document["url"]), **headers})
