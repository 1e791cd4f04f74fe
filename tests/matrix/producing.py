"""A producer as a process of its own: it asks for payments until it was told that they are accepted.

`python -m tests.matrix.producing '[{"portal": "acme", "invoice_id": 1, "pay_system_id": 1, "idempotency_key": "k"}]'`
prints their handles. The keys let it ask again after any failure.
"""

import json
import sys
import time

import tasks
from config.failpoints import FailpointError
from tasks.errors import LedgerUnavailable

AGAIN_S = 0.2
TRIES = 100


def main(wanted: list[dict[str, object]]) -> int:
    """Ask until everything is accepted."""
    for _ in range(TRIES):
        try:
            accepted = tasks.enqueue_many(wanted)
        except (LedgerUnavailable, FailpointError):
            time.sleep(AGAIN_S)
            continue
        print(json.dumps([payment.id for payment in accepted if isinstance(payment, tasks.Payment)]))
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
