"""What the chart says by itself, without Helm (tests/deploy/test_helm.py renders it)."""

import json
import re
from pathlib import Path

import jsonschema
import yaml

from config.settings import variables
from metrics.table import BY_NAME

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "b24pay"
ALERTS = CHART.parents[1] / "prometheus" / "alerts.yml"


def test_the_values_fit_their_schema():
    """The defaults do, and every part of them is known to the schema."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    assert set(values) == set(schema["properties"]) - {"global"}
    for part, told in values.items():
        if part not in ("settings",):
            assert set(told) == set(schema["properties"][part]["properties"]), part


def test_workers_are_scaled_by_metrics_that_exist():
    """Every metric that a template names stands in metrics/table.py, and with that label."""
    text = (CHART / "templates" / "scaledobject.yaml").read_text()
    named = set(re.findall(r"\bb24pay_\w+", text))
    assert named == {"b24pay_payments", "b24pay_messages_waiting", "b24pay_redis_up"}
    assert named <= set(BY_NAME)
    assert "state" in BY_NAME["b24pay_payments"].labels


def test_variables_and_jobs_are_the_ones_that_are_read():
    """A misspelt variable would be no setting; the alarms know processes by the names of their jobs."""
    text = "".join(file.read_text() for file in (CHART / "templates").glob("*"))
    assert set(re.findall(r"\bB24PAY_[A-Z_]+", text)) <= set(variables())
    jobs = set(re.findall(r"targetLabel: job, replacement: ([\w-]+)", text))
    assert jobs == {"b24pay-worker", "b24pay-web"}
    assert 'job=~"b24pay-.*"' in ALERTS.read_text()


def test_the_chart_has_the_version_of_the_product():
    """Released together, so nobody wonders which image belongs to which chart."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    [version] = re.findall(r'^version = "([^"]+)"', (CHART.parents[2] / "pyproject.toml").read_text(), re.MULTILINE)
    assert chart["version"] == chart["appVersion"] == version
