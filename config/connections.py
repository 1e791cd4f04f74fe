"""Clients for Redis and Valkey, made the same way everywhere; nothing connects before its first command.

Replay: redis-py sends a command again when its reply was lost, so a step may run twice although it was called
once. Every step of ours that goes through a client of this module is idempotent or carries a request id. A command
that is neither asks for a client with `replay=False` and deals with the lost reply itself.

redis is imported inside the functions: a producer pays for it at its first payment, not at import.
"""

import socket
from typing import TYPE_CHECKING, Any, Final

from config.addresses import Address, AddressError, Transport, parse_address
from config.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    import redis
    import redis.asyncio
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.retry import Retry

# A server that does not accept within this is down or unreachable; two more tries follow.
CONNECT_TIMEOUT_S: Final = 3.0
# The slowest step (settling a batch of 50) takes milliseconds; `appendfsync always` on a slow disk may add a second.
# Three tries must end well inside the 15 s by which a lease outlives a REST call. A half-open connection is found by
# this alone, and a worker must work again within 5 s.
SOCKET_TIMEOUT_S: Final = 2.5
# A connection idle for longer is pinged before use, so a half-open one is found before a payment hangs on it.
HEALTH_CHECK_S: Final = 25
# Two replays: a restarted server is back within a second or two; longer outages belong to the caller's loop.
REPLAYS: Final = 2
REPLAY_BASE_S: Final = 0.1
REPLAY_CAP_S: Final = 1.0
# How long a coroutine queues for a free connection before it is told that the pool is too small.
POOL_WAIT_S: Final = 10.0


def redis_client(
    url: str,
    *,
    decode_responses: bool,
    replay: bool = True,
    max_connections: int | None = None,
    socket_timeout_s: float = SOCKET_TIMEOUT_S,
    client_name: str = "b24pay",
) -> "redis.Redis":
    """A thread-safe blocking client; raises ConfigurationError for a URL that cannot be used."""
    import redis
    from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
    from redis.retry import Retry

    backoff = ExponentialWithJitterBackoff(base=REPLAY_BASE_S, cap=REPLAY_CAP_S) if replay else NoBackoff()
    retry = Retry(backoff, REPLAYS if replay else 0)
    address = _address(url)
    options = _options(address, retry, decode_responses, socket_timeout_s, client_name)
    if max_connections is not None:
        options["max_connections"] = max_connections
    if address.transport is Transport.SENTINEL:
        from redis.sentinel import Sentinel

        # redis-py leaves its sentinel classes untyped.
        sentinels: Any = Sentinel(list(address.hosts), sentinel_kwargs=_sentinel_options(), **options)  # type: ignore[no-untyped-call]
        through_sentinels: redis.Redis = sentinels.master_for(address.master)
        return through_sentinels
    return redis.Redis.from_pool(redis.ConnectionPool(connection_class=_connection_class(address, redis), **options))


def async_redis_client(
    url: str,
    *,
    max_connections: int,
    decode_responses: bool,
    replay: bool = True,
    socket_timeout_s: float = SOCKET_TIMEOUT_S,
    client_name: str = "b24pay",
) -> "redis.asyncio.Redis":
    """A client for one event loop with a pool of `max_connections`; a coroutine waits for a free one.

    Size the pool to the number of steps in flight at once: too small a pool once made leases run out.
    """
    import redis.asyncio as aioredis
    from redis.asyncio.retry import Retry
    from redis.backoff import ExponentialWithJitterBackoff, NoBackoff

    from config.cancellation import cancellable

    backoff = ExponentialWithJitterBackoff(base=REPLAY_BASE_S, cap=REPLAY_CAP_S) if replay else NoBackoff()
    retry = Retry(backoff, REPLAYS if replay else 0)
    address = _address(url)
    options = _options(address, retry, decode_responses, socket_timeout_s, client_name)
    if address.transport is Transport.SENTINEL:
        from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection

        from config.sentinels import BlockingSentinelPool

        # redis-py leaves its sentinel classes untyped.
        sentinels: Any = Sentinel(list(address.hosts), sentinel_kwargs=_sentinel_options(), **options)  # type: ignore[no-untyped-call]
        through_sentinels: aioredis.Redis = sentinels.master_for(
            address.master,
            connection_pool_class=BlockingSentinelPool,
            connection_class=cancellable(SentinelManagedConnection),
            max_connections=max_connections,
            timeout=POOL_WAIT_S,
        )
        return through_sentinels
    pool = aioredis.BlockingConnectionPool(
        max_connections=max_connections,
        timeout=POOL_WAIT_S,
        connection_class=cancellable(_connection_class(address, aioredis)),
        **options,
    )
    return aioredis.Redis.from_pool(pool)


def celery_url(url: str) -> str:
    """The URL in Celery's spelling; one that is not Redis (an AMQP broker, say) is returned as it is."""
    if url.partition("://")[0] not in set(Transport):
        return url
    return _address(url).celery_url


def celery_transport_options(url: str) -> dict[str, object]:
    """What Celery must know besides the URL: the name that the sentinels watch."""
    if url.partition("://")[0] != Transport.SENTINEL:
        return {}
    return {"master_name": _address(url).master, "sentinel_kwargs": _sentinel_options()}


def _address(url: str) -> Address:
    try:
        return parse_address(url)
    except AddressError as error:
        raise ConfigurationError([Problem("REDIS_URL", str(error), "Example: redis://127.0.0.1:6379/0")]) from None


def _options(
    address: Address,
    retry: "Retry | AsyncRetry",
    decode_responses: bool,  # noqa: FBT001 - a private helper; the public doors take it by name
    socket_timeout_s: float,
    client_name: str,
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "decode_responses": decode_responses,
        "socket_timeout": socket_timeout_s,
        "health_check_interval": HEALTH_CHECK_S,
        "retry": retry,
        "client_name": client_name,
        **dict(address.options),
    }
    if address.transport is Transport.SOCKET:
        return {**options, "path": address.path}
    options |= {"socket_connect_timeout": CONNECT_TIMEOUT_S, **_keepalive()}
    if address.transport is not Transport.SENTINEL:
        options["host"], options["port"] = address.hosts[0]
    return options


def _sentinel_options() -> dict[str, Any]:
    """Sentinels are asked and left again; the data server's password is not theirs."""
    return {"socket_timeout": CONNECT_TIMEOUT_S, "socket_connect_timeout": CONNECT_TIMEOUT_S}


def _keepalive() -> dict[str, Any]:
    """Probes that find a vanished peer in about half a minute; the system's default is two hours."""
    probes = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    known = {getattr(socket, name): value for name, value in probes.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}


def _connection_class(address: Address, module: Any) -> Any:
    match address.transport:
        case Transport.SOCKET:
            return module.UnixDomainSocketConnection
        case Transport.TLS:
            return module.SSLConnection
        case _:
            return module.Connection
