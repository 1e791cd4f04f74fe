"""The API as a page for people: made on the server, without a script, and with nothing from elsewhere."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root{--bg:#fff;--fg:#1c2430;--dim:#5c6b7f;--line:#dfe5ec;--soft:#f5f7fa;--get:#0b6bcb;--post:#147a3d;--code:#8a3ffc}
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--fg:#e4e9f0;--dim:#93a1b5;--line:#2a323d;--soft:#1a2029;
--get:#6cb2ff;--post:#5fd08b;--code:#c9a6ff}}
*{box-sizing:border-box}html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.55 system-ui,sans-serif;display:grid;
grid-template-columns:17rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.5rem 1.25rem;border-right:1px solid var(--line);
background:var(--soft);font-size:13.5px}nav h2{font-size:12px;text-transform:uppercase;letter-spacing:.06em;
color:var(--dim);margin:1.4rem 0 .4rem}nav a{display:block;color:var(--fg);text-decoration:none;padding:.15rem 0;
overflow-wrap:anywhere}nav a:hover{text-decoration:underline}
main{max-width:60rem;padding:2rem 2.5rem 6rem}h1{margin:.2rem 0 .5rem;font-size:1.9rem}
section>h2{margin:3rem 0 .2rem;font-size:1.35rem}section>p{color:var(--dim);margin:.2rem 0 1rem}
article{border:1px solid var(--line);border-radius:10px;margin:1.2rem 0;overflow:hidden}
article>header{padding:.8rem 1.1rem;background:var(--soft);border-bottom:1px solid var(--line)}
article>div{padding:.4rem 1.1rem 1rem}h3{margin:0;font:600 15px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
h4{margin:1.1rem 0 .3rem;font-size:12px;text-transform:uppercase;letter-spacing:.06em;color:var(--dim)}
.get{color:var(--get)}.post{color:var(--post)}code{font:13px ui-monospace,monospace;color:var(--code)}
.roles{float:right;font-size:12px;color:var(--dim);border:1px solid var(--line);border-radius:99px;padding:.1rem .6rem}
table{border-collapse:collapse;width:100%;font-size:13.5px}
td{border-top:1px solid var(--line);padding:.35rem .6rem .35rem 0;vertical-align:top}
td:first-child{white-space:nowrap;width:1%;padding-right:1.2rem}td:nth-child(2){color:var(--dim)}
.must{color:var(--post);font-size:12px}pre{background:var(--soft);border:1px solid var(--line);border-radius:8px;
padding:.7rem .9rem;overflow:auto;font:13px/1.5 ui-monospace,monospace}
@media(max-width:52rem){body{display:block}nav{position:static;height:auto;border-right:0}main{padding:1rem}}
"""
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_METHODS: Final = ("get", "post", "put", "patch", "delete")
Node = Mapping[str, Any]


def page(document: Node) -> str:
    """The whole page of an OpenAPI document."""
    info = document["info"]
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
    view = f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
    about = (
        f"<h1>{escape(info['title'])}</h1><p>{_text(info['description'])}</p>"
        '<p>For programs: <a href="/openapi.json"><code>/openapi.json</code></a></p>'
    )
    schemas = document["components"]["schemas"]
    sections = "".join(_section(tag, list(_operations(document, tag["name"])), schemas) for tag in document["tags"])
    models = f'<section><h2 id="types">Types</h2>{"".join(_model(name, schemas) for name in sorted(schemas))}</section>'
    return f"{head}{view}<body>{_contents(document)}<main>{about}{sections}{models}</main></body></html>"


def _operations(document: Node, tag: str) -> Iterator[tuple[str, str, Node]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item and tag in item[method]["tags"]:
                yield method, path, item[method]


def _contents(document: Node) -> str:
    parts = []
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2>")
        parts += [
            f'<a href="#{escape(node["operationId"])}"><b class="{method}">{method.upper()}</b> {escape(path)}</a>'
            for method, path, node in _operations(document, tag["name"])
        ]
    return f'<nav><b>b24pay API</b>{"".join(parts)}<h2>more</h2><a href="#types">Types</a></nav>'


def _section(tag: Node, operations: Sequence[tuple[str, str, Node]], schemas: Node) -> str:
    shown = "".join(_operation(method, path, node, schemas) for method, path, node in operations)
    return f"<section><h2>{escape(tag['name'].capitalize())}</h2><p>{_text(tag['description'])}</p>{shown}</section>"


def _operation(method: str, path: str, node: Node, schemas: Node) -> str:
    roles = ", ".join(node["x-roles"]) or "no token"
    title = f'<b class="{method}">{method.upper()}</b> {escape(path)}'
    head = f'<header><span class="roles">{escape(roles)}</span><h3>{title}</h3></header>'
    parts = [f"<p>{_text(node['summary'])}</p>"]
    parts += [f"<p>{_text(each)}</p>" for each in node["description"].split("\n\n") if each]
    if node["parameters"]:
        rows = "".join(_parameter(each) for each in node["parameters"])
        parts.append(f"<h4>Parameters</h4><table>{rows}</table>")
    if "requestBody" in node:
        parts += [_body(kind, each, schemas) for kind, each in node["requestBody"]["content"].items()]
    rows = "".join(_answer(status, each) for status, each in sorted(node["responses"].items()))
    parts.append(f"<h4>Answers</h4><table>{rows}</table>")
    return f'<article id="{escape(node["operationId"])}">{head}<div>{"".join(parts)}</div></article>'


def _parameter(node: Node) -> str:
    must = ' <span class="must">required</span>' if node["required"] else ""
    name, kind = f"<code>{escape(node['name'])}</code>{must}", f"{_kind(node['schema'])}, {node['in']}"
    return f"<tr><td>{name}</td><td>{kind}</td><td>{_text(node['description'])}</td></tr>"


def _body(kind: str, node: Node, schemas: Node) -> str:
    shown = (
        f"<h4>Body, {escape(kind)}</h4><p>{_kind(node['schema'])} {_text(node['schema'].get('description', ''))}</p>"
    )
    names = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(node["schema"]))
    examples = schemas[names[0]].get("examples", []) if names else []
    return shown + "".join(f"<pre>{escape(json.dumps(each, indent=2))}</pre>" for each in examples)


def _answer(status: str, node: Node) -> str:
    kinds = ", ".join(f"{_kind(each['schema'])}" for each in node.get("content", {}).values())
    return f"<tr><td><code>{escape(status)}</code></td><td>{kinds}</td><td>{_text(node['description'])}</td></tr>"


def _model(name: str, schemas: Node) -> str:
    node = schemas[name]
    head = f'<header><h3 id="type-{escape(name)}">{escape(name)}</h3></header>'
    about = f"<p>{_text(node.get('description', ''))}</p>"
    if "enum" in node:
        return f"<article>{head}<div>{about}<p>{_kind(node)}</p></div></article>"
    must = set(node.get("required", []))
    rows = "".join(
        f"<tr><td><code>{escape(each)}</code>{' <span class=must>required</span>' if each in must else ''}</td>"
        f"<td>{_kind(inner)}</td><td>{_text(inner.get('description', ''))}</td></tr>"
        for each, inner in node.get("properties", {}).items()
    )
    return f"<article>{head}<div>{about}<table>{rows}</table></div></article>"


def _kind(schema: Node) -> str:
    """A schema in a few words; types that have a name of their own are linked."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#type-{name}">{name}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema and not schema.get("properties"):
            return " or ".join(_kind(each) for each in schema[several])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("format") or schema.get("type") or "anything"))


def _text(text: str) -> str:
    """Text with `code` in it."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
