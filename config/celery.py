"""Celery's configuration, each number with its reason.

Measured on Celery and kombu 5.7: over Redis, Celery loses and repeats messages at a crash whatever is set here. So a
message is only a hint to the ledger, and these settings aim at short outages, a bounded memory and clean stops.
"""

from collections.abc import Callable
from typing import Any, Final

from config.addresses import Transport
from config.connections import CONNECT_TIMEOUT_S, HEALTH_CHECK_S, celery_transport_options, celery_url
from config.errors import ConfigurationError, Problem
from config.rules import VISIBILITY_TIMEOUT_S
from config.settings import Settings

QUEUE: Final = "payments"
# Every command but the waiting for a message is answered in milliseconds. The worker's main loop stands still for this
# long for each connection that is half-open, and there are two of them.
_SOCKET_TIMEOUT_S: Final = 2
# The connection that waits for messages is answered every second by a living server; one second of silence more, and it
# is dropped. The wait moves nothing, so nothing is lost with a connection that was only slow.
_BROKER_HEALTH_S: Final = 1
# Admissions are microseconds of work: with two pool threads 400 unacknowledged messages keep a batch of 100 full,
# and a crash leaves no more than those to be delivered again.
_PREFETCH_PER_THREAD: Final = 200
# A producer that was down over a long weekend still finds its result; later the ledger itself answers.
_RESULT_DAYS: Final = 7
_DAY_S: Final = 86_400


def celery_configuration(settings: Settings) -> dict[str, object]:
    """Everything for `app.conf.update`: JSON only, one queue, late acknowledgement, no ETA, our own logging."""
    return {
        **_messages(),
        **_broker(settings),
        **_results(settings),
        **_worker(),
    }


def leave_logging_alone(settings: Settings) -> None:
    """Make Celery use `configure_logging` instead of its own handlers, whatever its command line says."""
    from celery.signals import setup_logging

    def configure(**_signal: Any) -> None:
        from config.logging import configure_logging

        configure_logging(settings)

    # weak=False: nobody else holds the function, and a lost receiver would bring Celery's handlers back.
    setup_logging.connect(configure, weak=False, dispatch_uid="config.celery.leave_logging_alone")


def require_usable_urls(app: Any) -> None:
    """Raise ConfigurationError for a broker or result backend of which Celery can make nothing; nothing connects."""
    problems = []
    urls: tuple[tuple[str, Callable[[], object], str], ...] = (
        ("BROKER_URL", lambda: app.connection_for_read().transport, "redis, rediss, redis+socket, sentinel, amqp"),
        ("RESULT_BACKEND_URL", lambda: app.backend, "redis, rediss, redis+socket, sentinel, file, rpc"),
    )
    for variable, build, kinds in urls:
        try:
            build()
        except Exception as error:  # noqa: BLE001 - each driver has its own; all of them mean that it cannot be used
            cause = _why_unusable(error)
            hint = f"Use one of {kinds} (or another that Celery knows), or leave it out to use REDIS_URL"
            problems.append(Problem(variable, cause, hint))
    if problems:
        raise ConfigurationError(problems)


def _why_unusable(error: Exception) -> str:
    """The kind of trouble; the error's own text may repeat the URL with its password."""
    match error:
        case ImportError():
            return f"has an unknown scheme, or one that needs the library {error.name!r}, which is not installed"
        case KeyError():
            return "has a scheme that Celery does not know"
        case _:
            return f"cannot be used by Celery ({type(error).__name__}): unknown scheme, or a place that is not there"


def _messages() -> dict[str, object]:
    return {
        # Pickle would run code out of a forged message.
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "task_default_queue": QUEUE,
        "enable_utc": True,
        "timezone": "UTC",
        "task_ignore_result": False,
        # The message goes only after the ledger has the payment.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # The worker writes STARTED itself when a payment leaves the queue, not when a thread picks a message up.
        "task_track_started": False,
        # A send that finds Redis away fails within seconds: a producer must learn that nothing was accepted.
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.3, "interval_max": 1},
    }


def _broker(settings: Settings) -> dict[str, object]:
    url = settings.broker_url
    return {
        "broker_url": celery_url(url),
        "broker_connection_retry_on_startup": True,
        # For ever: a worker that gives up during a long outage is a worker somebody must start again by hand.
        "broker_connection_max_retries": None,
        # A server that refuses (read-only, full) is asked again as well, instead of ending the worker.
        "broker_channel_error_retry": True,
        # Nothing may be waiting for the worker process's own connection longer than for the ledger's.
        "broker_connection_timeout": CONNECT_TIMEOUT_S,
        "broker_transport_options": _redis_transport(url) if _is_redis(url) else {},
    }


def _redis_transport(url: str) -> dict[str, object]:
    return {
        # The second net: after this a message goes back whose consumer is not even known as a dead one.
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        # A sign of life every 5 s; messages of a dead worker come back when three of them are missing.
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # A message leaves its queue and is written down as a worker's in one step (worker/transport.py). The names are
        # ours alone: another Celery application on this database must not put these messages back by its own clock.
        "atomic_fetch": True,
        "unacked_key": f"{QUEUE}.unacked",
        "unacked_index_key": f"{QUEUE}.unacked_index",
        "consumers_key": f"{QUEUE}.consumers",
        "socket_timeout": _SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": _BROKER_HEALTH_S,
        **celery_transport_options(url),
    }


def _is_redis(url: str) -> bool:
    return url.partition("://")[0] in set(Transport)


def _results(settings: Settings) -> dict[str, object]:
    url = settings.result_backend_url
    return {
        "result_backend": celery_url(url),
        "result_backend_transport_options": celery_transport_options(url),
        "result_expires": min(settings.retention_days, _RESULT_DAYS) * _DAY_S,
        # The ledger has the arguments; in the result they would double its size.
        "result_extended": False,
        # A result that meets an outage is stored after it, instead of turning a paid invoice into a FAILURE.
        "result_backend_always_retry": True,
        # About a minute in all; a thread that tried for ever would keep the worker from stopping.
        "result_backend_max_retries": 15,
        "redis_socket_timeout": float(_SOCKET_TIMEOUT_S),
        "redis_socket_connect_timeout": CONNECT_TIMEOUT_S,
        # redis-py's connections over a Unix socket know no keepalive, and refuse the option.
        "redis_socket_keepalive": not celery_url(url).startswith("redis+socket:"),
        "redis_backend_health_check_interval": HEALTH_CHECK_S,
        "redis_retry_on_timeout": True,
    }


def _worker() -> dict[str, object]:
    return {
        # Looks at every message before Celery does.
        "worker_consumer": "worker.consumer:Consumer",
        "worker_prefetch_multiplier": _PREFETCH_PER_THREAD,
        # A message delivered twice whose result is known is not run again.
        "worker_deduplicate_successful_tasks": True,
        # Flower and `celery inspect` need it. It cost two workers in twelve Redis crashes, so a supervisor restarts
        # workers.
        "worker_enable_remote_control": True,
        # Flower switches events on while somebody looks; unwatched they would cost a publish per payment.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_log_color": False,
        # A pool thread cannot be stopped from outside; payments in flight end by their own timeouts.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }
