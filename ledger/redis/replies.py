"""What the client library hands over, as plain values."""

import json

from ledger.redis.records import BadReply, Reply


def as_reply(raw: object) -> Reply:
    """A step's JSON as nested lists of strings and integers, whether or not the client decodes."""
    if not isinstance(raw, (str, bytes)):
        raise BadReply(f"a script answered with {type(raw).__name__}")
    reply: Reply = json.loads(raw)
    return reply
