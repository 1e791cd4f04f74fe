"""Celery's configuration: what a message may be, and that no number contradicts another."""

import pytest
from celery import Celery
from celery.app.defaults import DEFAULTS

from config.celery import QUEUE, celery_configuration, require_usable_urls
from config.errors import ConfigurationError
from config.settings import DEVELOPMENT, load_settings


def configuration(**environ: str) -> dict[str, object]:
    return celery_configuration(
        load_settings({"REDIS_URL": "redis://127.0.0.1:6379/0", **environ}, require=DEVELOPMENT)
    )


def test_only_json_is_accepted():
    """Pickle is neither read nor written, in messages and in results."""
    conf = configuration()
    assert conf["accept_content"] == conf["result_accept_content"] == ["json"]
    assert conf["task_serializer"] == conf["result_serializer"] == "json"


def test_celery_knows_every_setting():
    """A misspelt setting would be ignored silently; each of ours is one Celery has a default for."""
    # The Redis backend reads this one by name without declaring it.
    undeclared = {"redis_backend_health_check_interval"}
    assert set(configuration()) <= set(DEFAULTS) | undeclared


def test_messages_go_late_to_the_contracts_queue():
    """The queue is `payments`; a message is acknowledged after its work; the worker itself writes STARTED."""
    conf = configuration()
    assert conf["task_default_queue"] == QUEUE == "payments"
    assert conf["task_acks_late"] is True
    assert conf["task_track_started"] is False
    assert conf["result_extended"] is False
    assert conf["worker_enable_remote_control"] is True
    assert conf["broker_connection_retry_on_startup"] is True


def test_broker_and_backend_are_those_of_the_settings():
    """Both default to REDIS_URL and may be set apart; sentinels bring their master's name along."""
    conf = configuration()
    assert conf["broker_url"] == conf["result_backend"] == "redis://127.0.0.1:6379/0"
    conf = configuration(BROKER_URL="amqp://h//", RESULT_BACKEND_URL="sentinel://a,b/1?master=m")
    assert conf["broker_url"] == "amqp://h//"
    assert conf["result_backend"] == "sentinel://a:26379/1;sentinel://b:26379/1"
    options = conf["result_backend_transport_options"]
    assert isinstance(options, dict)
    assert options["master_name"] == "m"


def test_a_broker_that_is_not_redis_gets_no_redis_options():
    """AMQP connections would be made with unknown arguments."""
    assert configuration(BROKER_URL="amqp://h//")["broker_transport_options"] == {}


def test_a_result_is_kept_no_longer_than_the_payment():
    """Results expire after a week, or with the payment where that is earlier."""
    assert configuration()["result_expires"] == 7 * 86_400
    assert configuration(B24PAY_RETENTION_DAYS="2")["result_expires"] == 2 * 86_400


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("RESULT_BACKEND_URL", "file:///nowhere/at/all"),
        ("RESULT_BACKEND_URL", "nope://user:hidden@h"),
        ("BROKER_URL", "nope://user:hidden@h"),
        ("BROKER_URL", "mongodb://user:hidden@h/"),
    ],
)
def test_a_url_that_celery_cannot_use_is_told_before_anything_starts(variable: str, url: str):
    """One problem with the variable's name and a next step, and nothing of the URL."""
    app = Celery(set_as_current=False)
    app.conf.update(configuration(**{variable: url}))
    with pytest.raises(ConfigurationError) as caught:
        require_usable_urls(app)
    [problem] = caught.value.problems
    assert problem.variable == variable
    assert "leave it out to use REDIS_URL" in problem.hint
    assert "hidden" not in str(caught.value)


def test_urls_that_celery_can_use_connect_nowhere():
    """Redis and AMQP are accepted without anybody listening there."""
    for url in ("redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"):
        app = Celery(set_as_current=False)
        app.conf.update(configuration(BROKER_URL=url))
        require_usable_urls(app)
