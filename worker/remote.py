"""What `celery inspect` and `celery control` mean for payments, where Celery knows of messages only."""

import os
import sys
from typing import Any, Final

import structlog
from celery.exceptions import WorkerShutdown
from celery.worker import control

from config.celery import QUEUE
from ledger.payment import Payment
from worker.events import NAME
from worker.supervisor import DISMISSED

log = structlog.get_logger(__name__)

# Celery has no types.
_ordinary_active: Any = control.active
_ordinary_stats: Any = control.stats
# Without our supervisor nobody would understand the code.
_IS_SUPERVISED: Final = "worker.supervised" in sys.orig_argv


def install_commands() -> None:
    """Put our commands in the place of Celery's own of the same names."""
    control.inspect_command(name="active", alias="dump_active")(active)
    control.inspect_command(name="stats", alias="dump_stats")(stats)
    control.control_command(name="shutdown")(shutdown)


def active(state: Any, *, safe: bool = False, **_: Any) -> list[dict[str, Any]]:
    """Tasks that run, and the payments whose call to the portal is under way."""
    payments = state.consumer.controller.payments.results.in_flight()
    return [*_ordinary_active(state, safe=safe), *(_info(payment, state.hostname) for payment in payments)]


def stats(state: Any, **_: Any) -> dict[str, Any]:
    """Celery's statistics without the broker's address, which has the password in it where it is a Unix socket."""
    shown: dict[str, Any] = _ordinary_stats(state)
    broker = shown.get("broker") or {}
    kept = {name: broker.get(name) for name in ("transport", "port", "virtual_host", "ssl", "heartbeat")}
    return {**shown, "broker": {**kept, "hostname": _host(broker.get("hostname"))}}


def shutdown(_state: Any, **_: Any) -> None:
    """Stop this worker for good; its supervisor ends with it."""
    log.info("worker.dismissed")
    raise WorkerShutdown(DISMISSED if _IS_SUPERVISED else 0)


def _host(address: object) -> str | None:
    """A host; of a whole URL only its path is told."""
    if not isinstance(address, str):
        return None
    return address.rpartition("@")[2] if "://" in address else address


def _info(payment: Payment, hostname: str) -> dict[str, Any]:
    asked = {
        "portal": payment.portal,
        "invoice_id": payment.invoice_id,
        "pay_system_id": payment.pay_system_id,
        "bx_rest_handler": payment.bx_rest_handler,
    }
    return {
        "id": payment.id,
        "name": NAME,
        "type": NAME,
        "args": [],
        "kwargs": asked,
        "hostname": hostname,
        "time_start": payment.sent_at.timestamp() if payment.sent_at else None,
        "acknowledged": True,
        "delivery_info": {"exchange": "", "routing_key": QUEUE, "priority": 0, "redelivered": False},
        "worker_pid": os.getpid(),
    }
