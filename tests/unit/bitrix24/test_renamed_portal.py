"""Redirects: only the same portal under a new address of Bitrix24's own zones is believed."""

import pytest

from bitrix24.hosts import is_public, new_endpoint

OLD = "https://acme.bitrix24.com/rest/"


def moved(location: str | None, old: str = OLD, *, allow_insecure: bool = False) -> str | None:
    """Where a redirect leads, as `new_endpoint` sees it."""
    return new_endpoint(old, location, allow_insecure=allow_insecure)


def test_a_renamed_cloud_portal_is_followed():
    """Another name in a Bitrix24 zone, https, REST path: the endpoint without the secret."""
    assert moved("https://new-name.bitrix24.com/rest/1/CODE/batch") == "https://new-name.bitrix24.com/rest/"
    assert moved("https://acme.bitrix24.de/rest/1/CODE/batch") == "https://acme.bitrix24.de/rest/"


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "/rest/1/CODE/batch",
        "https://acme.bitrix24.com/rest/1/CODE/batch",
        "http://new.bitrix24.com/rest/1/CODE/batch",
        "https://new.bitrix24.com/login/",
        "https://new.bitrix24.com:8443/rest/1/CODE/",
        "https://user@new.bitrix24.com/rest/1/CODE/",
        "https://evil.example/rest/1/CODE/batch",
        "https://bitrix24.com.evil.example/rest/1/CODE/batch",
        "https://new.bitrix24.evil/rest/1/CODE/batch",
        "https://a.b.bitrix24.com/rest/1/CODE/batch",
        "https://bitrix24.com/rest/1/CODE/batch",
        "//evil.example/rest/1/x/",
        "https://-.bitrix24.com/rest/1/CODE/",
        "https://a%2eb.bitrix24.com/rest/1/CODE/",
        "https://new.bitrix24.com./rest/1/CODE/",
        "https://evil.example\\.bitrix24.com/rest/1/CODE/",
        "https://evil.example%2f.bitrix24.com/rest/1/CODE/",
        "https://new.bitrix24.com%2eevil.example/rest/1/CODE/",
        "https://evil.example\udcff/rest/1/CODE/",
        "https://[broken/rest/",
        "http://127.0.0.1:1/rest/1/CODE/",
    ],
)
def test_any_other_target_is_not(location: str | None):
    """Login pages, foreign hosts, http and odd ports get no credential."""
    assert moved(location) is None


def test_a_portal_of_ones_own_is_not_moved_into_the_cloud():
    """Who serves an own host does not decide where the credential goes."""
    assert moved("https://new.bitrix24.com/rest/1/CODE/batch", "https://crm.example.org/rest/") is None


def test_loopback_moves_to_loopback_in_tests_only():
    """Emulators rename portals between ports when insecure portals are allowed."""
    old, new = "http://127.0.0.1:1/rest/", "http://127.0.0.2:2/rest/1/CODE/batch"
    assert moved(new, old, allow_insecure=True) == "http://127.0.0.2:2/rest/"
    assert moved(new, old) is None
    assert moved("http://evil.example/rest/1/CODE/", old, allow_insecure=True) is None


@pytest.mark.parametrize("host", ["8.8.8.8", "acme.bitrix24.com", "2001:4860:4860::8888"])
def test_public_hosts(host: str):
    """Names are judged when they are resolved."""
    assert is_public(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0.0.0.0", "192.168.1.1", "100.64.0.1", "fe80::1%eth0", "fc00::1", "x.local", "224.0.0.1"]
)
def test_inside_hosts(host: str):
    """Loopback, private, link-local, shared and multicast addresses are inside."""
    assert not is_public(host)
