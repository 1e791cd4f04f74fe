"""Roles, and the one who asks."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a token is for. Which role may use which route stands in `web/routes.py` and nowhere else."""

    PRODUCER = "producer"  # hands payments in and reads what became of them
    VIEWER = "viewer"  # reads everything, changes nothing
    OPERATOR = "operator"  # reads and changes everything


READERS: Final = frozenset(Role)
WATCHERS: Final = frozenset({Role.VIEWER, Role.OPERATOR})  # a dashboard is for people
CHANGERS: Final = frozenset({Role.OPERATOR})
PAYERS: Final = frozenset({Role.PRODUCER, Role.OPERATOR})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the token's name, its role, the portals it is limited to (None: all), and which token it is."""

    name: str
    role: Role
    portals: frozenset[str] | None = None
    token_id: str | None = None  # None: nobody needed a token, because none was ever made

    def may_touch(self, portal: str) -> bool:
        """Whether this portal is any of their business."""
        return self.portals is None or portal in self.portals
