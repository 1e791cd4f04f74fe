"""Celery's consumer, made safe against messages: whatever one contains, it is handled, refused or parked."""

from collections.abc import Callable
from datetime import UTC, datetime
from time import sleep
from typing import Any, Final

import celery.worker.consumer
import structlog

from metrics.pulse import Beat
from worker.inspection import defect_of
from worker.parking import Parking, misfit_of

log = structlog.get_logger(__name__)

_celery: Any = celery.worker.consumer  # Celery has no types; for the checker our class stands on Any
# A broker that is there and refuses (full, read-only, out of disk) is asked again after this.
AFTER_REFUSAL_S: Final = 1.0
_PRIORITY: Final = 6  # of a timer's entry, as Celery has it for an ETA
# How often the loop says that it turns.
_TURNED_EVERY_S: Final = 1.0


class Consumer(_celery.Consumer):  # type: ignore[misc]  # Celery has no types
    """Looks at each message before Celery does; Celery's own complaints lead to the parking place as well."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._later: set[Any] = set()  # entries of the timer
        self._turning: Any = None  # the entry that feeds the pulse

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """What is done with each message."""
        self._feed_pulse()
        ordinary = super().create_task_handler(*args, **options)
        tasks = frozenset(name for name in self.app.tasks if not name.startswith("celery."))

        def on_message(message: Any) -> None:
            try:
                reason = defect_of(message, tasks)
                if reason is None:
                    ordinary(message)
                    return
            except self.connection_errors:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a message makes Celery stumble over
                reason = f"Celery could not take it ({type(error).__name__})"
            self.park(message, reason)

        return on_message

    def connection_for_write(self, *_args: Any, **_options: Any) -> Any:
        """Celery asks for it for its events alone. They go another way (worker/post.py), and it stays unconnected."""
        return self.app.connection_for_write(heartbeat=0)

    def _feed_pulse(self) -> None:
        """Show life as long as the loop that begins now turns, with its broker connected."""
        if self._turning is not None:
            self.timer.cancel(self._turning)
        pulse = self.controller.payments.pulse
        self._turning = self.timer.call_repeatedly(_TURNED_EVERY_S, lambda: pulse.feed(Beat.CONSUMER))

    def park(self, message: Any, reason: str) -> None:
        """Have a message written down; it is acknowledged when that is done."""
        if message.acknowledged:
            return
        place = self.controller.payments.parking

        def acknowledge() -> None:
            self.call_soon_ack(message.ack_log_error, log, self.connection_errors)

        place.park(Parking(misfit_of(message, reason), acknowledge))

    def later(self, at: datetime, work: Callable[[], None]) -> None:
        """Do something at an instant, unless the connection is lost before: then the message comes again."""
        qos = self.qos
        entries = self._later

        def due() -> None:
            entries.discard(entry)
            qos.decrement_eventually()
            work()

        # A message that waits must not keep others from being read.
        qos.increment_eventually()
        entry = self.timer.call_after(max((at - datetime.now(UTC)).total_seconds(), 0), due, priority=_PRIORITY)
        entries.add(entry)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Celery begins anew at once; where the broker refuses, it would do so in a circle."""
        super().on_connection_error_after_connected(exc)
        self._rest_after(exc)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """The same, when the refusal comes while connecting."""
        super().on_connection_error_before_connected(exc)
        self._rest_after(exc)

    def _rest_after(self, exc: Exception) -> None:
        if isinstance(exc, self.channel_errors):
            sleep(AFTER_REFUSAL_S)

    def on_close(self) -> None:
        """The connection is lost."""
        for entry in self._later:
            self.timer.cancel(entry)
        self._later.clear()
        if self._turning is not None:
            self.timer.cancel(self._turning)
        super().on_close()

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The envelope or the body cannot be read."""
        self.park(message, str(exc) if message.errors else f"its body cannot be read ({type(exc).__name__})")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """It is not a task's message at all."""
        self.park(message, "it is not a task's message")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Celery knows no task of this name."""
        self.park(message, "its task is unknown")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Celery refuses the message."""
        self.park(message, f"Celery refuses it ({type(exc).__name__})")
