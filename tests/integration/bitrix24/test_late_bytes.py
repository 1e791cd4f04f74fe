"""What a broken network held back does not reach the portal after we have given the call up."""

import asyncio
import socket

import pytest

from bitrix24.client import Client
from bitrix24.errors import NoAnswer
from bitrix24.facts import Pay
from bitrix24.portal import parse_portal

HTTP_TOTAL_S = 1.0


def a_portal_that_does_not_read() -> socket.socket:
    """Its connections hold the least that the kernel permits, so the rest of a request stays with the caller."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(1)
    return listening


async def everything(connection: socket.socket) -> bytes:
    """Read to the end, of whatever kind."""
    loop, read = asyncio.get_running_loop(), b""
    connection.setblocking(False)
    try:
        while chunk := await loop.sock_recv(connection, 65536):
            read += chunk
    except ConnectionError:
        pass
    return read


async def test_the_rest_of_a_request_is_not_delivered_late() -> None:
    """The portal begins to read when we have long given up: it must not get a whole request to execute."""
    pays = [Pay(invoice_id=n, pay_system_id=None, bx_rest_handler="h" * 200) for n in range(1, 50)]
    with a_portal_that_does_not_read() as listening:
        port = listening.getsockname()[1]
        webhook = {"webhook": f"http://127.0.0.1:{port}/rest/1/emulator-secret/"}
        portal = parse_portal("deaf", webhook, allow_insecure=True)
        async with Client(http_total_s=HTTP_TOTAL_S, allow_insecure=True) as client:
            with pytest.raises(NoAnswer):
                await client.pay(portal, pays)
            connection, _ = listening.accept()
            # The kernel gives the connection up after as long as we did; it looks at it again a little later.
            await asyncio.sleep(3 * HTTP_TOTAL_S)
            with connection:
                head, _, body = (await everything(connection)).partition(b"\r\n\r\n")
    [length] = [int(row.split(b":")[1]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length")]
    assert head
    assert len(body) < length
