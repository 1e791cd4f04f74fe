"""The dashboard's own files: a fixed list, read once. A name has the content's hash in it and may be kept for good."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from aiohttp import web

from web.problems import Problem

_FOLDER: Final = Path(__file__).parent.parent / "static"
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES: Final = ("app.css", "app.js", "theme.js", "idiomorph.min.js", "icon.svg")
_FOR_GOOD: Final = "public, max-age=31536000, immutable"
_WORTH_PACKING: Final = 1400  # bytes: what fits into one packet is not made smaller


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    url: str
    kind: str
    body: bytes


def _read(name: str) -> Asset:
    body = (_FOLDER / name).read_bytes()
    stem, dot, kind = name.rpartition(".")
    return Asset(f"/static/{stem}.{sha256(body).hexdigest()[:12]}{dot}{kind}", _KINDS[f".{kind}"], body)


_BY_NAME: Final = {name: _read(name) for name in _FILES}
_BY_URL: Final = {asset.url: asset for asset in _BY_NAME.values()}


def url_of(name: str) -> str:
    """Where a file is served; raises KeyError for a name that is not on the list."""
    return _BY_NAME[name].url


async def show_asset(request: web.Request) -> web.Response:
    """Serve one of the dashboard's files."""
    asset = _BY_URL.get(request.path)
    if asset is None:
        raise Problem(404, "not-found", "There is no such file (any more).", "Load the page again.")
    response = web.Response(body=asset.body, content_type=asset.kind, charset="utf-8")
    response.headers["Cache-Control"] = _FOR_GOOD
    if len(asset.body) > _WORTH_PACKING:
        response.enable_compression()
    return response
