"""The frame of all pages in a browser: signing in, live parts, keys, dark and light, and all of it without a script."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.theatre import HOSTILE, Theatre, Visitor

expect: Any = pytest.importorskip("playwright.sync_api", reason="no playwright: the dashboard was not looked at").expect
pytestmark = pytest.mark.whole

Visit = Callable[..., Visitor]


def heading(visitor: Visitor) -> Any:
    """The page's first line."""
    return visitor.page.get_by_role("heading", level=1)


def test_signing_in_leads_back_and_signing_out_ends_it(visit: Visit, theatre: Theatre):
    """Who wanted the workers sees them; afterwards the way back is closed."""
    visitor = visit()
    visitor.open("/workers")
    page = visitor.page
    assert "/sign-in?next=" in page.url
    visitor.expected.append("401")  # of the wrong token
    page.get_by_label("Token").fill("b24t_wrong")
    page.get_by_role("button", name="Sign in").click()
    assert "not known" in page.get_by_role("alert").filter(has_text="token").inner_text()
    page.get_by_label("Token").fill(theatre.tokens["ops"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/workers")
    assert page.get_by_role("link", name="Workers").get_attribute("aria-current") == "page"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in?out=1")
    page.go_back()
    page.wait_for_url("**/sign-in?**")


def test_a_link_in_a_message_leads_to_the_page(visit: Visit, theatre: Theatre):
    """Although the browser sends no strict cookie with it."""
    visitor = visit().sign_in()
    visitor.page.goto("about:blank")
    visitor.page.set_content(f'<a href="{theatre.web.address}/workers">look</a>')
    visitor.page.get_by_role("link").click()
    expect(heading(visitor)).to_have_text("Workers")


def test_the_overview_follows_what_happens_without_being_loaded_again(visit: Visit, theatre: Theatre):
    """A payment that is handed in is on the screen; the page is the same page still."""
    visitor = visit().sign_in()
    page = visitor.page
    visitor.is_live()
    page.evaluate("window.sameAsBefore = true")
    tile = page.locator("a.tile", has_text="queued").locator(".value")
    before = int(tile.inner_text())
    theatre.pay(theatre.portals[2].key, 1)
    began = time.monotonic()
    expect(tile).to_have_text(str(before + 1))
    print(f"on the screen after {time.monotonic() - began:.2f} s")
    assert page.evaluate("window.sameAsBefore") is True
    assert HOSTILE in page.locator("#overview").inner_text()


def test_what_somebody_has_chosen_is_not_drawn_over(visit: Visit, theatre: Theatre):
    """A selection stays under the hand, and the part follows again when it is given up."""
    visitor = visit().sign_in()
    page = visitor.page
    visitor.is_live()
    tile = page.locator("a.tile", has_text="queued").locator(".value")
    before = int(tile.inner_text())
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#overview h1'))")
    theatre.pay(theatre.portals[2].key, 1)
    page.wait_for_timeout(1_000)
    assert int(tile.inner_text()) == before
    page.evaluate("getSelection().removeAllRanges()")
    theatre.pay(theatre.portals[2].key, 1)
    expect(tile).to_have_text(str(before + 2))


def test_everything_is_reached_by_keys(visit: Visit):
    """The first key leads past the navigation; `?` lists the others; each step of the focus is seen."""
    visitor = visit().sign_in()
    page = visitor.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):  # past the end: the browser's own bar
            continue
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML")
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/workers")
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/audit")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "who"
    page.keyboard.type("gw?t")
    assert page.url.endswith("/audit")


def test_single_keys_can_be_switched_off(visit: Visit):
    """Somebody who speaks to a computer would press them by every word (WCAG 2.1.4)."""
    visitor = visit().sign_in()
    page = visitor.page
    page.keyboard.press("?")
    page.get_by_label("Single keys act").uncheck()
    page.get_by_role("button", name="Close").click()
    page.reload()
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.keyboard.press("?")
    page.wait_for_timeout(300)
    assert page.url.endswith("/")
    assert not page.get_by_role("dialog").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_and_light_follow_the_system_until_somebody_chooses(scheme: str, visit: Visit):
    """And the choice is kept."""
    visitor = visit(color_scheme=scheme).sign_in()
    page = visitor.page

    def is_dark() -> bool:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) < 300

    assert is_dark() is (scheme == "dark")
    page.keyboard.press("t")
    assert is_dark() is (scheme == "light")
    page.reload()
    assert is_dark() is (scheme == "light")
    page.get_by_role("button", name="Dark or light").click()
    assert is_dark() is (scheme == "dark")


def test_without_a_script_pages_and_forms_work(visit: Visit, theatre: Theatre):
    """Everything but what moves by itself."""
    visitor = visit(java_script_enabled=False).sign_in()
    page = visitor.page
    assert page.get_by_text("as loaded").is_visible()
    for name in ("Workers", "Audit", "Overview"):
        page.get_by_role("link", name=name, exact=True).click()
        assert heading(visitor).is_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in?out=1")


def test_a_page_says_that_redis_is_away_and_goes_on_by_itself(visit: Visit, theatre: Theatre):
    """An open page keeps what it shows and says so; one that is opened meanwhile comes when Redis is back."""
    visitor, other = visit().sign_in(), visit().sign_in()
    visitor.expected += ["503", "Failed to load"]
    other.expected += ["503", "Failed to load"]
    visitor.is_live()
    theatre.aside(theatre.house.server.kill)
    try:
        visitor.page.locator("#away").wait_for(state="visible")
        assert "safe in the ledger" in visitor.page.locator("#away").inner_text()
        other.open("/workers")
        assert heading(other).inner_text() == "Not reachable"
    finally:
        theatre.aside(theatre.house.server.restart)
    visitor.page.locator("#away").wait_for(state="hidden")
    expect(heading(other)).to_have_text("Workers", timeout=15_000)


def test_a_page_whose_session_has_ended_goes_to_the_door(visit: Visit, theatre: Theatre):
    """Signed out in another tab, or the token revoked."""
    visitor = visit().sign_in("looker")
    visitor.expected.append("401")
    visitor.is_live()
    second = visitor.page.context.new_page()
    second.goto(f"{theatre.web.address}/workers")
    second.get_by_role("button", name="Sign out").click()
    second.wait_for_url("**/sign-in?out=1")
    visitor.page.wait_for_url("**/sign-in?next=**")
