"""How a fault's reply is made, out of nothing or out of the true one."""

import json

from emulator.faults import Fault, Kind
from emulator.php import Value
from emulator.reply import HTML_TYPE, Delivery, Reply, error_reply, html_reply, json_reply

_PAGES = {
    Kind.HTML_500: 500,
    Kind.HTML_502: 502,
    Kind.HTML_503: 503,
    Kind.HTML_504: 504,
    Kind.HTML_403: 403,
}
_DELIVERIES = {
    Kind.RESET: Delivery.RESET,
    Kind.CLOSE: Delivery.CLOSE,
    Kind.CUT_BODY: Delivery.CUT,
    Kind.DRIP: Delivery.DRIP,
    Kind.HUGE: Delivery.HUGE,
}


def spoil(fault: Fault, true: Reply | None) -> Reply:
    """The reply a struck request gets; `true` is None when nothing was executed (yet)."""
    reply = _spoilt(fault, true or json_reply({"result": True}))
    if fault.status is not None:
        reply.status = fault.status
    reply.headers.update(fault.headers)
    reply.delay_s += fault.delay_s
    return reply


def _spoilt(fault: Fault, true: Reply) -> Reply:
    if fault.kind in _PAGES:
        return html_reply(_PAGES[fault.kind])
    if fault.kind in _DELIVERIES:
        return Reply(
            true.status,
            true.body,
            true.content_type,
            dict(true.headers),
            true.code,
            delivery=_DELIVERIES[fault.kind],
            step_s=fault.seconds or 0.05,
            size=fault.size,
        )
    return _refusal(fault) or _distorted(fault, true)


_REFUSALS: dict[Kind, tuple[str | int | None, str | None, int]] = {
    Kind.JSON_500: ("INTERNAL_SERVER_ERROR", "Internal server error", 500),
    Kind.WRONG_ENCODING: ("WRONG_ENCODING", "Wrong request encoding", 200),
    Kind.SQL_ERROR: ("ERROR_CORE", "SQL query error!", 500),
    Kind.ERROR: (None, None, 400),  # as the rule says
}


def _refusal(fault: Fault) -> Reply | None:
    if fault.kind in _REFUSALS:
        code, text, status = _REFUSALS[fault.kind]
        return error_reply(fault.code if code is None else code, text or fault.text, status)
    match fault.kind:
        case Kind.NUMERIC_CODE:
            return error_reply(fault.code if isinstance(fault.code, int) else 0, fault.text, 400)
        case Kind.REPLY:
            return Reply(200, fault.body.encode(), fault.content_type)
        case Kind.EMPTY:
            return Reply(200, b"", HTML_TYPE)
        case _:
            return None


def _distorted(fault: Fault, true: Reply) -> Reply:
    reply = Reply(true.status, true.body, true.content_type, dict(true.headers), true.code)
    match fault.kind:
        case Kind.TRUNCATED:
            reply.body = true.body[: len(true.body) * 2 // 3]
        case Kind.WRONG_TYPE:
            reply.content_type = HTML_TYPE
        case Kind.HANG:
            reply.delay_s = fault.seconds
        case Kind.LIST | Kind.RESULT_LIST:
            reply.body = _listed(true.body, inside=fault.kind is Kind.RESULT_LIST)
        case _:
            pass
    return reply


def _listed(body: bytes, *, inside: bool) -> bytes:
    payload: Value = json.loads(body)
    if inside and isinstance(payload, dict):
        result = payload.get("result")
        payload["result"] = list(result.values()) if isinstance(result, dict) else [result]
        return json.dumps(payload).encode()
    return json.dumps([payload]).encode()
