"""Every page at three widths, light and dark: axe finds nothing, and nothing is wider than the screen."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.theatre import Theatre, Visitor
from web.routes import ROUTES

pytestmark = pytest.mark.whole

Visit = Callable[..., Visitor]
WIDTHS = (360, 820, 1440)
# Every page that needs nothing in its address, and a refusal.
PATHS = [
    *(route.path for route in ROUTES if route.page and route.roles and route.method == "GET" and "{" not in route.path),
    "/nothing",
]
PATHS.remove("/live")


def findings(page: Any) -> list[str]:
    """What axe finds against WCAG 2 A and AA, and its own good practice."""
    from axe_playwright_python.sync_playwright import Axe

    told = Axe().run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    )
    return [f"{each['id']}: {node['html'][:200]}" for each in told.response["violations"] for node in each["nodes"]]


def overflows(page: Any) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_readable_for_everybody(width: int, scheme: str, visit: Visit, theatre: Theatre):
    """Contrast, names, landmarks, order of headings; and on a phone nothing is cut off."""
    visitor = visit(width=width, color_scheme=scheme, reduced_motion="reduce")
    visitor.expected.append("404")
    visitor.open("/sign-in")
    found = {"/sign-in": findings(visitor.page)}
    visitor.sign_in()
    for path in PATHS:
        visitor.open(path)
        found[path] = findings(visitor.page)
        assert overflows(visitor.page) <= 0, path
    visitor.open("/")
    visitor.page.keyboard.press("?")
    found["keys"] = findings(visitor.page)
    assert {path: each for path, each in found.items() if each} == {}
