"""The report of a storm: what scripts read and what people see."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from chaos.checker import Finding, Verdict
from chaos.checker import Kind as Wrong
from chaos.facts import Invoice
from chaos.gathering import Portals
from chaos.plan import Kind, Scale
from chaos.report import Report, document_of, percentile, summary_of

SCALE = Scale(
    payments=10,
    worker_kills=2,
    redis_kills=0,
    power_losses=0,
    zombies=0,
    lost_replies=5,
    workers=2,
    portals=1,
    seed=3,
)
VERDICT = Verdict(findings=(), accepted=10, paid=9, worker_died=1, failed=0, rolled_back=0, called_again=2)
REPORT = Report(
    scale=SCALE,
    verdict=VERDICT,
    portals=Portals(calls=[], reads=[], records=[], overlaps=0, requests=4, spoilt=1, longest_s=1.5),
    planned={**dict.fromkeys(Kind, 0), Kind.WORKER_KILL: 2},
    struck={**dict.fromkeys(Kind, 0), Kind.WORKER_KILL: 1},
    hits={**dict.fromkeys(Kind, 0), Kind.WORKER_KILL: 1},
    left_sending=4,
    undisturbed_s=[5.0, 6.0, 25.0],
    disturbed_s=[40.0],
    undecided=0,
    quiet_s=9.0,
    storm_s=12.0,
    rest_s=3.0,
    total_s=20.0,
)
WRONG = replace(REPORT, verdict=replace(VERDICT, findings=(Finding(Wrong.LOST, Invoice("acme", 7), "gone"),)))


def shown(report: Report) -> str:
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(summary_of(report))
    return captured.get()


@pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.95, 10), (0.9, 9), (1.0, 10), (0.01, 1)])
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    """The smallest that this share of all does not exceed; nothing has none."""
    assert percentile(list(range(10, 0, -1)), share) == value
    assert percentile([], share) is None


def test_the_document_tells_every_finding_even_when_there_is_none() -> None:
    """A script looks for zeros, not for missing names."""
    document = json.loads(json.dumps(document_of(REPORT)))
    assert document["ok"] is True
    assert document["findings"] == dict.fromkeys(Wrong, 0)
    assert document["faults"]["worker_kill"] == {"planned": 2, "struck": 1, "in_flight": 1}
    assert document["payments"]["failed_after_three_deaths"] == 1


def test_late_verdicts_are_counted_against_what_is_promised() -> None:
    """Quiet time and ten seconds; where Redis died meanwhile, the wait begins anew and is told apart."""
    verdicts = document_of(REPORT)["deaths"]["verdict_s"]  # type: ignore[index] # JSON
    assert (verdicts["bound"], verdicts["late"], verdicts["p50"], verdicts["max"]) == (19.0, 1, 6.0, 25.0)
    assert verdicts["disturbed"]["max"] == 40.0


def test_a_finding_is_named_with_its_invoice() -> None:
    """In the document and on the screen."""
    document = document_of(WRONG)
    assert document["ok"] is False
    assert document["details"] == [{"finding": "lost", "invoice": "acme/7", "text": "gone"}]
    assert "acme/7: lost: gone" in shown(WRONG)


def test_people_see_what_struck_and_that_nothing_was_wrong() -> None:
    """Faults that did not all strike say so."""
    text = shown(REPORT)
    assert "1 of 2" in text
    assert "none lost, none paid twice" in text
    assert "promised: 19 s" in text
