"""The table of metrics: names as Prometheus people expect them, labels that cannot grow, and a page that shows all."""

import re
from pathlib import Path

import pytest

from bitrix24.classification import TABLE as ANSWERS
from metrics.codes import CODES, NONE, UNKNOWN, as_label
from metrics.table import BY_NAME, TABLE, Kind, Metric

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
BOUNDED = {"state", "code", "cause", "outcome", "kind", "effect", "loop", "portal", "condition"}


@pytest.mark.parametrize("metric", TABLE, ids=[metric.name for metric in TABLE])
def test_a_metric_is_named_as_prometheus_people_expect(metric: Metric):
    """Base units, `_total` on counters alone, and a sentence about it."""
    assert re.fullmatch(r"b24pay_[a-z_]+", metric.name)
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert metric.unit != "seconds" or "_seconds" in metric.name
    assert metric.help.endswith(".")
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)


def test_no_label_can_grow_with_payments():
    """No series a payment, an invoice, a worker or a producer."""
    assert {label for metric in TABLE for label in metric.labels} <= BOUNDED


def test_every_name_stands_for_one_metric():
    """Two rows of one name would hide each other."""
    assert len(BY_NAME) == len(TABLE)


def test_codes_that_the_table_of_answers_knows_are_labels():
    """A new row of the classification is a label of its own."""
    assert {code for row in ANSWERS for code in row.codes if code} <= CODES


def test_a_code_that_nobody_knows_is_other():
    """A portal may answer anything; it makes no series."""
    assert as_label("SOMETHING_NEW") == UNKNOWN
    assert as_label("ERROR_CHECK_FAILURE") == "ERROR_CHECK_FAILURE"
    assert as_label("") == as_label(None) == NONE


def test_the_page_lists_exactly_the_metrics_of_the_table():
    """Name, type, unit and labels of each, and none that is gone."""
    rows = re.findall(r"^\| `(b24pay_\w+)` \| (\w+) \| ([^|]+) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE)
    shown = {(name, kind, unit, labels.strip()) for name, kind, unit, labels in rows}
    assert shown == {(row.name, row.kind.value, row.unit, ", ".join(row.labels)) for row in TABLE}
