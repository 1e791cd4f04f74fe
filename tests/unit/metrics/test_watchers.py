"""What watches us keeps up with what we show: alarms, their pages, the dashboard."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli.main import b24pay
from metrics.table import TABLE, Kind, Metric

ROOT = Path(__file__).resolve().parents[3]
DEPLOY, PAGES = ROOT / "deploy", ROOT / "docs" / "runbook"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
# What Prometheus itself and its client library show of a process.
OF_OTHERS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
SECTIONS = ["Symptom", "What is safe", "Look at", "Do", "Escalate when"]


def series_of(metric: Metric) -> set[str]:
    """The names under which a metric's figures are scraped."""
    if metric.kind is not Kind.HISTOGRAM:
        return {metric.name}
    return {f"{metric.name}_{part}" for part in ("bucket", "count", "sum")}


EMITTED = OF_OTHERS | {name for metric in TABLE for name in series_of(metric)}


def named_in(query: str) -> set[str]:
    """The series that a query asks for."""
    return set(re.findall(r"\b(?:b24pay_\w+|process_\w+|up)\b", re.sub(r'"[^"]*"', "", query)))


def queries_of_dashboard() -> dict[str, str]:
    """Every query by the panel that asks it."""
    dashboard = json.loads((DEPLOY / "grafana" / "b24pay.json").read_text())
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }


def test_there_are_alarms_enough():
    """Twelve at least, each named once."""
    names = [rule["alert"] for rule in RULES]
    assert len(names) >= 12
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alarm_asks_for_what_is_shown_and_leads_to_a_page(rule: dict[str, Any]):
    """A name that is misspelt would never ring."""
    names = named_in(rule["expr"])
    assert names
    assert names <= EMITTED
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    assert (ROOT / rule["annotations"]["runbook"]).is_file()


def test_every_page_belongs_to_an_alarm():
    """The two lists are one."""
    pages = {f"docs/runbook/{page.name}" for page in PAGES.glob("*.md")}
    assert pages == {rule["annotations"]["runbook"] for rule in RULES}
    assert pages == {f"docs/runbook/{rule['alert']}.md" for rule in RULES}


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_tells_what_is_safe_and_names_what_exists(page: Path):
    """The same five sections in each; its commands, options, settings and metrics are there."""
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert {each for each in named_in(text) if each.startswith("b24pay_")} <= EMITTED
    for other in re.findall(r"\bB24pay[A-Z]\w+", text):
        assert (PAGES / f"{other}.md").is_file(), other
    commands = re.findall(r"`b24pay ([^`]+)`", text)
    assert commands
    for words in commands:
        assert_exists(" ".join(words.split()))


def assert_exists(words: str) -> None:
    """A command with its subcommand and options is one that can be given."""
    command: click.Command = b24pay
    context = click.Context(command)
    rest = words.split()
    while rest and isinstance(command, click.Group) and (below := command.get_command(context, rest[0])) is not None:
        command = below
        rest = rest[1:]
    assert command is not b24pay, words
    assert not (isinstance(command, click.Group) and rest), words
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known, words


def test_the_dashboard_asks_for_what_is_shown():
    """And it shows nearly everything that there is."""
    queries = queries_of_dashboard()
    asked = {name for query in queries.values() for name in named_in(query)}
    assert all(named_in(query) for query in queries.values())
    assert asked <= EMITTED
    shown = {metric.name for metric in TABLE if series_of(metric) & asked}
    assert {metric.name for metric in TABLE} - shown <= {"b24pay_redis_writes_failing", "b24pay_messages_parked_total"}


PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian package prometheus) is not installed")


def promtool(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run promtool where the rules are."""
    return subprocess.run(
        [str(PROMTOOL), *words], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
    )


@needs_promtool
def test_the_alarms_ring_when_they_should():
    """Every alarm rings in one history and is silent in another."""
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_dashboards_queries_can_be_evaluated(tmp_path: Path):
    """As rules, which Prometheus reads in full."""
    recorded = [{"record": f"query_{n}", "expr": query} for n, query in enumerate(queries_of_dashboard().values())]
    rules = tmp_path / "queries.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    done = promtool("check", "rules", str(rules))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_example_configuration_is_one():
    """What it says to scrape is what there is to scrape."""
    done = promtool("check", "config", "--syntax-only", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alarm_is_tested_both_ways():
    """Also where promtool is missing: each has a history in which it rings and one in which it does not."""
    tests = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text())["tests"]
    rings: dict[str, set[bool]] = {}
    for each in tests:
        for case in each["alert_rule_test"]:
            rings.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert rings == {rule["alert"]: {True, False} for rule in RULES}
