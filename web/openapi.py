"""`/openapi.json`: OpenAPI 3.1, made from the table of routes and from the types that check requests."""

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from web.api import answers
from web.api.bulk import LARGEST_ARRAY, MOST_LINES
from web.api.operations import NDJSON, OPERATIONS, Operation

if TYPE_CHECKING:
    from web.routes import Route

Node = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"
_TAGS: Final[Mapping[str, str]] = {
    "payments": "Hand in payments, follow them, retry and cancel them.",
    "doubts": "Payments of which nobody knows whether they were paid.",
    "portals": "Bitrix24 portals and their lanes.",
    "callbacks": "Who is told of a payment's end.",
    "process": "The web process itself.",
}
_REFUSALS: Final[Mapping[int, str]] = {
    400: "The body cannot be read: not JSON, a name twice in one object, or broken off.",
    401: "No token, or one that is not known (any more).",
    403: "The token's role may not do this.",
    404: "There is no such thing, or the token is not for its portal.",
    408: "The body did not come in time.",
    409: "What is asked for is in conflict with what is: the problem says with what.",
    410: "It has expired.",
    413: "The body is too large.",
    415: "The body has another type than this address takes.",
    422: "Something in it is wrong: `errors` lists everything; or the idempotency key belongs to another payment.",
    429: "Too many requests; `Retry-After` says how long to wait.",
    500: "A fault of ours.",
    503: "Redis is away, or this process is full; send the same again after `Retry-After` seconds.",
    504: "It took too long.",
}
# Routes that verify their callers themselves, or are no part of the API: what they answer stands here.
_OTHERS: Final[Mapping[str, frozenset[int]]] = {
    "/healthz": frozenset(),
    "/readyz": frozenset(),
    "/v1/callbacks": frozenset({422}),
    "/v1/callbacks/{id}/resend": frozenset({404}),
    "/v1/install/{key}/{door}": frozenset({400, 403, 404, 409, 410, 413, 415, 422, 429, 504}),
}
_ALWAYS: Final = frozenset({500, 503})
_GUARDED: Final = frozenset({401, 403, 429})
_WITH_RETRY: Final = frozenset({429, 503})


def document(routes: "Iterable[Route]") -> Node:
    """The whole document of a table of routes; pages are no part of the API."""
    routes = tuple(route for route in routes if not route.page)
    paths: Node = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "b24pay",
            "version": "1",
            "description": "Pays Bitrix24 invoices: nothing accepted is lost, nothing is paid twice, paid is proven.",
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Made by `b24pay token create`."}
            },
        },
    }


def _operation(route: "Route") -> Node:
    known = OPERATIONS.get(route.handler, Operation(name=_name(route), tag="process"))
    summary, text = _told(route)
    refusals = _ALWAYS | known.refusals | _OTHERS.get(route.path, frozenset()) | (_GUARDED if route.roles else set())
    node: Node = {
        "operationId": known.name,
        "tags": [known.tag],
        "summary": summary,
        "description": text,
        "security": [{"token": []}] if route.roles else [],
        "x-roles": sorted(route.roles),
        "parameters": [*_path_parameters(route.path), *_query_parameters(known.query), *_key_header(known)],
        "responses": {**_answers(known), **{str(status): _refusal(status) for status in sorted(refusals)}},
    }
    if known.body is not None:
        node["requestBody"] = {"required": known.body_required, "content": _bodies(known, known.body)}
    return node


def _name(route: "Route") -> str:
    return route.method.lower() + "".join(part.capitalize() for part in re.findall(r"[a-z0-9]+", route.path.lower()))


def _told(route: "Route") -> tuple[str, str]:
    """Summary and description of a handler, which is its docstring in lines of any length."""
    first, _, rest = inspect.cleandoc(route.handler.__doc__ or route.path).partition("\n\n")
    summary, dot, more = " ".join(first.split()).partition(". ")
    text = "\n\n".join(filter(None, (more, *(" ".join(part.split()) for part in rest.split("\n\n")))))
    return summary + dot.strip(), text


def _path_parameters(path: str) -> list[Node]:
    texts = {"id": "The payment's id, or any other that has joined it.", "key": "The portal's key."}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": texts.get(name, name),
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query_parameters(model: type[BaseModel] | None) -> list[Node]:
    if model is None:
        return []
    schema = model.model_json_schema()
    nodes = []
    for name, described in schema["properties"].items():
        inner = {key: value for key, value in described.items() if key not in ("title", "description", "default")}
        chosen = next((each for each in inner.get("anyOf", []) if each.get("type") == "null"), None)
        if chosen is not None:  # left out, and never null
            options = [each for each in inner["anyOf"] if each is not chosen]
            inner = options[0] if len(options) == 1 else {"anyOf": options}
        node = {"name": name, "in": "query", "required": False, "schema": _inlined(inner, schema.get("$defs", {}))}
        nodes.append(node | {"description": described.get("description", "")})
    return nodes


def _inlined(node: Any, known: Mapping[str, Any]) -> Any:  # a JSON schema, whatever is in it
    if isinstance(node, dict):
        if "$ref" in node:
            return _inlined(known[node["$ref"].rpartition("/")[2]], known)
        return {key: _inlined(value, known) for key, value in node.items()}
    return [_inlined(each, known) for each in node] if isinstance(node, list) else node


def _key_header(operation: Operation) -> list[Node]:
    if not operation.keyed:
        return []
    text = "Names this request: sent again with the same body, it gets the same answer and makes no second payment."
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "description": text, "schema": schema}]


def _bodies(operation: Operation, model: type[BaseModel]) -> Node:
    one = {"$ref": _SCHEMAS + model.__name__}
    if not operation.bulk:
        return {_JSON: {"schema": one}}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": LARGEST_ARRAY}
    line = '`{"portal":"acme","invoice_id":2,"pay_system_id":31}`'
    text = f"Up to {MOST_LINES:,} lines, each a {model.__name__} such as {line}."
    stream = {"type": "string", "minLength": 1, "description": text}
    return {
        _JSON: {"schema": {"anyOf": [one, many]}},
        NDJSON: {"schema": stream},
    }


def _answers(operation: Operation) -> Node:
    if not operation.answers:
        return {"200": {"description": "Done."}}
    return {str(status): _answer(operation, status, *told) for status, told in operation.answers.items()}


def _answer(operation: Operation, status: int, text: str, model: type[BaseModel] | None) -> Node:
    node: Node = {"description": text}
    if model is not None:
        node["content"] = {_JSON: {"schema": {"$ref": _SCHEMAS + model.__name__}}}
    if operation.bulk and status == web.HTTPAccepted.status_code:
        many = [{"$ref": _SCHEMAS + "Accepted"}, {"$ref": _SCHEMAS + "Items"}]
        node["content"] = {_JSON: {"schema": {"anyOf": many}}, NDJSON: {"schema": {"type": "string"}}}
        node["headers"] = {
            "Location": _header("The payment; not of many."),
            "Idempotency-Replayed": _header("`true` where the answer is that of an earlier request."),
        }
    if operation.links and status == web.HTTPAccepted.status_code:
        node["links"] = {
            name: {"operationId": name, "parameters": {"id": "$response.body#/id"}}
            for name in ("getPayment", "retryPayment", "cancelPayment", "verifyDoubt", "resolveDoubt")
        }
    return node


def _refusal(status: int) -> Node:
    node: Node = {
        "description": _REFUSALS[status],
        "content": {_PROBLEM: {"schema": {"$ref": _SCHEMAS + "Problem"}}},
    }
    if status in _WITH_RETRY:
        node["headers"] = {"Retry-After": _header("Seconds.")}
    return node


def _header(text: str) -> Node:
    return {"description": text, "schema": {"type": "string"}}


def _schemas() -> Node:
    sent = {operation.body for operation in OPERATIONS.values() if operation.body}
    got = {model for operation in OPERATIONS.values() for _, model in operation.answers.values() if model}
    told: list[type[BaseModel]] = [*got, answers.Problem, answers.Items]
    known: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in sent]
    known += [(model, "serialization") for model in told]
    known.sort(key=lambda each: each[0].__name__)
    _, schemas = models_json_schema(known, ref_template=_SCHEMAS + "{model}")
    return dict(schemas["$defs"])


@cache
def _known() -> Node:
    from web.routes import ROUTES

    return document(ROUTES)


async def show_document(_request: web.Request) -> web.Response:
    """Show this API as an OpenAPI document."""
    return web.json_response(_known())


async def show_page(_request: web.Request) -> web.Response:
    """Show this API as a page for people."""
    from web.openapi_page import POLICY, page

    return web.Response(text=page(_known()), content_type="text/html", headers={"Content-Security-Policy": POLICY})
