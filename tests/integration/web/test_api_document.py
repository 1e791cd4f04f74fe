"""`/openapi.json` and `/docs`: the same routes, the same types, and thousands of cases that keep to them."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest

from tests.api_cases import run_cases
from tests.house import House, wait_for
from tests.integration.web.conftest import Place
from web.api.operations import OPERATIONS
from web.routes import ROUTES

CASES = 8  # of each operation and phase


@pytest.fixture(scope="module")
def document(place: Place) -> dict[str, Any]:
    """The document as it is served."""
    return place.web.ask("GET", "/openapi.json").body


def test_the_document_has_every_route_and_no_other(document: dict[str, Any]):
    """With its roles; one that asks for no token says so."""
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in ROUTES if not route.page}
    for route in (each for each in ROUTES if not each.page):
        node = document["paths"][route.path][route.method.lower()]
        assert node["x-roles"] == sorted(route.roles)
        assert bool(node["security"]) is bool(route.roles)
        assert node["summary"].endswith(".")
        assert [each["name"] for each in node["parameters"] if each["in"] == "path"] == re.findall(
            r"{(\w+)}", route.path
        )


def test_every_route_of_the_api_says_what_it_takes_and_answers(document: dict[str, Any]):
    """Under a name of its own, with types that are all there."""
    handlers = {
        route.handler
        for route in ROUTES
        if route.path.startswith(("/v1/payments", "/v1/doubts", "/v1/portals", "/v1/callbacks"))
    }
    assert handlers == set(OPERATIONS)
    names = [node["operationId"] for item in document["paths"].values() for node in item.values()]
    assert len(names) == len(set(names))
    wanted = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert wanted <= set(document["components"]["schemas"])


class Outside(HTMLParser):
    """What a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Tags that load, attributes that run."""
        named = dict(attrs)
        if tag in ("script", "link", "img", "iframe", "object", "embed", "form", "base"):
            self.found.append(tag)
        self.found += [name for name in named if name.startswith("on") or name in ("style", "src")]
        self.ids.add(named.get("id") or "")
        if tag == "a":
            self.links.add(named.get("href") or "")


def test_the_page_loads_and_runs_nothing(place: Place, document: dict[str, Any]):
    """Its only style is the one that its policy names; every link leads to something."""

    async def read() -> tuple[str, str]:
        async with aiohttp.ClientSession() as session, session.get(f"{place.web.address}/docs") as came:
            assert came.status == 200
            assert came.headers["Content-Type"].startswith("text/html")
            return came.headers["Content-Security-Policy"], await came.text()

    policy, text = wait_for(read())
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    named = b64encode(sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{named}';")
    assert "unsafe" not in policy
    assert "url(" not in style
    assert "@import" not in style
    page = Outside()
    page.feed(text)
    assert page.found == []
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    for path, item in document["paths"].items():
        assert path in text
        for node in item.values():
            assert node["operationId"] in page.ids


def test_generated_cases_find_nothing(house: House, place: Place):
    """Every check and stateful link of schemathesis; `python -m tests.api_cases --cases 10000` runs many more."""
    portals = [house.add_portal().key for _ in range(2)]
    report = run_cases(place.web.address, portals, each=CASES, directory=house.directory, within_s=15)
    assert report.failures == [], report.text
    assert report.cases >= 100  # a busy machine tries fewer in the time
    crashed = [each for each in place.web.events() if each["event"] == "web.crashed"]
    assert crashed == []
