"""Events of applications: what is read of them, and what they are to a door."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitrix24.doors import Door, Installed, Standing
from bitrix24.install_event import BadEvent, Grant, address_refusal, read_event
from bitrix24.invitation import Invitation
from bitrix24.secret import Secret

# As documented (events/safe-event-handlers, common/events/on-app-install), with the tokens of the older pages.
EVENT = {
    "event": "ONAPPINSTALL",
    "data[VERSION]": "1",
    "data[ACTIVE]": "Y",
    "data[INSTALLED]": "Y",
    "data[LANGUAGE_ID]": "en",
    "ts": "1696527000",
    "auth[access_token]": "lh8ze36o8ulgrljbyscr36c7ay5sinva",
    "auth[refresh_token]": "5f1ih5tsnsb11sc5heg3kp4ywqnjhd09",
    "auth[expires]": "1696530600",
    "auth[expires_in]": "3600",
    "auth[scope]": "pay_system,crm",
    "auth[domain]": "some-domain.bitrix24.com",
    "auth[server_endpoint]": "https://oauth.bitrix.info/rest/",
    "auth[status]": "L",
    "auth[client_endpoint]": "https://some-domain.bitrix24.com/rest/",
    "auth[member_id]": "a223c6b3710f85df22e9377d6c4f7553",
    "auth[application_token]": "51856fefc120afa4b628cc82d3935cce",
    "auth[user_id]": "1",
}


def grant_of(**changes: str) -> Grant:
    """The grant of the documented event with some fields changed."""
    grant = read_event(EVENT | {f"auth[{name}]": value for name, value in changes.items()}, 0).grant
    assert grant is not None
    return grant


def test_the_documented_event_is_read_whole():
    """Tokens, addresses, time and scopes."""
    event = read_event(EVENT, 0)
    assert event.grant is not None
    assert (event.sent_at, event.grant.expires_at) == (1696527000, 1696530600)
    assert event.grant.endpoint == "https://some-domain.bitrix24.com/rest/"
    assert event.grant.oauth_url == "https://oauth.bitrix.info/oauth/token/"
    assert event.grant.scopes == {"pay_system", "crm"}
    assert address_refusal(event.grant, None, allow_insecure=False) is None


def test_an_older_event_names_the_domain_alone():
    """Without client_endpoint, server_endpoint and expires, as the course of 2022 shows it."""
    missing = ("auth[client_endpoint]", "auth[server_endpoint]", "auth[expires]")
    event = read_event({name: value for name, value in EVENT.items() if name not in missing}, 0)
    assert event.grant == grant_of()


def test_a_removal_brings_no_tokens_and_needs_no_address():
    """Application token and member id are all there is to go by."""
    kept = ("ts", "auth[member_id]", "auth[application_token]")
    removal = {name: EVENT[name] for name in kept} | {"event": "OnAppUninstall"}
    assert read_event(removal, 0).grant is None


@given(st.dictionaries(st.sampled_from([*EVENT, "AUTH_ID"]), st.text(max_size=40)))
def test_no_form_breaks_the_reader_and_no_refusal_repeats_a_value(changes: dict[str, str]):
    """Any text in any field is an event or a BadEvent whose words are our own."""
    tokens = {"auth[access_token]": "canary canary", "auth[refresh_token]": "canary canary"}
    for form in (EVENT | changes, EVENT | changes | tokens):
        assert "canary" not in _told(form)


def _told(form: dict[str, str]) -> str:
    """What the reader says of a form."""
    try:
        event = read_event(form, 0)
    except BadEvent as error:
        return str(error)
    refusal = address_refusal(event.grant, None, allow_insecure=False) if event.grant else None
    return f"{event!r} {refusal}"


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://some-domain.bitrix24.com/rest/",
        "https://bitrix24.com/rest/",
        "https://a.b.bitrix24.com/rest/",
        "https://some-domain.bitrix24.com.evil.example/rest/",
        "https://some-domain.bitrix24.com:8443/rest/",
        "https://127.0.0.1/rest/",
        "https://crm.acme.example/rest/",
    ],
)
def test_only_cloud_portals_come_uninvited(endpoint: str):
    """An own domain has to be named in the invitation."""
    grant = replace(grant_of(), endpoint=endpoint)
    assert address_refusal(grant, None, allow_insecure=False)


def test_a_named_address_may_be_an_own_domain_and_nothing_else():
    """What the operator expects decides; the authorization server is Bitrix24's in any case."""
    grant = replace(grant_of(), endpoint="https://crm.acme.example/rest/")
    assert address_refusal(grant, "crm.acme.example", allow_insecure=False) is None
    assert address_refusal(grant_of(), "crm.acme.example", allow_insecure=False)
    forged = replace(grant, oauth_url="https://evil.example/oauth/token/")
    assert address_refusal(forged, "crm.acme.example", allow_insecure=False)


def a_door(installed: Installed | None, read_at: float = 1000.0) -> Door:
    """A door that expires at 2000."""
    invitation = Invitation(client_id="local.x", client_secret=Secret("secret"))
    return Door(
        key="acme", invitation=invitation, expires_at=2000, installed=installed, uninstalled_at=None,
        read_at=read_at, raw="",
    )  # fmt: skip


def test_what_an_event_is_to_a_door():
    """Tokens decide: which pair, and how old; then whether somebody is storing."""
    old, last, new = (grant_of(access_token=f"token-number-{n}", expires=str(1000 + n)) for n in range(3))
    done = Installed(
        member_id="m", sent_at=0, expires_at=last.expires_at, pairs=(old.digest, last.digest), over=None,
        claimed_at=990, done=True,
    )  # fmt: skip
    under_way = replace(done, done=False)
    cases = [
        (a_door(None), old, Standing.FIRST),
        (a_door(None, read_at=2000), old, Standing.EXPIRED),
        (a_door(done), old, Standing.KNOWN),
        (a_door(done), last, Standing.KNOWN),
        (a_door(done), grant_of(access_token="unheard-of", expires="999"), Standing.KNOWN),
        (a_door(done, read_at=9999), new, Standing.NEWER),
        (a_door(under_way), old, Standing.KNOWN),
        (a_door(under_way), last, Standing.CLAIMED),
        (a_door(under_way), new, Standing.CLAIMED),
        (a_door(under_way, read_at=1020), last, Standing.ABANDONED),
        (a_door(under_way, read_at=1020), new, Standing.NEWER),
    ]
    assert [door.standing(grant) for door, grant, _ in cases] == [standing for _, _, standing in cases]
