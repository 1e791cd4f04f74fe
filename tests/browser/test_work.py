"""The working pages in a browser: what an operator does at 3 a.m., with a worker that goes on meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.records import Change
from tests.browser.test_accessible import WIDTHS, findings, overflows
from tests.browser.theatre import HOSTILE, Theatre, Visitor
from tests.house import EmulatedPortal

expect: Any = pytest.importorskip("playwright.sync_api", reason="no playwright: the dashboard was not looked at").expect
pytestmark = pytest.mark.whole

Visit = Callable[..., Visitor]
WHY = "the pay system was mended"
WRONG = "Pay system with ID=99 not found"


def a_portal(theatre: Theatre) -> EmulatedPortal:
    """A portal of a test's own."""
    made: EmulatedPortal = theatre.aside(theatre.house.add_portal)
    return made


def broken(theatre: Theatre) -> EmulatedPortal:
    """One that breaks off in each request: what is sent to it is in doubt, and cannot be read back."""
    portal = a_portal(theatre)
    theatre.aside(lambda: portal.fault("500_html", place="before"))
    return portal


def state_of(theatre: Theatre, name: str) -> str:
    """Where a payment stands."""
    [row] = theatre.ledger(lambda ledger: ledger.find([name]))
    return str(row.state)


@pytest.fixture(scope="package")
def seen(theatre: Theatre) -> list[str]:
    """Pages of single things, in the states that look different."""
    failed, doubtful, held = a_portal(theatre), broken(theatre), a_portal(theatre)
    theatre.aside(lambda: failed.fault("refuse", place="command", code="ERROR_CHECK_FAILURE", text=HOSTILE * 20))
    ids = [theatre.pay(failed.key, 2)[0], theatre.pay(doubtful.key, 2)[0]]
    theatre.settled(failed.key, "failed", 2)
    theatre.settled(doubtful.key, "in_doubt", 2)
    theatre.ledger(
        lambda ledger: ledger.hold(held.key, "ACCESS_DENIED", HOSTILE * 9, remedy="Give rights.", probe=True)
    )
    queued = theatre.pay(held.key, 1)
    pages = [f"/payments/{name}" for name in (*ids, *queued)]
    return [
        *pages,
        *(f"/portals/{portal.key}" for portal in (failed, doubtful, held)),
        f"/failures?portal={failed.key}",
        f"/doubts?portal={doubtful.key}",
        f"/payments?state=failed&portal={failed.key}",
        f"/bulk/retry?portal={failed.key}&code=ERROR_CHECK_FAILURE",
        f"/bulk/cancel?portal={held.key}",
        "/payments?q=nothing-like-this",
        "/payments?since=yesterday",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_of_single_things_are_readable_for_everybody(width: int, scheme: str, visit: Visit, seen: list[str]):
    """Whatever a portal has written: axe finds nothing, and nothing is wider than the screen."""
    visitor = visit(width=width, color_scheme=scheme, reduced_motion="reduce").sign_in()
    visitor.expected.append("422")
    found: dict[str, list[str]] = {}
    for path in seen:
        visitor.open(path)
        found[path] = findings(visitor.page)
        assert overflows(visitor.page) <= 0, path
    for path, button in ((seen[0], "Retry…"), (seen[1], "Decide…"), (seen[3], "Hold…")):
        visitor.open(path)
        visitor.page.locator("summary", has_text=button).click()
        found[button] = findings(visitor.page)
        assert overflows(visitor.page) <= 0, button
        assert visitor.page.locator("details[open].confirm form").is_visible()
    assert {path: each for path, each in found.items() if each} == {}


def test_why_a_payment_failed_and_its_kind_again_in_four_clicks(visit: Visit, theatre: Theatre):
    """From the overview: failures, the payments of the code, one of them, its kind again; then the reason."""
    portal = a_portal(theatre)
    names = theatre.pay(portal.key, 3, pay_system=99)
    theatre.settled(portal.key, "failed", 3)
    visitor = visit().sign_in()
    page, clicks = visitor.page, 0

    def click(what: Any) -> None:
        nonlocal clicks
        clicks += 1
        what.click()

    visitor.open(f"/portals/{portal.key}")
    click(page.get_by_role("link", name="failed", exact=False).first)
    click(page.locator("td a.go").first)
    expect(page.locator(".meaning")).to_contain_text(WRONG)
    click(page.get_by_role("link", name="that failed so"))
    expect(page.get_by_role("button", name="Retry 3 payments")).to_be_visible()
    page.get_by_label("Why").fill(WHY)
    click(page.get_by_role("button", name="Retry 3 payments"))
    expect(page.locator(".progress")).to_contain_text("3 queued again")
    assert clicks <= 4
    theatre.settled(portal.key, "failed", 3)  # read first, sent, and refused again: the pay system is still wrong
    visitor.open(f"/payments/{names[0]}")
    expect(page.locator("ol.way")).to_contain_text("queued again")
    expect(page.locator("ol.way")).to_contain_text("person")


def test_a_portal_is_held_and_goes_on(visit: Visit, theatre: Theatre):
    """With a reason; the page that stays open shows the payments that go on."""
    portal = a_portal(theatre)
    visitor = visit().sign_in()
    page = visitor.page
    visitor.open(f"/portals/{portal.key}")
    page.locator("summary", has_text="Hold…").click()
    page.get_by_label("Why").fill(WHY)
    page.get_by_role("button", name=f"Hold {portal.key}").click()
    expect(page.get_by_role("status").filter(has_text="The portal is held")).to_be_visible()
    expect(page.locator(".meaning.held")).to_contain_text(WHY)
    theatre.pay(portal.key, 3)
    visitor.is_live()
    expect(page.locator("a.tile", has_text="queued")).to_contain_text("3")
    page.locator("summary", has_text="Resume…").click()
    page.get_by_role("button", name=f"Resume {portal.key}").click()
    expect(page.locator("a.tile", has_text="paid")).to_contain_text("3")


def test_a_payment_is_found_and_withdrawn(visit: Visit, theatre: Theatre):
    """By its id, from the keyboard; the page follows by itself."""
    portal = a_portal(theatre)
    theatre.ledger(lambda ledger: ledger.hold(portal.key, "OPERATOR", WHY))
    [name] = theatre.pay(portal.key, 1)
    visitor = visit().sign_in()
    page = visitor.page
    visitor.open("/payments")
    page.keyboard.press("/")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/payments/{name}")
    page.locator("summary", has_text="Cancel…").click()
    page.get_by_role("button", name="Cancel this payment").click()
    expect(page.get_by_role("status").filter(has_text="withdrawn")).to_be_visible()
    assert state_of(theatre, name) == "cancelled"
    assert page.locator("summary", has_text="Cancel…").count() == 0


def test_a_doubt_is_read_and_decided(visit: Visit, theatre: Theatre):
    """Nobody can be asked about it; a person who has looked ends it, and the reason stays."""
    portal = broken(theatre)
    [name] = theatre.pay(portal.key, 1)
    theatre.settled(portal.key, "in_doubt", 1)
    visitor = visit().sign_in()
    page = visitor.page
    visitor.open(f"/doubts?portal={portal.key}")
    page.locator("td a.go").click()
    page.locator("summary", has_text="Read back now…").click()
    page.get_by_role("button", name="Read it now").click()
    expect(page.get_by_role("status").filter(has_text="read at the portal now")).to_be_visible()
    page.locator("summary", has_text="Decide…").click()
    page.get_by_label("It is paid").check()
    page.get_by_label("How you know").fill("seen in the bank")
    page.get_by_role("button", name="Decide", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="paid, on your word")).to_be_visible()
    assert state_of(theatre, name) == "paid"
    expect(page.locator("ol.way")).to_contain_text("seen in the bank")
    visitor.open(f"/audit?subject={name}")
    expect(page.locator("main")).to_contain_text("doubt.resolve")


@pytest.mark.parametrize("script", [True, False])
def test_a_long_run_goes_on_by_itself_or_by_hand(visit: Visit, theatre: Theatre, *, script: bool):
    """Step after step with its progress; without a script somebody presses a button."""
    portal = a_portal(theatre)
    theatre.ledger(lambda ledger: ledger.hold(portal.key, "OPERATOR", WHY))
    theatre.pay(portal.key, 3000)
    visitor = visit(java_script_enabled=script).sign_in()
    page = visitor.page
    visitor.open(f"/bulk/cancel?portal={portal.key}")
    page.get_by_label("Why").fill(WHY)
    page.get_by_role("button", name="Cancel 3,000 payments").click()
    progress, steps = page.locator(".progress"), 0
    while not script and page.get_by_role("button", name="Go on").count():
        steps += 1
        page.get_by_role("button", name="Go on").click()
    expect(progress).to_have_text("3,000 withdrawn.", timeout=90_000)
    assert script or steps
    theatre.settled(portal.key, "cancelled", 3000)


def test_a_run_stops_where_it_is_told_to(visit: Visit, theatre: Theatre):
    """What was not reached is as it was; going on takes up what is left."""
    portal = a_portal(theatre)
    theatre.ledger(lambda ledger: ledger.hold(portal.key, "OPERATOR", WHY))
    theatre.pay(portal.key, 4000)
    visitor = visit().sign_in()
    page = visitor.page
    visitor.open(f"/bulk/cancel?portal={portal.key}")
    page.get_by_label("Why").fill(WHY)
    page.get_by_role("button", name="Cancel 4,000 payments").click()
    page.get_by_role("button", name="Stop here").click()
    expect(page.locator("[data-told]")).to_contain_text("Stopped")
    [lane] = theatre.ledger(lambda ledger: ledger.lanes([portal.key]))
    assert {state.value: number for state, number in lane.counts.items()}["queued"] > 0
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".progress")).to_have_text("4,000 withdrawn.", timeout=90_000)


def test_ledger_and_portal_are_compared(visit: Visit, theatre: Theatre):
    """Somebody has set an invoice back by hand: it is listed, with the way to its payment."""
    portal = a_portal(theatre)
    names = theatre.pay(portal.key, 5)
    theatre.settled(portal.key, "paid", 5)
    number = theatre.invoices
    theatre.aside(lambda: portal.ask(lambda emulator, name: emulator.change(name, [number], Change.UNPAY)))
    visitor = visit().sign_in()
    page = visitor.page
    visitor.open(f"/reconcile?portal={portal.key}")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".progress")).to_have_text("5 payments compared, 1 difference.", timeout=30_000)
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("paid here, unpaid there")
    row.locator("a.go").click()
    page.wait_for_url(f"**/payments/{names[-1]}")


def test_a_viewer_has_nothing_to_press(visit: Visit, seen: list[str]):
    """The same pages, and no button that changes anything."""
    visitor = visit().sign_in("looker")
    visitor.expected.append("422")
    for path in seen:
        visitor.open(path)
        assert visitor.page.locator("main form[method=post]").count() == 0, path
