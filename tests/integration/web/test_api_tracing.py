"""The header `traceparent` of a request goes with its payments, where the web process traces."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.canaries import SEARCH
from tests.house import ROOT, EmulatedPortal, House
from tests.integration.web.api_house import PAYMENTS, a_payment, lines, pay, streamed
from tests.integration.web.conftest import Place, Street, Web

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def traced(street: Street) -> Web:
    """A web process that was asked to trace."""
    return street.start("traced", OTEL_TRACES_EXPORTER="console")


@pytest.fixture
def portal(house: House) -> EmulatedPortal:
    """A portal of this test's own."""
    return house.add_portal()


def contexts(portal: EmulatedPortal, *invoices: int) -> list[str | None]:
    """Whose trace the payments of these invoices belong to."""
    rows = [portal.ledger(lambda ledger, n=n: ledger.find_invoice(portal.key, n)) for n in invoices]
    return [row.traceparent for row in rows]


def test_a_requests_trace_goes_with_its_payment(traced: Web, portal: EmulatedPortal) -> None:
    """Single, in an array and in a stream; without the header there is none, and baggage is not kept."""
    headers = {"traceparent": TRACE, "baggage": "customer=somebody"}
    assert traced.ask("POST", PAYMENTS, json=a_payment(portal, 1), headers=headers).status == 202
    many = [a_payment(portal, n) for n in (2, 3)]
    assert traced.ask("POST", PAYMENTS, json=many, headers=headers).status in (200, 202, 207)
    assert streamed(traced, lines([a_payment(portal, 4)]), headers)[0] in (200, 202, 207)
    assert pay(traced, portal, 5).status == 202
    assert contexts(portal, 1, 2, 3, 4, 5) == [TRACE] * 4 + [None]


def test_where_nothing_is_traced_nothing_is_kept(place: Place, portal: EmulatedPortal) -> None:
    """Rows do not grow for a header that nobody uses."""
    sent = place.web.ask("POST", PAYMENTS, json=a_payment(portal, 1), headers={"traceparent": TRACE})
    assert sent.status == 202
    assert contexts(portal, 1) == [None]


@pytest.mark.skipif(shutil.which("curl") is None, reason="pay.sh is not run: there is no curl here")
def test_the_shells_example_pays_by_http(place: Place, house: House, portal: EmulatedPortal) -> None:
    """As its reader would run it, against a real web process and a worker; its key makes it safe to run again."""
    house.start_worker()
    create = [
        "-c",
        "from cli.main import main; main()",
        "token",
        "create",
        "shop",
        "--role",
        "producer",
        "--portal",
        portal.key,
    ]
    made = subprocess.run(
        [sys.executable, *create], env=house.environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    token = made.stdout.strip()
    SEARCH.plant("bearer token", token.split("_")[2])
    environ = {"PATH": os.environ["PATH"], "PAY_URL": place.web.address, "PAY_TOKEN": token}
    for _ in range(2):
        command = [str(ROOT / "docs" / "producers" / "pay.sh"), portal.key, "2", "1", f"order-{portal.key}"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert '"paid"' in done.stdout.splitlines()[1].replace(" ", "").replace('"status":', "")
    assert portal.tally.pays == 1
