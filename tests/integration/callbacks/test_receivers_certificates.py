"""TLS of receivers: only a certificate that an authority vouches for, of today and of this name, is told anything."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from emulator.certificate import make_certificate
from ledger.callbacks import CallbackState
from tests.authority import DAY, Authority
from tests.callback_storm import kill, start_courier
from tests.eventually import eventually
from tests.integration.bitrix24.raw_portal import RawPortal, answering, http, raw_portal
from tests.integration.bitrix24.test_certificates import talk_plainly
from tests.integration.callbacks.post_office import PostOffice, a_post_office

NOT_ACCEPTED, NO_TLS = "the TLS certificate was not accepted", "the TLS handshake failed"


@dataclass(frozen=True)
class Address:
    """Where a callback goes."""

    url: str
    host: str = "127.0.0.1"


def of(server: RawPortal) -> Address:
    """A receiver's https address, whatever it really speaks."""
    return Address(f"https://127.0.0.1:{server.port}/told?token=of-the-receiver")


def self_signed(folder: Path) -> ssl.SSLContext:
    """As somebody makes one by hand."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(folder))
    return context


async def test_nothing_is_said_where_the_certificate_is_not_right(redis_url: str, tmp_path: Path):
    """Tried again, with the reason for people, and not a byte of the request; a right one is told beside them."""
    known = Authority(tmp_path, "known")
    right, answer = known.server(), answering(http("", "204 No Content"))
    wrong: dict[str, tuple[ssl.SSLContext | None, str]] = {
        "self-signed": (self_signed(tmp_path), NOT_ACCEPTED),
        "expired": (known.server(valid=(-3 * DAY, -DAY)), NOT_ACCEPTED),
        "of another host": (known.server([x509.DNSName("shop.example.com")]), NOT_ACCEPTED),
        "plain HTTP": (None, NO_TLS),
    }
    async with AsyncExitStack() as stack:
        office = await stack.enter_async_context(a_post_office(redis_url))
        good = await stack.enter_async_context(raw_portal(answer, tls=right))
        servers = {
            name: await stack.enter_async_context(raw_portal(answer if tls else talk_plainly, tls=tls))
            for name, (tls, _) in wrong.items()
        }
        for server in (*servers.values(), good):
            await office.end(of(server))  # type: ignore[arg-type]  # an address is all that is looked at
        courier = await asyncio.to_thread(start_courier, redis_url, SSL_CERT_FILE=str(known.pem))
        try:
            await eventually(lambda: tried(office, len(wrong)), within_s=20)
        finally:
            kill(courier)
        remarks = {each.to.url: each.remark for each in await office.listed()}
        assert remarks == {of(server).url: wrong[name][1] for name, server in servers.items()}
        [told] = await office.listed(CallbackState.DELIVERED)
        assert (told.to.url, good.requests) == (of(good).url, 1)
        heard = {name: b"".join(line.read for line in server.lines) for name, server in servers.items()}
        assert {name: text for name, text in heard.items() if b"POST" in text or b"token" in text} == {}


async def tried(office: PostOffice, number: int) -> bool:
    """Whether so many are pending that were tried twice and more."""
    pending = await office.listed()
    return len(pending) == number and all(each.tries > 1 and each.remark for each in pending)
