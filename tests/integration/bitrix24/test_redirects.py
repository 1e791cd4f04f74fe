"""Redirects of every kind: none is followed, by the library or by us, and no secret reaches where it points."""

from collections.abc import Callable

import pytest

from bitrix24.client import Client
from bitrix24.errors import Effect, Fate, Moved, PortalError, Refused
from bitrix24.portal import Portal, parse_portal
from tests.integration.bitrix24.raw_portal import CODE, Line, RawPortal, a_pay, answering, batch_reply, http, raw_portal

PortalOf = Callable[[RawPortal], Portal]
KINDS = ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect")
# `{port}` is another server's, which must hear nothing; `{own}` the portal's.
ELSEWHERE = {
    "a foreign host": "http://evil.example:{port}/rest/1/x/batch",
    "a foreign host that looks like ours": "http://127.0.0.1.evil.example:{port}/rest/1/x/batch",
    "our name before the host": "http://127.0.0.1@evil.example:{port}/rest/1/x/batch",
    "a user before another port": "http://user@127.0.0.1:{port}/rest/1/x/batch",
    "another scheme": "ftp://127.0.0.1:{port}/rest/1/x/batch",
    "a login page elsewhere": "http://127.0.0.1:{port}/auth/?backurl=/rest/",
    "a login page": "/login/",
    "a login page without a slash": "login",
    "the same address": "http://127.0.0.1:{own}/rest/1/x/batch",
    "the same path": "/rest/1/x/batch",
    "no scheme": "//evil.example:{port}/rest/",
    "nothing": "",
    "a script": "javascript:alert(1)",
    "a broken address": "http://[::1:{port}/rest/",
    "no text": "http://127.0.0.1:{port}\udcff/rest/",
    "a port beyond all": "http://127.0.0.1:99999/rest/",
    "a path that climbs": "http://127.0.0.1:{port}/rest/../auth/",
}
MAY_BE_OURS = {
    "another port": "http://127.0.0.1:{port}/rest/1/x/batch",
    "another host": "http://127.0.0.2:{port}/rest/1/x/batch",
    "another scheme": "https://127.0.0.1:{port}/rest/1/x/batch",
}


def redirect(kind: str, location: str) -> bytes:
    """A redirect as bytes; it also says so in a header and a page that only browsers follow."""
    page = f'<meta http-equiv="refresh" content="0;url={location}">'.encode("utf-8", "surrogateescape")
    return http(page, kind, headers=["X: x"]).replace(
        b"X: x", f"Location: {location}\r\nRefresh: 0;url={location}".encode("utf-8", "surrogateescape")
    )


def as_webhook(server: RawPortal) -> Portal:
    """The secret in the path."""
    return server.portal


def as_application(server: RawPortal) -> Portal:
    """The secret in a header, and for new tokens in the body."""
    here = f"http://127.0.0.1:{server.port}"
    tokens = {"client_id": "local.1", "client_secret": CODE, "access_token": CODE, "refresh_token": CODE}
    described = {**tokens, "endpoint": f"{here}/rest/", "oauth_url": f"{here}/oauth/token/"}
    return parse_portal("raw", described, allow_insecure=True)


async def ended(kind: str, location: str, portal_of: PortalOf, *, renew: bool = False) -> PortalError:
    """What a call ends in that meets a redirect; the other server has heard nothing, and the portal one request."""
    raw = b""

    async def step(line: Line) -> None:
        await answering(raw)(line)

    async with raw_portal(answering(http(batch_reply()))) as other:
        async with raw_portal(step) as server, Client(http_total_s=10, allow_insecure=True) as client:
            raw = redirect(kind, location.format(port=other.port, own=server.port))
            portal = portal_of(server)
            with pytest.raises(PortalError) as caught:
                await (client.renew(portal) if renew else client.pay(portal, [a_pay()]))
            assert server.requests == 1
            assert CODE.encode() in server.lines[0].read
        assert other.lines == []
    assert CODE not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    return caught.value


@pytest.mark.parametrize("portal_of", [as_webhook, as_application])
@pytest.mark.parametrize("location", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_a_redirect_elsewhere_holds_the_lane(location: str, portal_of: PortalOf):
    """Not executed, and for a person: it would hand the credential over."""
    for kind in KINDS:
        error = await ended(kind, location, portal_of)
        assert type(error) is Refused, kind
        assert (error.meaning.fate, error.meaning.effect) == (Fate.NOT_RUN, Effect.HOLD), kind


@pytest.mark.parametrize("portal_of", [as_webhook, as_application])
@pytest.mark.parametrize("location", MAY_BE_OURS.values(), ids=MAY_BE_OURS.keys())
async def test_a_redirect_that_may_be_ours_is_named(location: str, portal_of: PortalOf):
    """Where insecure portals are allowed, loopback may be a renamed portal: it is named, without the secret."""
    for kind in KINDS:
        error = await ended(kind, location, portal_of)
        assert isinstance(error, Moved), kind
        assert error.endpoint.endswith("/rest/")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_server_that_redirects_gets_and_gives_nothing(kind: str):
    """The client's secret and the refresh token go to no second place."""
    for location in (*ELSEWHERE.values(), *MAY_BE_OURS.values()):
        error = await ended(kind, location, as_application, renew=True)
        assert not isinstance(error, Moved), location
