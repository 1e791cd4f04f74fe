"""What is an outage of Redis, to be waited out, and what is a fault that waiting does not mend."""

from typing import Final

from redis.exceptions import RedisError, ResponseError

# Answers of a server that cannot do it now: full, a replica, still loading, a disk that takes no writes.
_NOT_NOW: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN"}
)


def is_outage(error: Exception) -> bool:
    """Whether the same step may succeed later without anybody's doing.

    redis-py has classes of their own for some of the answers; what is left as a plain ResponseError is one of the
    others, or a step that failed on what it found: a wrong type, a missing field.
    """
    if type(error) is ResponseError:
        return str(error).partition(" ")[0] in _NOT_NOW
    return isinstance(error, RedisError | OSError)
