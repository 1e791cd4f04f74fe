"""What comes of an attempt, answer by answer."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from callbacks.schedule import WAITS_S, Answer, Patience, Silence, asked_wait_s, judge
from ledger.callbacks import Delivered, GivenUp, TryAgain

NOW = datetime(2026, 11, 24, tzinfo=UTC)
CALM = Patience(lambda: 0.0)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_yes(status: int):
    """Receivers differ in what they answer."""
    assert judge(Answer(status), 1, NOW, CALM) == Delivered(str(status))


@pytest.mark.parametrize("status", [301, 302, 400, 401, 404, 429, 500, 503, 599])
def test_everything_else_is_tried_again(status: int):
    """A receiver that is being mended answers with anything."""
    outcome = judge(Answer(status), 1, NOW, CALM)
    assert isinstance(outcome, TryAgain)
    assert outcome.wait_s == WAITS_S[0]


def test_gone_is_the_end():
    """410, and no other."""
    assert isinstance(judge(Answer(410), 1, NOW, CALM), GivenUp)


def test_waits_grow_and_end():
    """After the last wait there is one more attempt, and none after that."""
    outcomes = [judge(Silence("no answer"), tries, NOW, CALM) for tries in range(1, len(WAITS_S) + 2)]
    assert [each.wait_s for each in outcomes if isinstance(each, TryAgain)] == list(WAITS_S)
    assert isinstance(outcomes[-1], GivenUp)


def test_jitter_only_prolongs():
    """By a tenth at most."""
    outcome = judge(Silence("no answer"), 2, NOW, Patience(lambda: 1.0))
    assert isinstance(outcome, TryAgain)
    assert outcome.wait_s == pytest.approx(WAITS_S[1] * 1.1)


def test_retry_after_is_a_least_wait():
    """It never shortens one; a number, or a date."""
    longer, shorter = Answer(503, "600"), Answer(503, "1")
    assert judge(longer, 1, NOW, CALM) == TryAgain("503", 600.0)
    assert judge(shorter, 2, NOW, CALM) == TryAgain("503", 60.0)
    date = format_datetime(NOW + timedelta(minutes=20), usegmt=True)
    assert judge(Answer(429, date), 1, NOW, CALM) == TryAgain("429", 1200.0)


@pytest.mark.parametrize("told", [None, "", "soon", "-5", "1.5", "\u0663", "Tue, 99 Nov 2026", "0", "x" * 5000])
def test_nonsense_in_retry_after_asks_for_nothing(told: str | None):
    """It is a stranger's header."""
    assert asked_wait_s(told, NOW) == 0.0


def test_retry_after_is_a_day_at_most():
    """However far away it points."""
    assert asked_wait_s("9" * 400, NOW) == 86_400.0
    assert asked_wait_s(format_datetime(NOW + timedelta(days=400), usegmt=True), NOW) == 86_400.0
