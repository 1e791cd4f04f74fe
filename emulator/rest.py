"""The portal's door: from a request to its reply, in the order in which a portal checks things."""

import asyncio
from dataclasses import dataclass

from emulator.auth import Credential, admit, authorize
from emulator.batch import run_batch
from emulator.call import Call, Incoming, read_call
from emulator.errors import CutShortError, RestError, disputed, no_rights
from emulator.execution import Context, check_operating, operating_key, run_method, time_block
from emulator.farm import Farm
from emulator.faults import Fault, Kind, Place
from emulator.journal import RequestEntry
from emulator.methods import METHODS
from emulator.php import Params, Value, to_int
from emulator.portal import Portal
from emulator.reply import Reply, error_reply, html_reply, json_reply, redirect_reply, xml_reply
from emulator.settings import Accounting, Execution
from emulator.spoiling import spoil


@dataclass(slots=True)
class Visit:
    """One understood request on its way through a portal."""

    farm: Farm
    portal: Portal
    call: Call
    incoming: Incoming
    entry: RequestEntry
    answered: bool = False

    def gone(self) -> bool:
        """Whether nobody waits for the work any more."""
        return self.answered or self.incoming.gone()


async def answer(farm: Farm, incoming: Incoming) -> Reply:
    """Work one request to the end, whoever may still be listening."""
    portal, now = farm.portal(incoming.authority), farm.clock.now()
    call = read_call(incoming)
    portal.in_flight += 1
    portal.counters.requests += 1
    entry = _entry(farm, portal, incoming, call, now)
    try:
        reply = html_reply(404) if call is None else await _reply(Visit(farm, portal, call, incoming, entry))
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
    finally:
        portal.in_flight -= 1
    entry.status, entry.code = reply.status, reply.code
    entry.duration_s = round(farm.clock.now() - now, 6)
    entry.client_gone = incoming.gone()
    portal.counters.note(entry)
    return reply


def _entry(farm: Farm, portal: Portal, incoming: Incoming, call: Call | None, now: float) -> RequestEntry:
    entry = RequestEntry(
        farm.journal.next_seq(),
        now,
        portal.name,
        incoming.ip,
        method=call.method if call else "",
        commands=call.summary() if call else (),
        asked=call.asked() if call else (),
        depth=portal.in_flight,
        request_id=incoming.request_id,
        carriers=call.carriers if call else (),
    )
    farm.journal.open(entry)
    return entry


async def _reply(visit: Visit) -> Reply:
    farm, portal = visit.farm, visit.portal
    early = _edge(portal, visit.incoming)
    if early is not None:
        return early
    fault = farm.faults.pick(portal.name, visit.call) if farm.faults.rules else None
    if fault is not None:
        portal.counters.faults += 1
        visit.entry.fault = f"{fault.kind}/{fault.place}"
        return await _struck(visit, fault)
    if portal.settings.cut_s is None:
        return await _perform(visit)
    # The front end gives up after a while; the work behind it does not.
    task = farm.hold(_perform(visit))
    done, _ = await asyncio.wait({task}, timeout=portal.settings.cut_s)
    return task.result() if done else html_reply(504)


def _edge(portal: Portal, incoming: Incoming) -> Reply | None:
    if not portal.takes(incoming.ip):
        portal.counters.rate_limited += 1
        return error_reply("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)
    target = portal.settings.redirect
    if target is None:
        return None
    portal.counters.redirected += 1
    if "://" not in target and not target.startswith("/") and target:
        query = f"?{incoming.query}" if incoming.query else ""
        target = f"{'https' if incoming.secure else 'http'}://{target}{incoming.path}{query}"
    return redirect_reply(target, portal.settings.redirect_status)


async def _struck(visit: Visit, fault: Fault) -> Reply:
    match fault.place:
        case Place.BEFORE if fault.kind is Kind.HANG:
            await asyncio.sleep(fault.seconds)
            return await _perform(visit)
        case Place.AFTER_K if fault.k > 0 or visit.call.is_batch:
            await _perform(visit, stop_after=fault.k)
            return spoil(fault, None)
        case Place.BEFORE | Place.AFTER_K:
            return spoil(fault, None)
        case Place.DURING:
            visit.farm.hold(_late(fault.late_s, visit))
            return spoil(fault, None)
        case _:
            return spoil(fault, await _perform(visit))


async def _late(seconds: float, visit: Visit) -> Reply:
    await asyncio.sleep(seconds)
    # Whoever called has had an answer already: what is done from here on comes late.
    visit.answered = True
    return await _perform(visit)


async def _perform(visit: Visit, stop_after: int | None = None) -> Reply:
    portal, call = visit.portal, visit.call
    if portal.settings.latency_s:
        await asyncio.sleep(portal.settings.latency_s)
    try:
        ctx = _context(visit, _check(portal, call, visit.incoming), stop_after)
        if portal.settings.execution is Execution.SERIAL:
            async with portal.queue(ctx.who.id):
                payload = await _execute(ctx, call)
        else:
            payload = await _execute(ctx, call)
    except RestError as refusal:
        return _encode(call, refusal.body(), refusal.status, str(refusal.code))
    except CutShortError:
        return html_reply(500)
    return _encode(call, payload, 200, "")


def _context(visit: Visit, who: Credential, stop_after: int | None) -> Context:
    farm = visit.farm
    visit.entry.user, visit.entry.pair = who.user, who.pair
    return Context(
        portal=visit.portal,
        who=who,
        entry=visit.entry,
        clock=farm.clock,
        journal=farm.journal,
        faults=farm.faults,
        methods=METHODS,
        gone=visit.gone,
        stop_after=stop_after,
    )


def _check(portal: Portal, call: Call, incoming: Incoming) -> Credential:
    if portal.settings.site_stopped:
        raise disputed("PORTAL_DELETED", "Portal was deleted", portal.settings.status_profile)
    known = call.is_batch or (call.method in METHODS and call.method not in portal.settings.without_methods)
    if not known:
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
    if "token" in call.params:
        raise no_rights("Access denied! Link check failed")
    who = authorize(portal, call, secure=incoming.secure)
    admit(portal, who, "" if call.is_batch else METHODS[call.method].scope)
    return who


async def _execute(ctx: Context, call: Call) -> dict[str, Value]:
    began = ctx.clock.now()
    if not call.is_batch:
        payload = await _single(ctx, call)
    elif ctx.portal.settings.accounting is Accounting.BATCH:
        payload = await _charged_batch(ctx, call, began)
    else:
        result = await run_batch(ctx, call)
        payload = {"result": result, "time": dict(time_block(ctx, began, None))}
    ctx.entry.charged_s = round(ctx.portal.operating.write(ctx.hit, ctx.clock.now()), 6)
    return payload


async def _single(ctx: Context, call: Call) -> dict[str, Value]:
    finished = await run_method(ctx, call.method, call.params, to_int(call.start))
    outcome = finished.outcome
    payload: Params = {"result": outcome.value}
    if outcome.next is not None:
        payload["next"] = outcome.next
    if outcome.total is not None:
        payload["total"] = outcome.total
    payload["time"] = dict(finished.time)
    return payload


async def _charged_batch(ctx: Context, call: Call, began: float) -> dict[str, Value]:
    # One of the two ways portals were seen to count: the whole batch is one call of the method `batch`.
    ctx.in_batch = True
    key = operating_key(ctx, "batch")
    check_operating(ctx, key)
    result = await run_batch(ctx, call)
    ctx.in_batch = False
    return {"result": result, "time": dict(time_block(ctx, began, key))}


def _encode(call: Call, payload: Params, status: int, code: str) -> Reply:
    reply = xml_reply(payload, status, code) if call.xml else json_reply(payload, status, code)
    reply.headers.update(_CLOUD_HEADERS)
    return reply


_CLOUD_HEADERS = {
    "X-Bitrix-Rest-Application": "none",
    "X-Bitrix-Rest-Time": "0.0300000000",
    "X-Bitrix-Rest-User-Time": "0.0200000000",
    "X-Bitrix-Rest-System-Time": "0.0010000000",
}
