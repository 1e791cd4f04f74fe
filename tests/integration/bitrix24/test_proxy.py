"""A proxy that was set is used for every call; one of the environment never is, and no secret is told to either."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config.effective import effective
from config.settings import load_settings
from tests.authority import Authority
from tests.canaries import PROXY_PASSWORD
from tests.integration.bitrix24.payer import a_payer
from tests.integration.bitrix24.raw_portal import CODE, answering, batch_reply, http, raw_portal

TOTAL_S = 4.0
PERMITTED = base64.b64encode(f"user:{PROXY_PASSWORD}".encode())


@dataclass(slots=True)
class Proxy:
    """What it was asked, and how it answers: `says` takes the place of a connection."""

    port: int = 0
    says: bytes | None = None
    hangs: bool = False
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """As it is set."""
        return f"http://user:{PROXY_PASSWORD}@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self.hangs:
                await reader.read()
            elif self.says is not None:
                writer.write(self.says)
            elif b"Proxy-Authorization: Basic " + PERMITTED not in head:
                writer.write(http("who are you?", "407 Proxy Authentication Required"))
            else:
                await self._tunnel(head.split()[1].decode(), reader, writer)
        writer.close()

    async def _tunnel(self, authority: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = authority.rpartition(":")
        far = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pass_on(reader, far[1]), _pass_on(far[0], writer))


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await source.read(65536):
            target.write(chunk)
        target.write_eof() if target.can_write_eof() else None
    target.close()


@asynccontextmanager
async def a_proxy(says: bytes | None = None) -> AsyncIterator[Proxy]:
    """A proxy that connects, or says something else."""
    proxy = Proxy(says=says)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy


async def test_a_portal_is_paid_through_the_proxy(tmp_path: Path):
    """By CONNECT, so the proxy hears a host and a port, and TLS is between us and the portal."""
    known = Authority(tmp_path, "known")
    step = answering(http(batch_reply()))
    async with a_proxy() as proxy, raw_portal(step, tls=known.server()) as portal:
        settings = {"PAYER_PROXY": proxy.url, "SSL_CERT_FILE": str(known.pem), "SSL_CERT_DIR": str(tmp_path / "none")}
        async with a_payer(TOTAL_S, webhook=portal.webhook, **settings) as payer:
            said = [await payer.pay(portal.webhook) for _ in range(3)]
    assert [each["kind"] for each in said] == ["Reply"] * 3
    assert len(portal.lines) == len(proxy.heads) == 1, "the tunnel is kept"
    assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{portal.port} ".encode())
    assert CODE.encode() not in proxy.heads[0]
    assert b"Proxy-Authorization" not in portal.lines[0].read


async def test_a_certificate_counts_through_a_proxy_as_well(tmp_path: Path):
    """A proxy that answers in the portal's place hears nothing."""
    known, unknown = Authority(tmp_path, "known"), Authority(tmp_path, "unknown")
    step = answering(http(batch_reply()))
    tls, stolen = known.server(), unknown.server()
    async with a_proxy() as proxy, raw_portal(step, tls=tls) as portal, raw_portal(step, tls=stolen) as other:
        settings = {"PAYER_PROXY": proxy.url, "SSL_CERT_FILE": str(known.pem), "SSL_CERT_DIR": str(tmp_path)}
        async with a_payer(TOTAL_S, webhook=portal.webhook, **settings) as payer:
            said = await payer.pay(other.webhook)
    assert (said["kind"], said["fate"]) == ("NotSent", "NOT_RUN")
    assert "the TLS certificate was not accepted" in said["text"]
    assert other.requests == 0


async def test_a_proxy_that_does_not_connect_costs_no_doubt(tmp_path: Path):
    """Nothing has left, the reason names the proxy and not its password, and nobody goes around it."""
    known = Authority(tmp_path, "known")
    refusals = {
        http("no", "403 Forbidden"): "the proxy did not connect to the portal",
        http("no", "407 Proxy Authentication Required"): "the proxy did not connect to the portal",
        http("later", "503 Service Unavailable"): "the proxy did not connect to the portal",
        b"": "the connection was closed before the whole reply",
        b"SSH-2.0-OpenSSH_9.2\r\n": "",
    }
    step = answering(http(batch_reply()))
    async with a_proxy() as proxy, raw_portal(step, tls=known.server()) as portal:
        settings = {"PAYER_PROXY": proxy.url, "SSL_CERT_FILE": str(known.pem), "SSL_CERT_DIR": str(tmp_path)}
        async with a_payer(TOTAL_S, webhook=portal.webhook, **settings) as payer, raw_portal(step) as other:
            for says, reason in refusals.items():
                proxy.says = says
                said = await payer.pay(other.webhook.replace("http:", "https:"))
                assert (said["kind"], said["fate"]) == ("NotSent", "NOT_RUN"), says
                assert reason in said["text"], says
                assert PROXY_PASSWORD not in said["text"]
            proxy.hangs = True
            said = await payer.pay(other.webhook.replace("http:", "https:"))
            assert (said["kind"], said["fate"]) == ("NotSent", "NOT_RUN")
            assert "no connection in time" in said["text"]
            assert other.lines == []


async def test_a_proxy_that_is_away_is_not_gone_around():
    """The reason says what is away."""
    async with a_proxy() as gone:
        pass
    async with raw_portal(answering(http(batch_reply()))) as portal:
        async with a_payer(TOTAL_S, webhook=None, PAYER_PROXY=gone.url) as payer:
            said = await payer.pay(portal.webhook)
        assert (said["kind"], said["fate"]) == ("NotSent", "NOT_RUN")
        assert "the proxy refused the connection or is unreachable" in said["text"]
        assert portal.lines == []


async def test_a_proxy_of_the_environment_is_not_used():
    """Whoever sets variables of a process must not see its calls."""
    async with a_proxy() as proxy, raw_portal(answering(http(batch_reply()))) as portal:
        named = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), proxy.url)
        async with a_payer(TOTAL_S, **named) as payer:
            assert (await payer.pay(portal.webhook))["kind"] == "Reply"
    assert proxy.heads == []


def test_the_proxy_is_shown_without_its_password():
    """In `b24pay doctor`, and wherever settings are printed."""
    given = {"REDIS_URL": "redis://127.0.0.1/0", "B24PAY_PORTAL_PROXY": f"http://user:{PROXY_PASSWORD}@proxy:3128"}
    settings = load_settings(given)
    [row] = [row for row in effective(settings) if row.name == "B24PAY_PORTAL_PROXY"]
    assert row.value == "http://***@proxy:3128"
    assert PROXY_PASSWORD not in repr(settings)
