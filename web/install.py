"""The door that an application's events come in by: `POST /v1/install/{key}/{door}`."""

import asyncio
import time
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from bitrix24.doors import Door
from bitrix24.install_event import AppEvent, BadEvent, read_event
from bitrix24.portal import KEY
from bitrix24.registry import CannotDecrypt
from web.installing import ask_to_be_told, connect, disconnect
from web.parts import PARTS, Parts
from web.problems import Problem
from web.throttle import THROTTLE

# From the first byte of the body to the answer. Two calls to the portal (8 s) that both hang do not fit; no matter.
INSTALL_S: Final = 15.0
_MOST_FIELDS: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"
_LONGEST_NAME: Final = 128
_NO_DOOR: Final = "No installation is expected at this address."
_INVITE: Final = "Ask the operator for a new address (`b24pay portal invite KEY`) and enter it whole."


async def install(request: web.Request) -> web.Response:
    """Let an application's event in. Whoever sends the same again gets the same answer."""
    request.app[THROTTLE].pass_or_refuse(request)
    parts = request.app[PARTS]
    try:
        async with asyncio.timeout(INSTALL_S):
            door = await _door(parts, request)
            event = await _event(request)
            _verify(door, event)
            if event.grant is None:
                await disconnect(parts, door, event)
            else:
                portal = await connect(parts, door, event, event.grant, lambda: _door(parts, request))
                if portal is not None and parts.settings.web_url:
                    await ask_to_be_told(parts, portal, f"{parts.settings.web_url}{request.path}")
    except TimeoutError:
        step = "Send the same again in a moment."
        raise Problem(504, "too-slow", "The installation did not end in time.", step) from None
    return web.json_response({"portal": door.key, "connected": event.grant is not None})


async def _door(parts: Parts, request: web.Request) -> Door:
    """The door that was knocked at. A wrong key and a wrong name look the same, and take the same."""
    key, name = request.match_info["key"], request.match_info["door"]
    door = None
    if KEY.fullmatch(key) and len(name) <= _LONGEST_NAME:
        try:
            door = await parts.doors.find(key, name)
        except CannotDecrypt as error:
            raise Problem(503, "unreadable", str(error), "See B24PAY_SECRET_KEYS of the web process.") from error
    if door is None:
        raise Problem(404, "no-door", _NO_DOOR, _INVITE)
    return door


async def _event(request: web.Request) -> AppEvent:
    if request.content_type != _FORM:
        raise Problem(415, "not-a-form", f"An event is {_FORM}.", "Let Bitrix24 send it.")
    try:
        fields = parse_qsl((await request.read()).decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        return read_event(dict(fields), time.time())
    except BadEvent as error:
        cause = "; ".join(f"{each.field} {each.text}" for each in error.problems)
        raise Problem(422, "bad-event", f"{cause}.", f"{error.problems[0].hint}.") from None
    except ValueError:
        raise Problem(400, "unreadable-form", "The form cannot be read.", "Let Bitrix24 send it.") from None


def _verify(door: Door, event: AppEvent) -> None:
    """Let nobody in but the application that was invited; raises Problem."""
    if not door.is_from(event):
        cause = "The application token is not the one of the application that was invited."
        step = "After a change in Bitrix24, invite the portal again: `b24pay portal invite KEY`."
        raise Problem(403, "wrong-application", cause, step)
    if not door.is_of(event):
        cause = "The event is of another portal than the one that was invited."
        step = "Invite the other portal under a key of its own: `b24pay portal invite OTHER`."
        raise Problem(409, "other-portal", cause, step)
