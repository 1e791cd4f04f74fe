"""One house and one Chromium for a run; each test has windows of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.theatre import ARGUMENTS, Theatre, Visitor, a_theatre, chromium_path


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """A running browser."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium on this machine: the dashboard was not looked at in a browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: the dashboard was not looked at")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def theatre() -> Iterator[Theatre]:
    """The house."""
    with a_theatre() as theatre:
        yield theatre


@pytest.fixture
def visit(theatre: Theatre, chromium: Any) -> Iterator[Callable[..., Visitor]]:
    """Open a window: `visit(width=360, color_scheme="dark")`; at the end each must be without complaints."""
    visitors: list[Visitor] = []

    def opened(*, width: int = 1440, **options: Any) -> Visitor:
        height = 740 if width < 500 else 900
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(15_000)
        visitors.append(Visitor(context.new_page(), theatre))
        return visitors[-1]

    yield opened
    for visitor in visitors:
        visitor.close()
