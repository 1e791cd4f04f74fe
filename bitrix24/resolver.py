"""Names are looked at once more when they are resolved.

Apart from `hosts.py`, which the terminal loads as well: aiohttp takes a tenth of a second.
"""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from bitrix24.hosts import InsideAddress, is_public_address


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only; a name that points inside does not resolve."""

    def __init__(self) -> None:
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The public addresses of a host; raises OSError where there is none."""
        found = await self._resolver.resolve(host, port, family)
        public = [address for address in found if is_public_address(address["host"])]
        if not public:
            raise InsideAddress("the name leads to a private address")
        return public

    async def close(self) -> None:
        """Release the resolver below."""
        await self._resolver.close()
