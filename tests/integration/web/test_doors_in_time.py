"""The install door in time: repeats, new installations, removals, processes that die, invitations that expire."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bitrix24.credentials import OAuth
from bitrix24.doors import Doors
from bitrix24.install_event import read_event
from bitrix24.invitation import parse_invitation
from bitrix24.registry import PortalRegistry
from bitrix24.secret import Secret
from tests.conftest import SECRET_KEY
from tests.integration.web.conftest import APPLICATION, Applicant, Place, access_token, refused


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


def _renew(place: Place, applicant: Applicant) -> Secret:
    """Store another token, as a worker does after a renewal."""

    async def work(redis: Any) -> Secret:
        registry = PortalRegistry(redis, [SECRET_KEY])
        portal = await registry.newest(applicant.key)
        assert isinstance(portal.credential, OAuth)
        credential = replace(portal.credential, access_token=Secret("renewed-token-of-a-worker"))
        await registry.put(replace(portal, credential=credential), over=portal.version)
        return credential.access_token

    return place.redis(work)


def test_a_new_installation_replaces_the_tokens_and_a_late_older_event_does_not(place: Place):
    """The tokens' own age decides, whenever the events arrive."""
    applicant = place.portal()
    url, older = applicant.invite(), applicant.form()
    newer = {**applicant.form(), "auth[expires]": str(int(older["auth[expires]"]) + 5)}
    assert applicant.post(url, older).status == 200
    assert access_token(place.stored(applicant.key)) == Secret(older["auth[access_token]"])
    assert applicant.post(url, newer).status == 200
    for late in (
        older,
        {**older, "ts": str(int(newer["ts"]) + 900)},
        applicant.form() | {"auth[expires]": "1700000000"},
    ):
        assert applicant.post(url, late).status == 200
        assert access_token(place.stored(applicant.key)) == Secret(newer["auth[access_token]"])


def test_an_invitation_expires(place: Place):
    """Whoever has the right address is told so; an installation that came in time goes on."""
    applicant = place.portal()
    invitation = parse_invitation(applicant.key, APPLICATION, allow_insecure=True)
    name, _ = place.doors(lambda doors: doors.invite(applicant.key, invitation, lives_s=-1))
    url = f"{place.web.address}/v1/install/{applicant.key}/{name}"
    refused(applicant.post(url, applicant.form()), 410, "expired")
    assert place.stored(applicant.key) is None


def test_invitations_that_nobody_used_are_cleared_away(place: Place):
    """A month after they expired, by the next invitation."""
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
    assert f"b24pay portal invite {applicant.key}" in held.remedy
    assert held.probe_at is None
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
    assert access_token(place.stored(applicant.key)) == (renewed if stored else Secret(form["auth[access_token]"]))
    assert place.lane(applicant.key).held is None


def _edit(place: Place, applicant: Applicant, **changes: object) -> None:
    """Let the door's installation stand as a process of the past has left it."""

    async def work(redis: Any) -> None:
        record = json.loads(await redis.hget("b24pay:{0}:doors", applicant.key))
        record["installed"] |= changes
        await redis.hset("b24pay:{0}:doors", applicant.key, json.dumps(record))

    place.redis(work)


def test_a_removed_portal_has_no_door(place: Place):
    """After `portal remove`, a repeated installation does not bring it back."""
    applicant = place.portal()
    url = applicant.invite()
    assert applicant.post(url, applicant.form()).status == 200
    assert place.command("portal", "remove", applicant.key).returncode == 0
    refused(applicant.post(url, applicant.form()), 404, "no-door")
    assert place.stored(applicant.key) is None


def test_a_webhook_gives_way_to_an_application_and_the_rest_stays(place: Place):
    """The same portal under the same key: its plan and its lane are kept, its credential is the application's."""
    applicant = place.portal()
    described = {"webhook": f"http://{applicant.authority}/rest/1/emulator-secret/", "plan": "enterprise"}
    added = place.command("portal", "add", applicant.key, stdin=json.dumps(described))
    assert added.returncode == 0, added.stderr
    form = applicant.form()
    assert applicant.post(applicant.invite(), form).status == 200
    stored = place.stored(applicant.key)
    assert access_token(stored) == Secret(form["auth[access_token]"])
    assert stored is not None
    assert (stored.plan, stored.limits.burst, stored.version) == ("enterprise", 250, 2)


def test_a_renamed_portal_comes_in_again_under_its_new_address(place: Place):
    """The member id says that it is the same one."""
    applicant = place.portal()
    url = applicant.invite()
    assert applicant.send(url).status == 200
    port = place.house.emulator.partition(":")[2]
    former, applicant.authority = applicant.authority, f"127.31.{place.portals}.1:{port}"
    renamed = Applicant(place, applicant.key, former)
    renamed.emulator(lambda handle, name: handle.rename(name, applicant.authority))
    assert applicant.send(url).status == 200
    stored = place.stored(applicant.key)
    assert stored is not None
    assert stored.endpoint == f"http://{applicant.authority}/rest/"


def test_an_invitation_outlives_its_key(place: Place):
    """`keys rotate` seals doors anew, too: with the new key alone the application comes in."""
    from cryptography.fernet import Fernet

    applicant, new = place.portal(), Fernet.generate_key().decode()
    name = applicant.invite().rpartition("/")[2]
    both = {"B24PAY_SECRET_KEYS": f"{new},{SECRET_KEY}"}
    rotated = place.command("keys", "rotate", **both)
    assert rotated.returncode == 0, rotated.stderr

    async def opened(redis: Any) -> Any:
        return await Doors(redis, [new]).find(applicant.key, name)

    try:
        assert place.redis(opened).invitation.client_id == APPLICATION["client_id"]
    finally:
        back = place.command("keys", "rotate", B24PAY_SECRET_KEYS=f"{SECRET_KEY},{new}")
    assert back.returncode == 0, back.stderr
    assert applicant.post(f"{place.web.address}/v1/install/{applicant.key}/{name}", applicant.form()).status == 200
