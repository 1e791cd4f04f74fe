"""The Helm chart, rendered by Helm itself and held against the schemas of Kubernetes."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.helm_program import helm_program

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "b24pay"
EVERYTHING = (
    "autoscaling.enabled=true", "autoscaling.authentication=prom", "monitoring.enabled=true", "ingress.enabled=true",
    "ingress.tlsSecret=b24pay-tls", "ingress.className=nginx", "secrets.tls=redis-ca", "web.url=https://pay.example.com",
    "settings.B24PAY_LOG_LEVEL=debug", "image.pullSecrets[0].name=registry", "worker.nodeSelector.disk=ssd",
)  # fmt: skip


def helm(*words: str) -> "subprocess.CompletedProcess[str]":
    """One command of Helm's."""
    return subprocess.run([helm_program(), *words], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)


def rendered(*values: str) -> list[dict[str, Any]]:
    """All objects of a release `pay` in the namespace `money`."""
    chosen = [word for value in values for word in ("--set", value)]
    done = helm("template", "pay", str(CHART), "--namespace", "money", *chosen)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """Objects of one kind by the last word of their names."""
    return {each["metadata"]["name"].rpartition("-")[2]: each for each in objects if each["kind"] == kind}


@pytest.mark.parametrize("values", [(), EVERYTHING], ids=["defaults", "everything"])
def test_helm_and_kubernetes_accept_it(values: tuple[str, ...], tmp_path: Path):
    """`helm lint --strict`, and every built-in object fits its published schema without an unknown field."""
    chosen = [word for value in values for word in ("--set", value)]
    done = helm("lint", "--strict", str(CHART), *chosen)
    assert done.returncode == 0, done.stdout
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all(rendered(*values)))
    tool = str(Path(sys.executable).parent / "kubernetes-validate")
    done = subprocess.run([tool, "--strict", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pods_are_closed():
    """Not root, read-only, no capability, no token of the cluster, bounded, with all probes."""
    pods = of_kind(rendered(), "Deployment")
    assert set(pods) == {"worker", "web"}
    for name, deployment in pods.items():
        pod = deployment["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert len(pod["topologySpreadConstraints"]) == 2
    assert pods["worker"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60


def test_secrets_come_from_existing_objects_only():
    """No Secret is made; whatever is secret is a reference, and each role has its own Redis user."""
    objects = rendered(*EVERYTHING)
    assert not of_kind(objects, "Secret")
    urls = set()
    for deployment in of_kind(objects, "Deployment").values():
        environ = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
        for name in ("REDIS_URL", "B24PAY_SECRET_KEYS"):
            assert "value" not in environ[name]
            assert environ[name]["valueFrom"]["secretKeyRef"]["key"] == name
        urls.add(environ["REDIS_URL"]["valueFrom"]["secretKeyRef"]["name"])
    assert len(urls) == 2


@pytest.mark.parametrize(
    "value",
    [
        "settings.B24PAY_SECRET_KEYS=x", "settings.REDIS_URL=redis://h", "secrets.keys=", "web.url=http://plain",
        "worker.terminationGracePeriodSeconds=5", "worker.replica=3", "redisPassword=x",
    ],
)  # fmt: skip
def test_values_that_harm_are_refused(value: str):
    """A secret in the values, an unknown value, a stop that would leave payments in doubt."""
    done = helm("template", "pay", str(CHART), "--set", value)
    assert done.returncode != 0, value


def test_selectors_meet_their_pods():
    """Every selector of a service, budget, policy or monitor is part of exactly one deployment's labels."""
    objects = rendered(*EVERYTHING)
    pods = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind(objects, "Deployment").values()]
    services = [each["metadata"]["labels"] for each in of_kind(objects, "Service").values()]
    for each in objects:
        spec = each["spec"]
        selector = spec.get("podSelector") or spec.get("selector")
        if each["kind"] == "ServiceMonitor":
            assert sum(selector["matchLabels"].items() <= labels.items() for labels in services) == 1
        elif selector:
            wanted = selector.get("matchLabels", selector)
            assert sum(wanted.items() <= labels.items() for labels in pods) == 1, each["metadata"]["name"]


def test_workers_are_scaled_by_what_waits():
    """KEDA decides on the number of workers, so that the deployment names none; it asks for this namespace alone."""
    objects = rendered("autoscaling.enabled=true")
    scaled = of_kind(objects, "ScaledObject")["worker"]
    worker = of_kind(objects, "Deployment")["worker"]
    assert scaled["spec"]["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert "replicas" not in worker["spec"]
    for trigger in scaled["spec"]["triggers"]:
        assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
        assert 'namespace="money"' in trigger["metadata"]["query"]
        assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_a_worker_reaches_redis_names_and_portals_alone():
    """No other port, and no private address but Redis'."""
    policies = of_kind(rendered(), "NetworkPolicy")
    assert set(policies) == {"worker", "web"}
    rules = policies["worker"]["spec"]["egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in rules] == [[53, 53], [6379], [443]]
    assert "10.0.0.0/8" in rules[2]["to"][0]["ipBlock"]["except"]


def test_the_queries_are_ones_that_prometheus_understands(tmp_path: Path):
    """As rules, judged by promtool where there is one."""
    if shutil.which("promtool") is None:
        pytest.skip("the queries were not judged: no promtool (apt-get install prometheus)")
    scaled = of_kind(rendered("autoscaling.enabled=true"), "ScaledObject")["worker"]
    rules = [
        {"record": f"x{n}", "expr": each["metadata"]["query"]} for n, each in enumerate(scaled["spec"]["triggers"])
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
