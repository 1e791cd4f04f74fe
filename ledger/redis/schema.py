"""Which version of the key map a ledger has."""

from ledger.redis.scripts import SCHEMA


class UnknownSchema(Exception):  # noqa: N818 - a fact about the ledger, not a fault of a call
    """The ledger was written by another version of this program; working on it could lose or repeat payments."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"The ledger has schema version {found}, this program knows version {SCHEMA}. "
            f"Next step: run the version of b24pay that wrote it, or point REDIS_URL to another database."
        )


def require_schema(found: int) -> None:
    """Raise UnknownSchema unless we can work on a ledger of this version."""
    if found != SCHEMA:
        raise UnknownSchema(found)
