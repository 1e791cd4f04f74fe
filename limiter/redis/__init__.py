"""The limiter that all processes share: one hash per portal, one Lua file per atomic step."""

from limiter.redis.store import RedisLimiter

__all__ = ["RedisLimiter"]
