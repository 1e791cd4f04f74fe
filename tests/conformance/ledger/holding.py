"""Held lanes: who may resume them, when they are looked at again, and how carefully they go on."""

import pytest

from ledger.ledger import Held, Probe
from ledger.payment import PortalKey
from ledger.verdict import Requeue, Unpaid
from tests.conformance.ledger.world import (
    LOST,
    PAID,
    PORTAL,
    QUIET_S,
    REFUSED,
    World,
    accepted,
    is_due,
    next_due_s,
    settle,
    take_one,
)

WAITS_S = [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


async def hold(world: World, *, probe: bool = True) -> None:
    """A lane with work that is held, and may be looked at."""
    await accepted(world, "h1", "h2", "h3")
    await world.ledger.hold(PORTAL, "REVOKED", "it is gone", remedy="Make another.", probe=probe)


async def held(world: World) -> Held | None:
    """Why the lane is held."""
    [lane] = await world.ledger.lanes([PORTAL])
    return lane.held


async def probe_in_s(world: World) -> float | None:
    """In how many seconds of the hold's own time the next probe is due, from now on."""
    seen = await held(world)
    if seen is None or seen.probe_at is None:
        return None
    await world.ledger.add_lane("clock")
    await world.ledger.resume("clock")
    await world.ledger.hold("clock", "NOW", "what time is it")
    [clock] = await world.ledger.lanes(["clock"])
    assert clock.held is not None
    return (seen.probe_at - clock.held.since).total_seconds()


async def take_in(world: World, seconds: float) -> Probe:
    """The probe that is due after so long and not before."""
    await world.pass_time(seconds - 0.001)
    assert await world.ledger.take_probes(10) == []
    await world.pass_time(0.001)
    [probe] = await world.ledger.take_probes(10)
    return probe


class Holding:
    """Claims about holds, probes and the trial of a resumed lane."""

    async def test_a_hold_tells_the_reason_the_remedy_and_the_next_probe(self, world: World):
        """Everything that a person wants to know, and old readers see the remedy in the text."""
        await hold(world)
        seen = await held(world)
        assert seen is not None
        assert (seen.code, seen.text, seen.remedy) == ("REVOKED", "it is gone", "Make another.")
        assert await probe_in_s(world) == WAITS_S[0]

    @pytest.mark.parametrize("text", ["", "ends with a blank ", "Make another."])
    async def test_texts_come_back_as_they_were_given(self, world: World, text: str):
        """Whatever stands before the remedy."""
        await world.ledger.add_lane(PORTAL)
        await world.ledger.hold(PORTAL, "REVOKED", text, remedy="Make another.")
        seen = await held(world)
        assert seen is not None
        assert (seen.text, seen.remedy) == (text, "Make another.")

    async def test_a_hold_without_a_probe_is_never_looked_at(self, world: World):
        """Only a person resumes it."""
        await hold(world, probe=False)
        assert await probe_in_s(world) is None
        await world.pass_time(100_000)
        assert await world.ledger.take_probes(10) == []

    async def test_each_turn_is_handed_out_once_and_the_waits_double(self, world: World):
        """Up to five minutes; another process that asks at the same time gets nothing."""
        await hold(world)
        since = (await held(world)).since  # type: ignore[union-attr]  # it is held
        for wait_s in WAITS_S:
            assert await take_in(world, wait_s) == Probe(PortalKey(PORTAL), "REVOKED", since)
            assert await world.another().take_probes(10) == []

    async def test_turns_are_handed_out_longest_due_first(self, world: World):
        """Up to the number that was asked for."""
        for portal in ("b", "a", "c"):
            await world.ledger.add_lane(portal)
            await world.ledger.hold(portal, "REVOKED", "it is gone", probe=True)
            await world.pass_time(1)
        await world.pass_time(WAITS_S[0])
        assert await world.ledger.take_probes(0) == []
        assert [probe.portal for probe in await world.ledger.take_probes(2)] == ["b", "a"]
        assert [probe.portal for probe in await world.ledger.take_probes(2)] == ["c"]

    async def test_a_probe_resumes_the_lane(self, world: World):
        """It goes on at once, and there is nothing more to look at."""
        await hold(world)
        probe = await take_in(world, WAITS_S[0])
        assert await world.ledger.resume(PORTAL, probe)
        assert await held(world) is None
        assert await is_due(world)
        assert not await world.ledger.resume(PORTAL, probe)
        await world.pass_time(1000)
        assert await world.ledger.take_probes(10) == []

    async def test_a_lane_that_is_held_again_soon_goes_on_waiting_longer(self, world: World):
        """The cheap look found it mended and it was not; after ten good minutes it begins anew."""
        await hold(world)
        for wait_s in WAITS_S:
            probe = await take_in(world, wait_s)
            await world.ledger.resume(PORTAL, probe)
            await world.pass_time(599.0)
            await world.ledger.hold(PORTAL, "REVOKED", "again", probe=True)
        await world.ledger.resume(PORTAL, await take_in(world, WAITS_S[-1]))
        await world.pass_time(600.0)
        await world.ledger.hold(PORTAL, "REVOKED", "again", probe=True)
        await take_in(world, WAITS_S[0])

    async def test_a_person_who_resumes_begins_the_waits_anew(self, world: World):
        """Whoever mended something wants to see soon whether it was enough."""
        await hold(world)
        for wait_s in WAITS_S[:3]:
            await take_in(world, wait_s)
        await world.ledger.resume(PORTAL)
        await world.ledger.hold(PORTAL, "REVOKED", "again", probe=True)
        await take_in(world, WAITS_S[0])

    async def test_a_probe_resumes_only_the_hold_it_was_taken_for(self, world: World):
        """A person may have resumed it meanwhile, and something else may be wrong now."""
        await hold(world)
        probe = await take_in(world, WAITS_S[0])
        await world.ledger.resume(PORTAL)
        assert not await world.ledger.resume(PORTAL, probe)
        await world.ledger.hold(PORTAL, "OTHER", "another reason", probe=True)
        assert not await world.ledger.resume(PORTAL, probe)
        assert (await held(world)).code == "OTHER"  # type: ignore[union-attr]  # it is held

    async def test_a_person_who_holds_a_held_lane_ends_its_probes(self, world: World):
        """It is stopped since before, and from now on for a reason that only a person lifts."""
        await hold(world)
        before = await held(world)
        probe = await take_in(world, WAITS_S[0])
        await world.ledger.hold(PORTAL, "OPERATOR", "maintenance")
        seen = await held(world)
        assert before is not None
        assert seen == Held("OPERATOR", "maintenance", before.since)
        assert not await world.ledger.resume(PORTAL, probe)
        await world.pass_time(1000)
        assert await world.ledger.take_probes(10) == []
        await world.ledger.hold(PORTAL, "REVOKED", "found by a request in flight", probe=True)
        assert await held(world) == seen

    async def test_a_removed_lane_is_not_looked_at(self, world: World):
        """Neither as it was, nor when it comes back."""
        await world.ledger.add_lane(PORTAL)
        await world.ledger.hold(PORTAL, "REVOKED", "it is gone", probe=True)
        await world.pass_time(WAITS_S[0])
        await world.ledger.remove_lane(PORTAL)
        assert await world.ledger.take_probes(10) == []
        await world.ledger.add_lane(PORTAL)
        await world.pass_time(1000)
        assert await world.ledger.take_probes(10) == []

    async def test_a_held_lane_has_no_place_among_due_ones_because_of_its_probes(self, world: World):
        """A probe is no driving."""
        await hold(world)
        await take_in(world, WAITS_S[0])
        assert await next_due_s(world) is None

    @pytest.mark.parametrize("by_probe", [True, False])
    async def test_a_resumed_lane_is_on_trial_until_a_payment_has_its_answer(self, world: World, by_probe: bool):
        """What was not run, or stayed without an answer, shows nothing; what was paid or refused for good does."""
        await hold(world)
        probe = await take_in(world, WAITS_S[0])
        await world.ledger.resume(PORTAL, probe if by_probe else None)
        lease = await take_one(world)
        assert lease.trial
        for verdict in (Requeue(), LOST):
            await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, verdict)
            assert lease.trial
        await world.ledger.release(lease, 0)
        lease = await take_one(world)
        assert lease.trial
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, PAID)
        assert not lease.trial
        await world.ledger.release(lease, 0)
        assert not (await take_one(world)).trial

    async def test_a_read_back_does_not_end_the_trial(self, world: World):
        """It needs other rights than a payment."""
        await hold(world)
        await world.ledger.resume(PORTAL)
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 2)).payments, LOST)
        await world.pass_time(QUIET_S)
        await world.ledger.release(lease, 0)
        lease = await take_one(world)
        first, second = await world.ledger.doubts(lease, 10)
        await settle(world, lease, [first], PAID)
        await settle(world, lease, [second], Unpaid())
        assert lease.trial
        await world.ledger.release(lease, 0)
        assert (await take_one(world)).trial

    async def test_a_refusal_for_good_ends_the_trial(self, world: World):
        """The portal has looked at the payment itself."""
        await hold(world)
        await world.ledger.resume(PORTAL)
        lease = await take_one(world)
        await settle(world, lease, (await world.ledger.claim(lease, 1)).payments, REFUSED)
        assert not lease.trial
