"""Overview, workers and audit: what they say of a ledger, its workers and its history."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from access.audit import Ending, Intent, Origin, Outcome
from access.roles import Role
from config.settings import Settings
from ledger.figures import Minute
from ledger.payment import State
from metrics.life import Doing, SignsOfLife
from tests.conformance.ledger.world import an_ask
from tests.integration.web.pages_house import Browser, Lobby, a_lobby
from web.pages.condition import Figures, safe_steps, verdict
from web.pages.throughput import throughput


def figures(**changes: object) -> Figures:
    """A quiet house with a worker."""
    given = {
        "lanes": 2,
        "held": 0,
        "waiting_s": None,
        "in_doubt_s": None,
        "paid_per_s": 0.0,
        "consuming": 1,
        "workers": 1,
    }
    counts = dict.fromkeys(State, 0) | {State(name): n for name, n in changes.items() if name in set(State)}
    others = {name: value for name, value in changes.items() if name not in set(State)}
    return Figures(counts=counts, **{**given, **others})  # type: ignore[arg-type]  # as Figures has them


@pytest.mark.parametrize(
    ("seen", "kind", "told"),
    [
        (figures(lanes=0), "idle", "No portal yet"),
        (figures(paid=9), "idle", "Nothing waits"),
        (figures(queued=3, paid_per_s=2.5), "ok", "Money is moving: 2.5 payments a second"),
        (figures(queued=3, paid_per_s=None), "ok", "Money is moving"),
        (figures(queued=3, paid_per_s=2.5, held=1), "warn", "Money is moving"),
        (figures(queued=3, in_doubt=1, paid_per_s=2.5), "warn", "Money is moving"),
        (figures(queued=3), "warn", "3 payments wait, none was paid in the last ten seconds"),
        (figures(queued=1, held=2), "bad", "every lane is held, 1 payment waits"),
        (figures(queued=3, consuming=0), "bad", "no worker consumes, 3 payments wait"),
        (figures(consuming=0, workers=0), "warn", "No worker has given a sign of life, and nothing waits"),
    ],
)
def test_the_first_line_answers_whether_money_is_moving(seen: Figures, kind: str, told: str):
    """In one sentence, the gravest answer first."""
    said = verdict(seen)
    assert (said.kind, told in said.text) == (kind, True), said


def test_what_is_safe_to_do_is_told_for_whatever_is_wrong():
    """And nothing where nothing needs a hand."""
    assert [step.text for step in safe_steps(figures(paid=1))] == ["Nothing needs a hand."]
    paths = [step.path for step in safe_steps(figures(failed=1, in_doubt=1, held=1, consuming=0))]
    assert paths == ["/workers", "/portals", "/doubts", "/failures"]


@pytest.fixture
async def lobby(redis_url: str, a_settings: Callable[..., Settings]) -> AsyncIterator[Lobby]:
    """The real pages."""
    async with a_lobby(a_settings(REDIS_URL=redis_url)) as lobby:
        yield lobby


@pytest.fixture
async def browser(lobby: Lobby) -> Browser:
    """A viewer's."""
    return await lobby.signed_in(Role.VIEWER)


async def test_the_overview_has_figures_holds_and_remedies(lobby: Lobby, browser: Browser):
    """What is stuck, why, since when, how many wait, and what to do."""
    ledger = lobby.parts.ledger
    await ledger.add_lane("acme")
    await ledger.add_lane("globex")
    await ledger.open([an_ask(f"p{n}", portal="acme", invoice_id=n + 1) for n in range(1234)])
    await ledger.hold("acme", "NO_AUTH_FOUND", "Wrong authorization data", remedy="Store a new credential.")
    page = await browser.get("/")
    for told in (
        "1,234",
        "NO_AUTH_FOUND",
        "Wrong authorization data",
        "Store a new credential.",
        "Only a person resumes",
    ):
        assert told in page.text
    assert "Nothing moves: no worker has given a sign of life, 1,234 payments wait" in page.text
    assert 'href="/portals/acme"' in page.text


@pytest.mark.parametrize(("oldest", "wide"), [(0, 15), (14, 15), (15, 30), (30, 60), (59, 60)])
def test_the_chart_is_of_the_hour_or_of_the_part_of_it_that_matters(oldest: int, wide: int):
    """Minutes in which nothing happened are drawn as well; the sums and the text are those of what is drawn."""
    now = datetime(2026, 11, 25, 3, 0, 30, tzinfo=UTC)
    minutes = [Minute(now.replace(second=0) - timedelta(minutes=oldest), accepted=7, paid=5, failed=2)]
    drawn = throughput(minutes, now)
    assert (drawn.minutes, drawn.accepted, drawn.paid, drawn.failed, drawn.any) == (wide, 7, 5, 2, True)
    assert 'role="img"' in drawn.chart
    assert f"In the last {wide} minutes 7 payments came in, 5 were paid and 2 failed" in drawn.chart
    assert drawn.chart.count("<rect") == 2
    assert not throughput([], now).any


async def test_workers_are_told_with_their_state_work_and_version(lobby: Lobby, browser: Browser):
    """One of an older version tells less, and is shown all the same."""
    signs = SignsOfLife(lobby.parts.redis)
    doing = Doing(owner="host:7:abc", version="9.8.7", lanes=3, requests=5)
    await signs.say("new@here", hindrance=None, pid=7, metrics="127.0.0.1:9464", doing=doing)
    await signs.say("old@here", hindrance="Redis <b>has</b> taken no sign", pid=8, metrics=None)
    page = await browser.get("/workers")
    for told in ("new@here", "consuming", "9.8.7", "old@here", "hindered", "Redis &lt;b&gt;has", "Several versions"):
        assert told in page.text
    assert "1 of 2 consume" in page.text
    sign = next(each for each in await signs.all() if each.node == "new@here")
    assert (sign.owner, sign.version, sign.lanes, sign.requests) == ("host:7:abc", "9.8.7", 3, 5)


async def test_the_audit_goes_on_page_by_page_without_losing_an_entry(lobby: Lobby, browser: Browser):
    """Newest first, each once, with its ending also where that stands on another page."""
    audit = lobby.parts.audit
    for n in range(130):
        intent = Intent(
            who=f"who-{n % 2}",
            role="operator",
            origin=Origin.CLI,
            what="portal.hold",
            subjects=[f"s{n:03}"],
            request_id="r",
        )
        begun = await audit.begin(intent)
        await audit.end(begun, Ending(outcome=Outcome.REFUSED if n == 80 else Outcome.DONE, why=f"why {n:03}"))
    pages = await _followed(browser, "/audit")
    assert not any("unfinished" in text for text in pages)
    seen = [key for text in pages for key in _between(text, 'href="/portals/', '"')]
    assert seen == [f"s{n:03}" for n in reversed(range(130))]
    one = "".join(await _followed(browser, "/audit?who=WHO-0&what=portal&subject=s080"))
    assert _between(one, 'href="/portals/', '"') == ["s080"]
    assert "refused" in one
    assert "Nothing like it" in (await browser.get("/audit?what=token.create")).text
    assert (await browser.get("/audit?before=x%0a")).status == 200


async def _followed(browser: Browser, path: str) -> list[str]:
    """All pages of a list; one may be short, or empty, where this machine is slow."""
    pages: list[str] = []
    while path:
        page = await browser.get(path)
        assert page.status == 200
        pages.append(page.text)
        onwards = [text.rpartition('href="')[2] for text in _between(page.text, 'class="pager"', '" rel="next"')]
        path = onwards[0].replace("&amp;", "&") if onwards else ""
    return pages


def _between(text: str, left: str, right: str) -> list[str]:
    return [part.partition(right)[0] for part in text.split(left)[1:] if right in part]
