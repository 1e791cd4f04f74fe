"""Bearer tokens that tests make: their secret part is the canary that every sink is searched for."""

from collections.abc import Iterable
from typing import Any

from access.roles import Role
from access.tokens import Issued, Tokens
from tests.canaries import BEARER_SECRET


def canary_tokens(redis: Any) -> Tokens:
    """The tokens of a server; those that are made here have the canary in them."""
    return Tokens(redis, new_secret=lambda: BEARER_SECRET)


async def a_token(
    redis: Any, name: str, role: Role, *, portals: Iterable[str] | None = None, lives_s: float | None = None
) -> Issued:
    """Make one token."""
    return await canary_tokens(redis).create(name, role, portals=portals, lives_s=lives_s)


def bearing(issued: Issued) -> dict[str, str]:
    """The header that a program sends with every request."""
    return {"Authorization": f"Bearer {issued.text}"}
