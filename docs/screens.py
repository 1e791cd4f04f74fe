"""Take the README's pictures of the dashboard (docs/screens/): a real service pays at emulated portals.

.venv/bin/python docs/screens.py [NAME ...]
"""

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import sync_playwright

from tests.browser.theatre import ARGUMENTS, Theatre, Visitor, a_theatre, chromium_path

FOLDER = Path(__file__).parent / "screens"
# Name, path, width, height, scheme.
PICTURES = (
    ("overview", "/", 1280, 860, "light"),
    ("overview-dark", "/", 1280, 860, "dark"),
    ("overview-phone", "/", 390, 780, "light"),
    ("workers", "/workers", 1280, 420, "light"),
    ("audit", "/audit", 1280, 520, "light"),
)
PAYING_S = 75
REASON = "Month-end closing: the accountants work in the portal until 18:00"


def main() -> int:
    """Let payments travel for a minute, then look."""
    path = chromium_path()
    if path is None:
        sys.stderr.write("No Chromium on this machine: no pictures were taken.\n")
        return 1
    FOLDER.mkdir(exist_ok=True)
    names = sys.argv[1:] or [name for name, *_ in PICTURES]
    with a_theatre(REASON) as theatre, sync_playwright() as playwright:
        theatre.aside(theatre.house.start_worker)
        let_travel(theatre)
        change_something(theatre)
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        for picture in PICTURES:
            if picture[0] in names:
                take(browser, theatre, picture)
        browser.close()
    return 0


def let_travel(theatre: Theatre) -> None:
    """A minute of ordinary work, in waves."""
    one, two, _ = (portal.key for portal in theatre.portals)
    began = time.monotonic()
    wave = 0
    while time.monotonic() - began < PAYING_S:
        wave += 1
        theatre.pay(one, 30 + 20 * (wave % 3))
        theatre.pay(two, 10 + 5 * (wave % 4))
        theatre.pay(two, wave % 2, pay_system=99)
        time.sleep(3)


def change_something(theatre: Theatre) -> None:
    """What the audit tells of."""
    two, held = theatre.portals[1].key, theatre.portals[2].key
    headers = {"Authorization": f"Bearer {theatre.tokens['ops']}"}

    def ask(path: str, body: dict[str, str]) -> None:
        theatre.aside(lambda: theatre.web.ask("POST", path, headers=headers, json=body))

    ask(f"/v1/portals/{two}/hold", {"reason": "The portal is moved to another address"})
    ask(f"/v1/portals/{two}/resume", {"because": "Moved; looked at by hand"})
    for payment in theatre.pay(held, 2):
        ask(f"/v1/payments/{payment}/cancel", {"because": "Paid in cash"})
    ask("/v1/payments/none/retry", {"because": "It should go again"})


def take(browser: Any, theatre: Theatre, picture: tuple[str, str, int, int, str]) -> None:
    """One picture."""
    name, address, width, height, scheme = picture
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    visitor = Visitor(context.new_page(), theatre).sign_in()
    theatre.pay(theatre.portals[0].key, 60)
    visitor.open(address)
    visitor.is_live()
    visitor.page.wait_for_timeout(2_000)
    visitor.page.screenshot(path=str(FOLDER / f"{name}.png"))
    visitor.close()


if __name__ == "__main__":
    sys.exit(main())
