"""Why a call broke off, in our words."""

import ssl
from typing import Final

import aiohttp

from bitrix24.hosts import InsideAddress

# In our words: aiohttp's own messages name the URL. The first kind that fits speaks.
_REASONS: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), "the TLS certificate was not accepted"),
    ((aiohttp.ClientSSLError, ssl.SSLError), "the TLS handshake failed"),
    ((aiohttp.ConnectionTimeoutError,), "no connection in time"),
    ((aiohttp.ClientProxyConnectionError,), "the proxy refused the connection or is unreachable"),
    ((aiohttp.ClientHttpProxyError,), "the proxy did not connect to the portal"),
    ((aiohttp.ClientConnectorDNSError,), "the host name could not be resolved"),
    ((aiohttp.ClientConnectorError,), "the connection was refused or the host is unreachable"),
    (
        (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError),
        "the connection was closed before the whole reply",
    ),
    ((aiohttp.ClientOSError,), "the connection broke"),
    ((aiohttp.ClientResponseError,), "the reply was not HTTP"),
)


def reason_of(error: Exception) -> str:
    """Why a call broke off; never with anything of its address."""
    if isinstance(getattr(error, "os_error", None), InsideAddress):
        return "the host name leads to a private address"
    return next((text for kinds, text in _REASONS if isinstance(error, kinds)), "the call broke off")
