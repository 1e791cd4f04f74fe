"""Names for the payments of requests: a repeated request finds what it named before, and makes no second one."""

from base64 import b32encode
from hashlib import sha256

# 80 bits in 16 letters and digits, as the names that `tasks.payment.new_ids` makes.
_BYTES = 10


def named_by_key(key: str) -> str:
    """The handle of a request with an idempotency key."""
    return _name("key", key)


def named_by_place(key: str, index: int) -> str:
    """The handle of one payment of a bulk request that has a key of its own."""
    return _name("bulk", key, str(index))


def _name(*parts: str) -> str:
    digest = sha256("\0".join(parts).encode()).digest()
    return b32encode(digest[:_BYTES]).decode().lower()
