"""Replies of a portal, and the ways in which their delivery can go wrong."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape

from emulator.php import Value

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"


class Delivery(StrEnum):
    """How the bytes get to the client."""

    WHOLE = "whole"
    RESET = "reset"  # TCP reset instead of a reply
    CLOSE = "close"  # orderly end of the connection instead of a reply
    CUT = "cut"  # full Content-Length, half the body, then the end
    DRIP = "drip"  # a few bytes at a time
    HUGE = "huge"  # an endless-looking body


@dataclass(slots=True)
class Reply:
    """A status, a body and how it is delivered."""

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""  # the error code in the body, for journal and counters
    delivery: Delivery = Delivery.WHOLE
    delay_s: float = 0.0  # held back by this before the first byte
    step_s: float = 0.05  # pause between drops
    size: int = 0  # bytes of a huge body


_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


def json_reply(payload: Value, status: int = 200, code: str = "") -> Reply:
    """A JSON reply as PHP encodes it: everything beyond ASCII escaped, no blanks."""
    body = json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()
    headers = {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff"}
    return Reply(status, body, JSON_TYPE, headers, code)


def error_reply(code: str | int, text: str, status: int) -> Reply:
    """A JSON refusal."""
    return json_reply({"error": code, "error_description": text}, status, str(code))


def html_reply(status: int) -> Reply:
    """The front end's own page, as nginx writes it."""
    title = f"{status} {_REASONS.get(status, 'Error')}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Reply(status, page.encode(), HTML_TYPE)


def redirect_reply(location: str, status: int) -> Reply:
    """A renamed portal's answer: the new address in a header and a page for people."""
    page = (
        "<!DOCTYPE html>\n<html><head><title>Redirect</title></head>"
        f'<body><h1>The document has moved <a href="{escape(location)}">here</a>.</h1></body></html>\n'
    )
    return Reply(status, page.encode(), HTML_TYPE, {"Location": location} if location else {})


def xml_reply(payload: Value, status: int, code: str) -> Reply:
    """The same reply for a method called with `.xml`."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<response>{_xml(payload)}</response>'
    headers = {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff"}
    return Reply(status, body.encode(), "application/xml; charset=utf-8", headers, code)


def _xml(value: Value) -> str:
    if isinstance(value, dict):
        return "".join(f"<{_tag(key)}>{_xml(item)}</{_tag(key)}>" for key, item in value.items())
    if isinstance(value, list):
        return "".join(f"<item>{_xml(item)}</item>" for item in value)
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else escape(str(value))


def _tag(key: str) -> str:
    return "item" if not key or key[0].isdecimal() else escape(key)
