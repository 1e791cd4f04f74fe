"""The cheap look at a portal whose lane is held: one call that pays nothing shows whether the cause is mended.

It cannot show rights: whether the user may pay is seen only by paying. Where it finds nothing, the first payment of the
lane is the test; a refused one was not run.
"""

from typing import Final

from bitrix24.client import Client
from bitrix24.errors import Effect, PortalError
from bitrix24.portal import Portal
from bitrix24.shapes import as_map

# Blocked by hand, closed on purpose, a chain of tokens that is dead or another's: what comes after a person decides.
_ONLY_A_PERSON: Final = frozenset({"OVERLOAD_LIMIT", "PORTAL_DELETED", "INVALID_GRANT", "ANOTHER_PORTAL"})
SCOPE_TO_PAY: Final = "pay_system"


def may_be_probed(error: PortalError) -> bool:
    """Whether a lane that is held for this may go on without a person, once the cause is gone."""
    return not only_a_person(error.code)


def only_a_person(code: str) -> bool:
    """Whether a lane that is held for this is a person's business: until then its portal is not asked anything."""
    return code in _ONLY_A_PERSON


async def is_mended(client: Client, portal: Portal) -> bool:
    """Whether the portal accepts the credential again, and for paying; raises the PortalError of any other answer."""
    try:
        scopes = await client.call(portal, "scope")
    except PortalError as error:
        if error.meaning.effect is Effect.REFRESH:
            return True  # it has run out meanwhile; whoever drives the lane renews it first
        raise
    return SCOPE_TO_PAY in {str(name).lower() for name in as_map(scopes).values()}
