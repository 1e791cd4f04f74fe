"""What schemathesis is told of this API: which portals there are, how a stream looks, and what no schema can say.

Loaded by schemathesis itself (SCHEMATHESIS_HOOKS); run it with `python -m tests.api_cases`.
"""

import json
import os
import re
from typing import Any

import schemathesis
from hypothesis import strategies as st

PORTALS = os.environ.get("B24_API_PORTALS", "portal-1").split(",")
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
LONGEST_URL = 8000
# A schema cannot say that a character is printable, that a header and a field agree, that a key is used by another
# payment already, that a stream has a line, what a cursor is made of, or which hosts are allowed. Refused for exactly
# this, well-formed data is no finding.
BEYOND_SCHEMAS = {"printable", "same-key", "cursor", "callback"}

_line = st.fixed_dictionaries(
    {
        "portal": st.sampled_from([*PORTALS, "nobody"]),
        "invoice_id": st.integers(-1, 50),
        "pay_system_id": st.integers(1, 3),
    },
    optional={"idempotency_key": st.text(max_size=5), "x": st.none()},
)
_text = st.one_of(_line.map(json.dumps), st.text(max_size=20), st.just(""))
schemathesis.openapi.media_type(
    "application/x-ndjson",
    st.lists(_text, min_size=1, max_size=6).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Give well-formed portal keys that nobody has to portals that are there."""
    for each in body if isinstance(body, list) else [body]:
        if isinstance(each, dict) and isinstance(each.get("portal"), str) and _KEY.fullmatch(each["portal"]):
            each["portal"] = PORTALS[len(each["portal"]) % len(PORTALS)]
    return body


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """The same for paths, now and then."""
    key = (path_parameters or {}).get("key")
    if isinstance(key, str) and len(key) % 2:
        path_parameters["key"] = PORTALS[len(key) % len(PORTALS)]
    return path_parameters


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Keep every finding but refusals of what no schema can say."""
    if response.status_code == 400 and len(response.request.url) > LONGEST_URL:
        return False  # refused by the HTTP parser, before any route is known
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 422:
        return True
    problem = json.loads(response.content)
    if problem["type"] in ("urn:b24pay:problem:key-used", "urn:b24pay:problem:empty"):
        return False
    errors = problem.get("errors", [])
    return not errors or not all(_is_beyond(each, case.body) for each in errors)


def _is_beyond(error: dict[str, str], body: Any) -> bool:
    if error["rule"] == "whole-number" and "pointer" in error:
        # 2.0 is an integer to JSON Schema, and a fraction to whoever reads it as one.
        return isinstance(_at(body, error["pointer"]), float)
    return error["rule"] in BEYOND_SCHEMAS


def _at(body: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        body = body[int(part)] if isinstance(body, list) else body[part]
    return body
