"""Clients and URLs for Redis, Valkey and Celery, from the four forms of REDIS_URL."""

import asyncio
from typing import Any

import pytest
import redis
import redis.asyncio
from celery import Celery
from kombu import Connection

from config import connections
from config.addresses import AddressError, Transport, parse_address
from config.connections import async_redis_client, celery_transport_options, celery_url, redis_client
from config.errors import ConfigurationError


def kwargs_of(client: Any) -> dict[str, Any]:
    return dict(client.connection_pool.connection_kwargs)


@pytest.mark.parametrize(
    ("url", "transport", "hosts", "path", "db"),
    [
        ("redis://h", Transport.TCP, (("h", 6379),), "", 0),
        ("redis://h:1/3", Transport.TCP, (("h", 1),), "", 3),
        ("redis://[::1]:7/0", Transport.TCP, (("::1", 7),), "", 0),
        ("rediss://h/1", Transport.TLS, (("h", 6379),), "", 1),
        ("redis+socket:///run/a.sock", Transport.SOCKET, (), "/run/a.sock", 0),
        ("redis+socket:///run/a%20b.sock?virtual_host=4", Transport.SOCKET, (), "/run/a b.sock", 4),
        ("sentinel://a,b:5/2?master=m", Transport.SENTINEL, (("a", 26379), ("b", 5)), "", 2),
    ],
)
def test_each_form_is_read(
    url: str, transport: Transport, hosts: tuple[tuple[str, int], ...], path: str, db: int
) -> None:
    """Transport, place and database of every supported form."""
    address = parse_address(url)
    assert (address.transport, address.hosts, address.path, address.db) == (transport, hosts, path, db)


def test_credentials_are_decoded_and_hidden():
    """A percent-encoded password reaches the server as it was meant, and no repr or shown URL has it."""
    address = parse_address("redis://us%40er:p%2Fw%23d@h/0")
    assert (address.username, address.password) == ("us@er", "p/w#d")
    assert "p/w#d" not in repr(address)
    assert address.shown == "redis://***@h:6379/0"
    assert parse_address("redis+socket://:pw@/run/a.sock").shown == "redis+socket://***@/run/a.sock?virtual_host=0"


def test_the_clients_get_every_timeout():
    """No command and no connect may wait for ever; the bounds are those of the module."""
    client = redis_client("redis://u:p@127.0.0.1:1/2", decode_responses=True)
    options = kwargs_of(client)
    assert (options["host"], options["port"], options["db"]) == ("127.0.0.1", 1, 2)
    assert (options["username"], options["password"]) == ("u", "p")
    assert options["socket_timeout"] == connections.SOCKET_TIMEOUT_S
    assert options["socket_connect_timeout"] == connections.CONNECT_TIMEOUT_S
    assert options["health_check_interval"] == connections.HEALTH_CHECK_S
    assert options["decode_responses"] is True
    assert options["socket_keepalive"] is True


def test_all_tries_of_a_step_end_before_a_lease_does():
    """A step on a silent server gives up within the 15 s by which a lease outlives a call."""
    tries = connections.REPLAYS + 1
    longest = tries * connections.SOCKET_TIMEOUT_S + connections.REPLAYS * connections.REPLAY_CAP_S
    assert longest < 75 - 60


def test_replay_can_be_switched_off():
    """A command that is not idempotent is sent once; the lost reply is the caller's to judge."""
    once = redis_client("redis://127.0.0.1:1", decode_responses=True, replay=False)
    again = redis_client("redis://127.0.0.1:1", decode_responses=True)
    assert kwargs_of(once)["retry"].get_retries() == 0
    assert kwargs_of(again)["retry"].get_retries() == connections.REPLAYS


def test_tls_and_its_options_reach_the_connection():
    """rediss:// speaks TLS and takes the certificate options of the URL."""
    pool = redis_client("rediss://h?ssl_ca_certs=/ca.pem", decode_responses=False).connection_pool
    assert pool.connection_class is redis.SSLConnection
    assert pool.connection_kwargs["ssl_ca_certs"] == "/ca.pem"


def test_a_socket_is_reached_by_its_path():
    """redis+socket:// needs neither host nor port."""
    pool = redis_client("redis+socket:///run/a.sock?virtual_host=3", decode_responses=False).connection_pool
    assert pool.connection_class is redis.UnixDomainSocketConnection
    assert (pool.connection_kwargs["path"], pool.connection_kwargs["db"]) == ("/run/a.sock", 3)


def test_sentinels_are_asked_for_the_master():
    """The pool follows the named master; the sentinels are asked without the data server's password."""
    client: Any = redis_client("sentinel://:pw@a:1,b:2/5?master=m", decode_responses=True)
    pool = client.connection_pool
    assert isinstance(pool, redis.sentinel.SentinelConnectionPool)
    assert pool.service_name == "m"
    assert (pool.connection_kwargs["db"], pool.connection_kwargs["password"]) == (5, "pw")
    asked = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
    assert [(each["host"], each["port"], each.get("password")) for each in asked] == [("a", 1, None), ("b", 2, None)]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "redis+socket:///run/a.sock", "sentinel://a:1/0?master=m"])
async def test_the_asyncio_pool_waits_instead_of_failing(url: str):
    """Every asyncio client has a bounded pool in which a coroutine queues for a connection."""
    client = async_redis_client(url, max_connections=7, decode_responses=True)
    pool = client.connection_pool
    assert isinstance(pool, redis.asyncio.BlockingConnectionPool)
    assert (pool.max_connections, pool.timeout) == (7, connections.POOL_WAIT_S)
    await client.aclose()


async def test_a_server_that_is_down_is_a_connection_error():
    """Nothing connects before the first command; that one fails with redis-py's own error."""
    client = async_redis_client("redis://127.0.0.1:1", max_connections=1, decode_responses=True, replay=False)
    with pytest.raises(redis.exceptions.ConnectionError):
        async with asyncio.timeout(30):
            await client.ping()
    await client.aclose()


def test_a_url_that_cannot_be_used_is_a_configuration_error():
    """A bad URL that passed by the settings still ends in the error that says what to do."""
    with pytest.raises(ConfigurationError, match="needs one of the schemes"):
        redis_client("http://u:pw@h", decode_responses=True)
    with pytest.raises(AddressError):
        parse_address("valkey://h")


@pytest.mark.parametrize(
    ("url", "spelt"),
    [
        ("redis://u:p%2Fw@h/1", "redis://u:p%2Fw@h:6379/1"),
        ("redis://:pw@[::1]:7", "redis://:pw@[::1]:7/0"),
        ("rediss://h", "rediss://h:6379/0?ssl_cert_reqs=required"),
        ("rediss://h?ssl_cert_reqs=none", "rediss://h:6379/0?ssl_cert_reqs=none"),
        ("redis+socket:///run/a.sock", "redis+socket:///run/a.sock?virtual_host=0"),
        ("sentinel://a,b:5/2?master=m", "sentinel://a:26379/2;sentinel://b:5/2"),
        ("amqp://u:p@h//", "amqp://u:p@h//"),
    ],
)
def test_celery_gets_the_url_in_its_own_spelling(url: str, spelt: str):
    """What Celery spells otherwise is translated; other brokers pass as they are."""
    assert celery_url(url) == spelt


def test_celery_understands_what_it_gets():
    """Celery's own parsers find the same server, database and master in the translated URL."""
    url = "sentinel://:pw@a:1,b:2/5?master=m"
    assert celery_transport_options(url)["master_name"] == "m"
    assert celery_transport_options("redis://h") == {}
    broker = Connection(celery_url(url), transport_options=celery_transport_options(url))
    assert broker.transport_cls == "sentinel"
    assert (broker.alt, broker.virtual_host) == (celery_url(url).split(";"), "5")
    backend = Celery(backend=celery_url("rediss://:pw@h/4")).backend
    assert (backend.connparams["host"], backend.connparams["db"], backend.connparams["password"]) == ("h", 4, "pw")
    socket = Celery(backend=celery_url("redis+socket:///run/a.sock?virtual_host=3")).backend
    assert (socket.connparams["path"], int(socket.connparams["db"])) == ("/run/a.sock", 3)
