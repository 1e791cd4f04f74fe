"""The Celery application: `celery -A worker worker`."""

import sys
from typing import Any, ClassVar

import celery.apps.worker
import structlog
from celery import Celery, bootsteps
from celery.worker.state import maybe_shutdown

from config.celery import celery_configuration, leave_logging_alone, require_usable_urls
from config.errors import ConfigurationError
from config.logging import configure_logging
from config.settings import WORKER, Settings, load_settings
from config.tracing import configure_tracing
from worker.events import PaymentEvents
from worker.post import Post, tasks_are_watched
from worker.reconnection import PromptConnection
from worker.remote import install_commands
from worker.runtime import Runtime
from worker.transport import install

BAD_CONFIGURATION = 78  # the exit code of the contract
# The payments loop may have used its 28 s of the 30 that a stop may take.
POST_PATIENCE_S = 1.0


log = structlog.get_logger(__name__)


class PaymentsStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Starts the payments loop with the worker, before it consumes, and stops it after it has stopped consuming."""

    requires: ClassVar = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        worker.quiet = True  # no banner: every line of a process is JSON
        events = PaymentEvents(worker.app.post, lambda: tasks_are_watched(worker))
        worker.app.payments_opened = events.received
        worker.payments = Runtime(worker.app.b24pay_settings, worker.app.backend, events, node=worker.hostname)

    def start(self, worker: Any) -> None:
        """Called by Celery once, in the main process."""
        worker.app.post.start(worker.hostname)
        worker.payments.start(maybe_shutdown)

    def stop(self, worker: Any) -> None:
        """Called by Celery on warm shutdown."""
        worker.payments.stop()
        worker.app.post.stop(POST_PATIENCE_S)

    terminate = stop


def build_app(settings: Settings) -> Celery:
    """A Celery app whose workers admit and drive payments."""
    install()
    install_commands()
    app = Celery("b24pay", include=["tasks.messages"])
    app.conf.update(celery_configuration(settings))
    app.b24pay_settings = settings
    if vain := configure_tracing("b24pay-worker"):
        log.warning("tracing.unavailable", error=vain)
    app.post = Post(app)
    app.events.dispatcher_cls = "worker.post:Dispatcher"
    app.steps["worker"].add(PaymentsStep)
    leave_logging_alone(settings)
    app.finalize()
    app.amqp.Connection = PromptConnection
    app.loader.import_default_modules()
    app.tasks["tasks.pay_invoice"].Strategy = "worker.admission:strategy"
    app.tasks["tasks.pay_invoices"].Strategy = "worker.admission:bulk_strategy"
    return app


def _say_in_the_log(message: str, _stream: object = None) -> None:
    log.info("worker.says", message=message)


# What Celery prints past every logger ("worker: Warm shutdown") becomes a line like all others.
celery.apps.worker.safe_say = _say_in_the_log


def _from_environment() -> Celery:
    try:
        settings = load_settings(require=WORKER)
        configure_logging(settings)
        built = build_app(settings)
        require_usable_urls(built)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(BAD_CONFIGURATION) from None
    return built


app = _from_environment()
