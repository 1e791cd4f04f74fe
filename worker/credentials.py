"""Keep a lane's credential and address usable: renew tokens, follow a renamed portal, or hold the lane for a person."""

import time
from dataclasses import replace

import structlog

from bitrix24.client import RENEWAL_S
from bitrix24.credentials import OAuth
from bitrix24.errors import Effect, Moved, PortalError
from bitrix24.portal import Portal
from bitrix24.registry import Outdated, PortalExists
from worker.deps import Deps
from worker.holding import hold
from worker.lane import Lane

log = structlog.get_logger(__name__)

MOST_MOVES = 3  # two addresses that name each other are nobody's portal
MOST_IN_VAIN = 3  # tokens in a row that had run out at their first use
NEXT_TRY_S = 5.0  # a token that still works is not worth more than this to a token server that is out of order


async def renew_in_time(lane: Lane, deps: Deps) -> None:
    """Renew a token that is about to run out, before anything leaves with it.

    A portal may forget the old token with the renewal, so what is in flight lands first, as long as the token lasts.
    """
    portal = lane.portal
    credential = portal.credential
    if not isinstance(credential, OAuth) or lane.renewing or deps.clock() < lane.next_renewal_at:
        return
    now = time.time()
    if credential.expires_at is None or credential.renew_at is None or not credential.runs_out(now):
        return
    lane.renewing = True
    needed_s = min(RENEWAL_S, (credential.expires_at - credential.renew_at) / 2)
    await lane.all_landed(max(credential.expires_at - needed_s - now, 0.0))
    # By the credential from before the wait: a refused request may have had it renewed meanwhile.
    await _renew(lane, portal, deps, may_wait=now < credential.expires_at)


async def renew(lane: Lane, asked: Portal, error: PortalError, deps: Deps) -> None:
    """The portal has refused the token of a request: use another one, and hold the lane where that does not help."""
    if lane.portal.credential != asked.credential:
        return  # another request of the lane has been here
    if asked.credential == lane.unproven:
        if error.code != "EXPIRED_TOKEN":
            await hold_lane(lane, error, deps)
            return
        lane.in_vain += 1
        if lane.in_vain > MOST_IN_VAIN:  # clocks that disagree, say: no row of renewals as fast as they come
            await back_off(lane, error, deps)
            lane.close()
            return
    await _renew(lane, asked, deps, may_wait=False)


async def _renew(lane: Lane, used: Portal, deps: Deps, *, may_wait: bool) -> None:
    lane.renewing = True
    try:
        lane.portal = await deps.renewal.renew(used)
    except PortalError as error:
        deps.work.renewal("refused" if error.meaning.effect is Effect.HOLD else "failed")
        log.warning("renewal.failed", portal=lane.key, code=error.code, error=str(error))
        if error.meaning.effect is Effect.HOLD:
            await hold_lane(lane, error, deps)
        elif may_wait:
            lane.next_renewal_at = deps.clock() + NEXT_TRY_S
        else:
            await back_off(lane, error, deps)
            lane.close()
    else:
        deps.work.renewal("renewed")
        lane.unproven = lane.portal.credential
    finally:
        lane.renewing = False


async def follow(lane: Lane, asked: Portal, error: PortalError, deps: Deps) -> None:
    """The portal has another address by now (one that a credential may be sent to): store it and go on there."""
    if not isinstance(error, Moved) or lane.portal.endpoint != asked.endpoint:
        return
    lane.moves += 1
    if lane.moves > MOST_MOVES:
        await hold_lane(lane, error, deps)
        return
    try:
        newest = await deps.registry.newest(lane.key)
        if newest.endpoint == asked.endpoint:
            await deps.registry.put(replace(newest, endpoint=error.endpoint), moved=True, over=newest.version)
            log.warning("portal.moved", portal=lane.key, endpoint=error.endpoint)
    except Outdated:
        pass  # somebody else has stored it, or something newer
    except PortalExists as conflict:
        log.warning("portal.not_moved", portal=lane.key, error=str(conflict))
        await hold_lane(lane, error, deps)
        return
    lane.portal = await deps.registry.newest(lane.key)


async def back_off(lane: Lane, error: PortalError, deps: Deps) -> None:
    """Ask again later, each time after a longer wait."""
    lane.wait_s = await deps.limiter.backoff(lane.key)
    log.info("lane.backed_off", portal=lane.key, wait_s=lane.wait_s, code=error.code)


async def hold_lane(lane: Lane, error: PortalError, deps: Deps) -> None:
    """Stop the lane until what is wrong has been mended; its payments stay queued."""
    lane.stop()
    await hold(lane.key, error, deps.ledger)
