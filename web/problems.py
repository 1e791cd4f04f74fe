"""Refusals: `application/problem+json` (RFC 9457) with a cause and a next step, and never a secret in it."""

import json
from collections.abc import Mapping
from typing import Final

from aiohttp import web

_TYPE: Final = "urn:b24pay:problem:"


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A request is refused. `name` is stable and for programs; cause and next step are for people."""

    def __init__(
        self,
        status: int,
        name: str,
        cause: str,
        next_step: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{name}: {cause}")
        self.status = status
        self.name = name
        self.cause = cause
        self.next_step = next_step
        self.headers = dict(headers or {})
        self.members = dict(members or {})  # what a program needs besides: the payment in the way, each wrong field

    def document(self) -> dict[str, object]:
        """The problem for programs."""
        return {
            "type": _TYPE + self.name,
            "title": self.name.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.cause,
            "next_step": self.next_step,
            **self.members,
        }


def answer(problem: Problem, request_id: str) -> web.Response:
    """The problem as a response."""
    body = {**problem.document(), "request_id": request_id}
    return web.Response(
        body=json.dumps(body, ensure_ascii=False).encode(),
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )


def of_http(error: web.HTTPException) -> Problem:
    """What aiohttp refuses by itself, without its text."""
    match error.status:
        case 404:
            return Problem(404, "not-found", "There is nothing at this address.", "Check the address.")
        case 405:
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return Problem(405, "wrong-method", "This address takes another method.", "See Allow.", headers=allow)
        case 413:
            return Problem(413, "too-large", "The body is larger than anything that belongs here.", "Send less.")
        case status:
            return Problem(status, "refused", "The request cannot be read.", "Check its form.")


def unavailable(cause: str) -> Problem:
    """What passes by itself."""
    return Problem(503, "unavailable", cause, "Send the same again in a moment.", headers={"Retry-After": "5"})
