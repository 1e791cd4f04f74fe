"""1,000 payments while the portal loses every fifth reply: whom it pays twice, and who knows what was paid."""

from benchmarks.scenarios.burst import CLIENTS, DOORS, by_client, by_ours
from benchmarks.stage import a_stage
from benchmarks.table import Table

EMULATED = {"plan": "standard", "latency_s": 0.05, "pay_s": 0.03}
# The work is done; late, after the caller was answered, where a front end gives up: a repeat then overlaps it.
FAULTS = (
    {"kind": "504_html", "place": "after", "method": "batch", "probability": 0.1},
    {"kind": "504_html", "place": "during", "late_s": 1.0, "method": "batch", "probability": 0.1},
)
QUICK = {"B24PAY_HTTP_TOTAL_S": "6", "B24PAY_PORTAL_CUT_S": "4", "B24PAY_LEASE_S": "8"}


async def run(*, quick: bool) -> Table:
    """Ours waits out the quiet time (scaled to 10 s) and reads back; the others repeat or give up."""
    count = 500 if quick else 1000
    table = Table("lost", f"{count:,} payments, every fifth reply lost", "0 repeats, 0 doubles, all paid")
    async with a_stage(workers=1, emulated=EMULATED, **QUICK) as stage:
        for fault in FAULTS:
            rule = dict(fault)
            await stage.portal_handle.add_fault(str(rule.pop("kind")), **rule)
        table.add(side=DOORS["stock"], **await by_ours(stage, "stock", count))
        for client, name in CLIENTS.items():
            table.add(side=name, **await by_client(stage, client, count))
    table.notes.append("A repeat is a pay call for an invoice that was paid already; a double took effect once more.")
    return table
