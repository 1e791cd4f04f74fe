"""The install door: an application connects its portal, and nobody else connects anything."""

import asyncio
import json
from typing import Any

import pytest

from bitrix24.secret import Secret
from tests.integration.web.conftest import APPLICATION, Applicant, Form, Place, Street, access_token, refused, request

PROBLEM = "application/problem+json"


def test_an_installed_application_connects_its_portal(place: Place):
    """The event's credential is stored, proven by one call, and the lane is there; nobody copied a token."""
    applicant = place.portal()
    url = applicant.invite(address=f"http://{applicant.authority}/", plan="enterprise")
    answer = applicant.send(url)
    assert (answer.status, answer.body) == (200, {"portal": applicant.key, "connected": True})
    stored = place.stored(applicant.key)
    newest = applicant.emulator(lambda handle, name: handle.newest_credential(name))
    assert access_token(stored) == Secret(newest["access_token"])
    assert stored is not None
    assert stored.member_id
    assert stored.endpoint == newest["endpoint"]
    assert (stored.plan, stored.limits.burst) == ("enterprise", 250)
    assert place.lane(applicant.key).held is None
    [asked] = [
        each.method
        for each in applicant.emulator(lambda handle, name: handle.requests(portal=name))
        if each.method != "event.bind"
    ]
    assert asked == "app.info"


def test_the_portal_is_asked_to_tell_of_the_removal(place: Place):
    """The door's own address is bound; a portal that cannot is connected all the same."""
    applicant = place.portal()
    assert applicant.send(applicant.invite()).status == 200
    asked = applicant.emulator(lambda handle, name: handle.requests(portal=name))
    assert "event.bind" in [each.method for each in asked]
    assert any(each["event"] == "portal.unbound" for each in place.web.events())


def test_of_many_at_once_one_stores(place: Place, street: Street):
    """Two processes get the same event eight times at once: one version of the portal, one answer for all."""
    applicant = place.portal()
    other = street.start("web-2", B24PAY_WEB_PROXIES="127.0.0.0/8")
    url, form = applicant.invite(), applicant.form()

    async def flood() -> list[Any]:
        urls = [url, url.replace(place.web.address, other.address)] * 4
        return await asyncio.gather(*(request("POST", each, data=form) for each in urls))

    answers = asyncio.run(flood())
    assert {each.status for each in answers} == {200}
    assert len({json.dumps(each.body) for each in answers}) == 1
    stored = place.stored(applicant.key)
    assert stored is not None
    assert stored.version == 1


def test_a_wrong_door_and_an_unknown_key_look_the_same(place: Place):
    """Status, body and headers tell nobody which keys exist."""
    applicant = place.portal()
    url, form = applicant.invite(), applicant.form()
    head, _, name = url.rpartition("/")
    wrong = [
        f"{head}/{'x' * len(name)}",
        f"{head}/{name[:-1]}",
        f"{place.web.address}/v1/install/nobody/{name}",
        f"{place.web.address}/v1/install/NOT%20A%20KEY/{name}",
        f"{head}/{'x' * 3000}",
    ]
    answers = [applicant.post(each, form) for each in wrong]
    refused(answers[0], 404, "no-door")
    assert len({json.dumps(each.without_id()) for each in answers}) == 1
    assert place.stored(applicant.key) is None
    assert applicant.post(url, form).status == 200


def test_a_new_invitation_ends_the_former_one(place: Place):
    """One door a key."""
    applicant = place.portal()
    former, form = applicant.invite(), applicant.form()
    url = applicant.invite()
    refused(applicant.post(former, form), 404, "no-door")
    assert applicant.post(url, form).status == 200


def test_the_application_token_is_compared_where_it_is_known(place: Place):
    """Told by the operator, or remembered from the first event."""
    applicant = place.portal()
    url, form = applicant.invite(application_token=f"app-token-{applicant.authority}"), applicant.form()
    forged = {**form, "auth[application_token]": "f0rged-application-token"}
    answer = applicant.post(url, forged)
    refused(answer, 403, "wrong-application")
    assert "f0rged" not in json.dumps(answer.body)
    assert place.stored(applicant.key) is None
    assert applicant.post(url, form).status == 200

    unknown = place.portal()
    url, form = unknown.invite(), unknown.form()
    assert unknown.post(url, form).status == 200
    later = {**unknown.form(), "auth[application_token]": "f0rged-application-token"}
    refused(unknown.post(url, later), 403, "wrong-application")
    assert access_token(place.stored(unknown.key)) == Secret(form["auth[access_token]"])


def test_another_portal_is_refused(place: Place):
    """By the invitation's member id, by the first event's, and by the portal that the key has."""
    applicant = place.portal()
    url, form = applicant.invite(member_id="a" * 32), applicant.form()
    refused(applicant.post(url, form), 409, "other-portal")
    url = applicant.invite()
    assert applicant.post(url, form).status == 200
    refused(applicant.post(url, {**applicant.form(), "auth[member_id]": "b" * 32}), 409, "other-portal")
    url = applicant.invite()
    refused(applicant.post(url, {**applicant.form(), "auth[member_id]": "c" * 32}), 409, "other-portal")
    assert access_token(place.stored(applicant.key)) == Secret(form["auth[access_token]"])


def test_a_portal_that_another_key_has_is_refused_and_the_door_stays_open(place: Place):
    """One key per portal; the refusal spoils nothing."""
    applicant = place.portal()
    form = applicant.form()
    assert applicant.post(applicant.invite(), form).status == 200
    second = Applicant(place, "second", applicant.authority)
    url = second.invite()
    refused(applicant.post(url, applicant.form()), 409, "other-key")
    assert place.stored("second") is None
    assert place.command("portal", "remove", applicant.key).returncode == 0
    assert applicant.post(url, applicant.form()).status == 200
    assert place.stored("second") is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"auth[client_endpoint]": "https://bitrix24.com.evil.example/rest/"},
        {"auth[client_endpoint]": "https://169.254.169.254/rest/"},
        {"auth[client_endpoint]": "https://acme.bitrix24.com:8443/rest/"},
        {"auth[server_endpoint]": "https://oauth.bitrix.info.evil.example/rest/"},
        {"auth[server_endpoint]": "https://evil.example/rest/"},
    ],
)
def test_addresses_outside_are_refused(place: Place, changes: Form):
    """Neither tokens nor calls go where a stranger says."""
    applicant = place.portal()
    url = applicant.invite()
    answer = applicant.post(url, applicant.form() | changes)
    refused(answer, 422, "wrong-address")
    assert "evil" not in json.dumps(answer.body)
    assert place.stored(applicant.key) is None


def test_an_expected_address_is_held_to(place: Place):
    """An operator who names the portal gets that portal."""
    applicant, other = place.portal(), place.portal()
    url = applicant.invite(address=applicant.authority)
    refused(other.post(url, other.form()), 422, "wrong-address")
    assert place.stored(applicant.key) is None


def test_tokens_that_the_portal_does_not_accept_are_not_stored(place: Place):
    """Dead ones, and ones of another application; the right event still comes in."""
    applicant = place.portal()
    url, form = applicant.invite(), applicant.form()
    dead = {**form, "auth[access_token]": "n0-such-token-anywhere"}
    answer = applicant.post(url, dead)
    refused(answer, 422, "not-alive")
    assert "n0-such" not in json.dumps(answer.body)
    assert place.stored(applicant.key) is None
    other = applicant.invite(client_id="local.another")
    refused(applicant.post(other, form), 403, "wrong-application")
    assert applicant.post(applicant.invite(), form).status == 200


def test_a_portal_that_is_away_is_asked_for_later(place: Place):
    """503 with Retry-After, nothing stored, and the same event is good afterwards."""
    applicant = place.portal()
    url, form = applicant.invite(), applicant.form()
    applicant.emulator(lambda handle, name: handle.add_fault("reset", portal=name, count=1))
    answer = applicant.post(url, form)
    refused(answer, 503, "unavailable")
    assert answer.headers["Retry-After"]
    assert place.stored(applicant.key) is None
    assert applicant.post(url, form).status == 200


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"event": "ONCRMINVOICEADD"}, "event"),
        ({"auth[refresh_token]": ""}, "auth[refresh_token]"),
        ({"auth[access_token]": "a b"}, "auth[access_token]"),
        ({"auth[member_id]": "../.."}, "auth[member_id]"),
        ({"auth[client_endpoint]": "ftp://h/"}, "auth[client_endpoint]"),
        ({"auth[expires]": "", "auth[expires_in]": ""}, "auth[expires]"),
        ({"event": "", "AUTH_ID": "whatever"}, "opening of an application with pages"),
    ],
)
def test_a_form_that_is_no_event_is_refused_by_field(place: Place, changes: Form, told: str):
    """What is wrong is named, and no value is repeated."""
    applicant = place.portal()
    answer = applicant.post(applicant.invite(), applicant.form() | changes)
    refused(answer, 422, "bad-event")
    assert told in answer.body["detail"]


def test_nothing_secret_is_seen(place: Place):
    """Door names, tokens and client secrets are in no line, no answer and nowhere clear in Redis."""
    applicant = place.portal()
    applicant.emulator(lambda handle, name: handle.oauth(name, client_secret="canary-client-secret"))
    url, form = applicant.invite(client_secret="canary-client-secret"), applicant.form()
    answers = [applicant.post(url, form), applicant.post(url, {**form, "event": "x"}), applicant.post(url + "x", form)]
    secrets = [
        url.rpartition("/")[2],
        "canary-client-secret",
        *(form[f"auth[{name}]"] for name in ("access_token", "refresh_token", "application_token")),
    ]

    async def dump(redis: Any) -> str:
        return repr([await redis.hgetall(f"b24pay:{{0}}:{name}") for name in ("doors", "portals")])

    shown = place.command("portal", "show", applicant.key)
    sinks = [place.web.log.read_text(), place.redis(dump), shown.stdout + shown.stderr]
    sinks += [json.dumps(each.body) + repr(each.headers) for each in answers]
    assert [secret for secret in secrets for sink in sinks if secret in sink] == []


def test_an_invitation_needs_an_address_and_sound_words(place: Place):
    """All problems at once, no value repeated, and nothing made with --dry-run."""
    bad = json.dumps({"client_id": "local.x", "client_secret": "", "address": "not an address", "plan": "gold"})
    done = place.command("portal", "invite", "bad", stdin=bad)
    assert done.returncode == 2
    for field in ("client_secret", "address", "plan"):
        assert field in done.stderr
    done = place.command("portal", "invite", "dry", "--dry-run", stdin=json.dumps(APPLICATION))
    assert (done.returncode, done.stdout) == (0, "Portal dry: would be invited\n")
    assert not place.redis(lambda redis: redis.hexists("b24pay:{0}:doors", "dry"))
