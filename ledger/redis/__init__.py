"""The ledger on a Redis or Valkey server (7 or newer).

`RedisLedger` is the whole ledger for asynchronous processes, `ProducerLedger` its door for synchronous producers; both
run the same steps. Importing this package imports no client library.
"""

from ledger.redis.producer import ProducerLedger
from ledger.redis.schema import UnknownSchema
from ledger.redis.store import RedisLedger

__all__ = ["ProducerLedger", "RedisLedger", "UnknownSchema"]
