"""TLS: only a certificate that an authority vouches for, of today and of this name, gets to hear anything."""

import ipaddress
from pathlib import Path

from cryptography import x509

from tests.authority import DAY, Authority
from tests.integration.bitrix24.payer import a_payer
from tests.integration.bitrix24.raw_portal import CODE, Line, answering, batch_reply, http, raw_portal

TOTAL_S = 4.0


async def test_only_a_valid_certificate_is_told_anything(tmp_path: Path):
    """Not sent, nothing of the secret on the wire, and the reason says that it is the certificate."""
    known, unknown = Authority(tmp_path, "known"), Authority(tmp_path, "unknown")
    bad = {
        "an unknown authority": unknown.server(),
        "another name": known.server([x509.DNSName("acme.bitrix24.com")]),
        "another address": known.server([x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]),
        "an address as a name": known.server([x509.DNSName("127.0.0.1")]),
        "a common name alone": known.server([]),
        "of yesterday": known.server(valid=(-3 * DAY, -DAY)),
        "of tomorrow": known.server(valid=(DAY, 3 * DAY)),
    }
    step = answering(http(batch_reply()))
    async with a_payer(TOTAL_S, SSL_CERT_FILE=str(known.pem), SSL_CERT_DIR=str(tmp_path / "none")) as payer:
        async with raw_portal(step, tls=known.server()) as server:
            said = [await payer.pay(server.webhook) for _ in range(3)]
            assert [each["kind"] for each in said] == ["Reply"] * 3, "the control"
            assert len(server.lines) == 1
        for name, context in bad.items():
            async with raw_portal(step, tls=context) as server:
                met = await payer.pay(server.webhook)
                assert (met["kind"], met["fate"]) == ("NotSent", "NOT_RUN"), name
                assert "the TLS certificate was not accepted" in met["text"], name
                assert server.requests == 0, name


async def hang_up(line: Line) -> None:
    """Read the beginning of a handshake and close."""
    line.read = await line.reader.read(100)
    line.close()


async def say_nothing(line: Line) -> None:
    """Read whatever comes and never answer."""
    while chunk := await line.reader.read(65536):
        line.read += chunk
    line.close()


async def talk_plainly(line: Line) -> None:
    """Answer a handshake with plain HTTP."""
    line.read = await line.reader.read(100)
    await line.send(http(batch_reply()))
    line.close()


async def test_where_no_tls_is_spoken_nothing_is_said():
    """A port that hangs up, is silent or speaks plainly hears no request, and there is no second try without TLS."""
    async with a_payer(TOTAL_S) as payer:
        for step in (hang_up, say_nothing, talk_plainly):
            async with raw_portal(step) as server:
                said = await payer.pay(server.webhook.replace("http:", "https:"))
                assert said["kind"] == "NotSent", step
                assert said["took_s"] <= TOTAL_S + 5, step
                assert [line.read for line in server.lines if b"POST" in line.read or CODE.encode() in line.read] == []
                assert len(server.lines) == 1, step
