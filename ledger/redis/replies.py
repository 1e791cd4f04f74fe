"""What the client library hands over, as text."""

from ledger.redis.records import BadReply, Reply


def as_reply(raw: object) -> Reply:
    """A reply as nested lists of strings and integers, whether or not the client decodes."""
    if isinstance(raw, bytes):
        return raw.decode()
    if isinstance(raw, list):
        return [as_reply(part) for part in raw]
    if raw is None or isinstance(raw, (str, int)):
        return raw
    raise BadReply(f"a script answered with {type(raw).__name__}")
