"""The install door: an application connects its portal, and nobody else connects anything."""

import asyncio
import json
from typing import Any

import pytest

from bitrix24.credentials import OAuth
from bitrix24.portal import Portal
from tests.integration.web.conftest import APPLICATION, Applicant, Form, Place, Street, request

PROBLEM = "application/problem+json"


def access_token(portal: Portal | None) -> str:
    """The token that is stored."""
    assert portal is not None
    assert isinstance(portal.credential, OAuth)
    return portal.credential.access_token.reveal()


def refused(answer: Any, status: int, name: str) -> None:
    """A refusal has a cause and a next step."""
    assert answer.status == status, answer.body
    assert answer.body["type"] == f"urn:b24pay:problem:{name}"
    assert answer.body["detail"]
    assert answer.body["next_step"]


def test_an_installed_application_connects_its_portal(place: Place):
    """The event's credential is stored, proven by one call, and the lane is there; nobody copied a token."""
    applicant = place.portal()
    url = applicant.invite(address=f"http://{applicant.authority}/", plan="enterprise")
    answer = applicant.send(url)
    assert (answer.status, answer.body) == (200, {"portal": applicant.key, "connected": True})
    stored = place.stored(applicant.key)
    newest = applicant.emulator(lambda handle, name: handle.newest_credential(name))
    assert access_token(stored) == newest["access_token"]
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


def test_a_repeated_event_is_answered_the_same_and_changes_nothing(place: Place):
    """Bitrix24 sends it again after the tokens were renewed: the renewed ones stay."""
    applicant = place.portal()
    url, form = applicant.invite(), applicant.form()
    first = applicant.post(url, form)
    assert first.status == 200, first.body
    renewed = _renew(place, applicant)
    again = applicant.post(url, {**form, "ts": str(int(form["ts"]) + 600)})
    assert again.without_id() == first.without_id()
    assert access_token(place.stored(applicant.key)) == renewed


def _renew(place: Place, applicant: Applicant) -> str:
    """Store another token, as a worker does after a renewal."""
    from dataclasses import replace

    from bitrix24.registry import PortalRegistry
    from bitrix24.secret import Secret
    from tests.conftest import SECRET_KEY

    async def work(redis: Any) -> str:
        registry = PortalRegistry(redis, [SECRET_KEY])
        portal = await registry.newest(applicant.key)
        assert isinstance(portal.credential, OAuth)
        credential = replace(portal.credential, access_token=Secret("renewed-token-of-a-worker"))
        await registry.put(replace(portal, credential=credential), over=portal.version)
        return "renewed-token-of-a-worker"

    return place.redis(work)


def test_a_new_installation_replaces_the_tokens_and_a_late_older_event_does_not(place: Place):
    """The tokens' own age decides, whenever the events arrive."""
    applicant = place.portal()
    url, older = applicant.invite(), applicant.form()
    newer = {**applicant.form(), "auth[expires]": str(int(older["auth[expires]"]) + 5)}
    assert applicant.post(url, older).status == 200
    assert access_token(place.stored(applicant.key)) == older["auth[access_token]"]
    assert applicant.post(url, newer).status == 200
    for late in (
        older,
        {**older, "ts": str(int(newer["ts"]) + 900)},
        applicant.form() | {"auth[expires]": "1700000000"},
    ):
        assert applicant.post(url, late).status == 200
        assert access_token(place.stored(applicant.key)) == newer["auth[access_token]"]


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
    assert access_token(place.stored(unknown.key)) == form["auth[access_token]"]


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
    assert access_token(place.stored(applicant.key)) == form["auth[access_token]"]


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


def test_an_invitation_expires(place: Place):
    """Whoever has the right address is told so; an installation that came in time goes on."""
    from bitrix24.invitation import parse_invitation

    applicant = place.portal()
    invitation = parse_invitation(applicant.key, APPLICATION, allow_insecure=True)
    name, _ = place.doors(lambda doors: doors.invite(applicant.key, invitation, lives_s=-1))
    url = f"{place.web.address}/v1/install/{applicant.key}/{name}"
    refused(applicant.post(url, applicant.form()), 410, "expired")
    assert place.stored(applicant.key) is None


def test_invitations_that_nobody_used_are_cleared_away(place: Place):
    """A month after they expired, by the next invitation."""
    from bitrix24.invitation import parse_invitation

    invitation = parse_invitation("forgotten", APPLICATION, allow_insecure=True)
    month_s = 30 * 86_400
    place.doors(lambda doors: doors.invite("forgotten", invitation, lives_s=-month_s - 60))
    place.doors(lambda doors: doors.invite("late", invitation, lives_s=-60))
    place.portal().invite()
    kept = place.redis(lambda redis: redis.hkeys("b24pay:{0}:doors"))
    assert b"forgotten" not in kept
    assert b"late" in kept


def test_a_removed_application_holds_the_lane(place: Place):
    """Only with the application token; late, repeated and forged events change nothing; a new installation resumes."""
    applicant = place.portal()
    url, form = applicant.invite(), applicant.form()
    removal = {
        "event": "ONAPPUNINSTALL",
        "data[CLEAN]": "1",
        "ts": str(int(form["ts"]) + 60),
        "auth[domain]": applicant.authority,
        "auth[member_id]": form["auth[member_id]"],
        "auth[application_token]": form["auth[application_token]"],
    }
    refused(applicant.post(url, removal), 403, "wrong-application")
    assert applicant.post(url, form).status == 200
    refused(applicant.post(url, {**removal, "auth[application_token]": "f0rged-token"}), 403, "wrong-application")
    assert applicant.post(url, {**removal, "ts": str(int(form["ts"]) - 60)}).status == 200
    assert place.lane(applicant.key).held is None
    for _ in range(2):
        assert applicant.post(url, removal).body == {"portal": applicant.key, "connected": False}
    held = place.lane(applicant.key).held
    assert held.code == "APP_UNINSTALLED"
    assert f"b24pay portal invite {applicant.key}" in held.text
    newer = {**applicant.form(), "ts": str(int(form["ts"]) + 120)}
    newer["auth[expires]"] = str(int(form["auth[expires]"]) + 120)
    assert applicant.post(url, newer).status == 200
    assert place.lane(applicant.key).held is None
    assert applicant.post(url, removal).status == 200
    assert place.lane(applicant.key).held is None


def test_an_operators_hold_outlasts_an_installation(place: Place):
    """A new credential mends what credentials can mend."""
    applicant = place.portal()
    url = applicant.invite()
    assert applicant.post(url, applicant.form()).status == 200
    assert place.command("portal", "hold", applicant.key).returncode == 0
    newer = applicant.form()
    newer["auth[expires]"] = str(int(newer["auth[expires]"]) + 60)
    assert applicant.post(url, newer).status == 200
    assert place.lane(applicant.key).held.code == "OPERATOR"


@pytest.mark.parametrize("stored", [False, True])
def test_a_process_that_died_at_storing_loses_nothing(place: Place, stored: bool):
    """The claim of a dead process runs out; what it has stored stays, what it has not is stored by the repeat."""
    from bitrix24.install_event import read_event

    applicant = place.portal()
    url, form = applicant.invite(), applicant.form()
    event = read_event(form, 0)
    assert event.grant is not None
    grant, name = event.grant, url.rpartition("/")[2]

    async def claim(doors: Any) -> None:
        door = await doors.find(applicant.key, name)
        assert await doors.claim(door, event, grant, None)

    if stored:
        assert applicant.post(url, form).status == 200
        renewed = _renew(place, applicant)
        _edit(place, applicant, done=False)
    else:
        place.doors(claim)
    _edit(place, applicant, claimed_at=0)
    assert applicant.post(url, form).status == 200
    assert access_token(place.stored(applicant.key)) == (renewed if stored else form["auth[access_token]"])
    assert place.lane(applicant.key).held is None


def _edit(place: Place, applicant: Applicant, **changes: object) -> None:
    """Let the door's installation stand as a process of the past has left it."""

    async def work(redis: Any) -> None:
        record = json.loads(await redis.hget("b24pay:{0}:doors", applicant.key))
        record["installed"] |= changes
        await redis.hset("b24pay:{0}:doors", applicant.key, json.dumps(record))

    place.redis(work)


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


def test_a_removed_portal_has_no_door(place: Place):
    """After `portal remove`, a repeated installation does not bring it back."""
    applicant = place.portal()
    url = applicant.invite()
    assert applicant.post(url, applicant.form()).status == 200
    assert place.command("portal", "remove", applicant.key).returncode == 0
    refused(applicant.post(url, applicant.form()), 404, "no-door")
    assert place.stored(applicant.key) is None
