"""How fast payments of portals have ended in the last minutes."""

from collections.abc import Mapping, Sequence
from typing import Final

from web.pages.lanes import Rate
from web.parts import Parts

# Long enough for a portal whose execution time comes back by the minute, short enough to be about now.
OVER_S: Final = 300.0


async def rates_of(parts: Parts, portals: Sequence[str]) -> Mapping[str, Rate]:
    """The observed rates of some portals, a page of them."""
    return {portal: Rate(ended, OVER_S) for portal, ended in (await parts.lookups.ended(portals, OVER_S)).items()}
