"""The description of a portal: what is taken, and that everything wrong is said at once, without the secret."""

import copy
import pickle

import pytest

from bitrix24.credentials import OAuth
from bitrix24.portal import InvalidPortal, PortalLimits, parse_portal
from bitrix24.secret import Secret

CODE = "k3yk3yk3yk3yk3y"
WEBHOOK = f"https://acme.bitrix24.com/rest/17/{CODE}/"


def problems(key: str = "acme", *, allow_insecure: bool = False, **description: object) -> dict[str, str]:
    """The fields that were refused with their texts; also proves that the secret is in none of them."""
    with pytest.raises(InvalidPortal) as caught:
        parse_portal(key, description, allow_insecure=allow_insecure)
    assert CODE not in str(caught.value)
    assert CODE not in repr(caught.value)
    assert all(problem.hint for problem in caught.value.problems)
    return {problem.field: problem.text for problem in caught.value.problems}


@pytest.mark.parametrize(
    "webhook",
    [
        WEBHOOK,
        WEBHOOK.rstrip("/"),
        f"{WEBHOOK}profile.json",
        f"{WEBHOOK}profile/",
        f"  {WEBHOOK}\n",
        f"{WEBHOOK}/",
        f"https://ACME.bitrix24.com:443/rest/17/{CODE}/crm.invoice.list.json?x=1",
    ],
)
def test_a_webhook_is_taken_as_people_copy_it(webhook: str):
    """Trailing method names, slashes, blanks and upper case in the host make no difference."""
    portal = parse_portal("acme", {"webhook": webhook})
    assert portal.endpoint == "https://acme.bitrix24.com/rest/"
    assert portal.credential.user_id == 17
    assert portal.credential.code.reveal() == CODE
    assert portal.host == "acme.bitrix24.com"


def test_the_secret_does_not_show():
    """A portal may be printed, and its secret is neither pickled nor copied into anything."""
    portal = parse_portal("acme", {"webhook": WEBHOOK})
    assert CODE not in f"{portal!r} {portal} {portal.credential.code} {portal.credential!r}"
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(portal.credential.code)
    assert Secret("a") == Secret("a") != Secret("b")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"http://acme.bitrix24.com/rest/1/{CODE}/", "is not https"),
        (f"https://127.0.0.1/rest/1/{CODE}/", "is a local or private address"),
        (f"https://10.0.0.7/rest/1/{CODE}/", "is a local or private address"),
        (f"https://169.254.169.254/rest/1/{CODE}/", "is a local or private address"),
        (f"https://[::1]/rest/1/{CODE}/", "is a local or private address"),
        (f"https://[::ffff:10.0.0.1]/rest/1/{CODE}/", "is a local or private address"),
        (f"https://localhost/rest/1/{CODE}/", "is a local or private address"),
        (f"https://portal.internal./rest/1/{CODE}/", "is a local or private address"),
        (f"https://user:pass@acme.bitrix24.com/rest/1/{CODE}/", "carries a user name or password before the host"),
        (f"ftp://acme.bitrix24.com/rest/1/{CODE}/", "is not a web address"),
        (f"acme.bitrix24.com/rest/1/{CODE}/", "is not a web address"),
        (f"https://acme.bitrix24.com:99999/rest/1/{CODE}/", "is not a web address"),
        ("https://acme.bitrix24.com/rest/", "is not the address of an inbound webhook"),
        (f"https://acme.bitrix24.com/rest/0/{CODE}/", "is not the address of an inbound webhook"),
        (f"https://acme.bitrix24.com/x/rest/1/{CODE}/", "is not the address of an inbound webhook"),
        (f"https://acme.bitrix24.com/rest/1/{CODE}/../../admin/x/y", "is not the address of an inbound webhook"),
        (17, "is not a web address"),
    ],
)
def test_other_addresses_are_refused(url: object, said: str):
    """Only https to a public host with a webhook's path is a portal."""
    assert problems(webhook=url) == {"webhook": said}


def test_insecure_portals_are_taken_when_allowed():
    """Emulators live on http and loopback, and keep their port in the identity."""
    portal = parse_portal("acme", {"webhook": f"http://127.0.0.1:8080/rest/1/{CODE}/"}, allow_insecure=True)
    assert portal.endpoint == "http://127.0.0.1:8080/rest/"
    assert portal.host == "127.0.0.1:8080"


def test_everything_wrong_is_said_at_once():
    """Key, address, limits, plan, member id and unknown fields are all reported together."""
    limits = {"requests_per_second": 0, "burst": 1.5, "execution_seconds_per_10_min": True, "speed": 1}
    found = problems("Acme!", webhook="nonsense", limits=limits, plan="gold", member_id="?", colour="red")
    assert set(found) == {
        "key",
        "webhook",
        "plan",
        "member_id",
        "colour",
        *(f"limits.{name}" for name in limits),
    }


def test_a_secret_in_the_wrong_place_is_not_repeated():
    """A pasted URL or code used as a field name is not echoed."""
    assert "(not shown)" in problems(**{WEBHOOK: "", "webhook": WEBHOOK})


@pytest.mark.parametrize("key", ["", "A", "-a", ".a", "a" * 64, "a b", "acme.bitrix24.com/", "a\n"])
def test_keys_keep_to_the_pattern(key: str):
    """A key that no payment could name is refused."""
    assert "key" in problems(key, webhook=WEBHOOK)


def test_a_plan_gives_its_limits_and_stated_limits_win():
    """Enterprise admits 5 requests a second from a bucket of 250."""
    assert parse_portal("acme", {"webhook": WEBHOOK}).limits == PortalLimits()
    enterprise = parse_portal("acme", {"webhook": WEBHOOK, "plan": "enterprise"})
    assert (enterprise.limits.requests_per_second, enterprise.limits.burst) == (5, 250)
    stated = parse_portal("acme", {"webhook": WEBHOOK, "plan": "enterprise", "limits": {"burst": 10}})
    assert (stated.limits.requests_per_second, stated.limits.burst) == (5, 10)
    assert stated.limits.execution_seconds_per_10_min == 480


OAUTH = {
    "client_id": "local.1",
    "client_secret": f"{CODE}1",
    "access_token": f"{CODE}2",
    "refresh_token": f"{CODE}3",
    "endpoint": "https://Acme.bitrix24.com/rest/",
    "oauth_url": "https://oauth.bitrix.info/oauth/token",
}


def test_the_credential_of_an_application():
    """Every field arrives, addresses in one form, and the secrets show nowhere."""
    portal = parse_portal("acme", {**OAUTH, "expires": 1_800_000_000})
    credential = portal.credential
    assert isinstance(credential, OAuth)
    assert (portal.endpoint, credential.oauth_url) == (
        "https://acme.bitrix24.com/rest/",
        "https://oauth.bitrix.info/oauth/token/",
    )
    assert [secret.reveal() for secret in credential.secrets] == [f"{CODE}2", f"{CODE}3", f"{CODE}1"]
    assert credential.expires_at == 1_800_000_000
    assert CODE not in f"{portal!r} {credential}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in OAUTH for value in ("", None, 7)),
        *((field, "with a blank") for field in ("client_id", "client_secret", "access_token", "refresh_token")),
        ("access_token", "line\r\nbreak"),
        ("endpoint", "http://acme.bitrix24.com/rest/"),
        ("endpoint", "https://127.0.0.1/rest/"),
        ("endpoint", "https://acme.bitrix24.com/login/"),
        ("endpoint", WEBHOOK),
        ("oauth_url", "https://oauth.example.com/oauth/token/"),
        ("oauth_url", "http://oauth.bitrix.info/oauth/token/"),
        ("oauth_url", "https://oauth.bitrix.info@example.com/"),
        ("oauth_url", "https://oauth.bitrix.info:8443/"),
        ("expires", "tomorrow"),
        ("expires", True),
    ],
)
def test_what_is_wrong_with_an_applications_credential(field: str, value: object):
    """The client's secret goes to Bitrix24's own token servers alone, and a token that is none into no header."""
    assert set(problems(**{**OAUTH, field: value})) == {field}


def test_two_credentials_are_one_too_many():
    """A webhook beside OAuth fields is refused instead of guessed."""
    assert "client_id" in problems(webhook=WEBHOOK, client_id="x")["webhook"]
    assert problems() == {"webhook": "is required"}
