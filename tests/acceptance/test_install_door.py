"""An administrator connects a portal without copying tokens, and payments flow."""

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, a_house
from tests.integration.web.conftest import Place, Street


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A worker and a web process."""
    with a_house() as house:
        house.start_worker()
        street = Street(house, [])
        yield Place(house, street.start("web"))
        street.close()


def test_from_the_invitation_to_paid_invoices_and_over_a_renewal(place: Place) -> None:
    """Invite, install, pay; the tokens that came in renew themselves; a removal holds, a new installation resumes."""
    applicant = place.portal()
    url = applicant.invite(address=applicant.authority)
    assert applicant.send(url).body == {"portal": applicant.key, "connected": True}
    portal = EmulatedPortal(place.house, applicant.key, applicant.authority)
    _enqueue(portal, 1, 30)
    eventually_sync(lambda: portal.counts()["paid"] == 30)
    applicant.emulator(lambda handle, name: handle.expire(name))
    _enqueue(portal, 31, 60)
    eventually_sync(lambda: portal.counts()["paid"] == 60)
    assert applicant.emulator(lambda handle, name: handle.token_counters(name)).refreshed == 1

    assert applicant.send(url, "ONAPPUNINSTALL").body["connected"] is False
    assert portal.held() == "APP_UNINSTALLED"
    _enqueue(portal, 61, 70)
    eventually_sync(lambda: portal.counts()["queued"] == 10)
    assert applicant.send(url).status == 200
    eventually_sync(lambda: portal.counts()["paid"] == 70)
    assert (portal.tally.paid, portal.tally.doubles) == (70, 0)
    shown = place.command("portal", "list", "--json").stdout
    assert json.loads(shown)["held"] is None


def _enqueue(portal: EmulatedPortal, first: int, last: int) -> None:
    """Payments of the invoices first..last, as a Celery producer sends them."""
    items = [{"invoice_id": n, "pay_system_id": 1, "task_id": str(uuid.uuid4())} for n in range(first, last + 1)]
    message = {"portal": portal.key, "payments": items}
    sent = portal.house.celery().send_task("tasks.pay_invoices", kwargs=message, queue="payments")
    assert sent.get(timeout=30)["accepted"] == len(items)
