"""What a person sees of a held lane: why, since when, how many wait, what to do, and when it is looked at again."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.ledger import Held, LaneView


def told_held(held: "Held") -> str:
    """Why a lane is held, in one line."""
    return f"{held.code}: {held.text.rstrip('.')}" if held.text else held.code


def how_to_go_on(held: "Held", portal: str) -> str:
    """What a person does about a held lane, and whether it goes on by itself."""
    remedy, command = held.remedy or "Mend the cause.", f"b24pay portal resume {portal}"
    if held.probe_at is None:
        return f"{remedy} Only a person resumes it: {command}"
    return f"{remedy} It goes on by itself when it is found mended, {next_look(held)}, or at once after {command}"


def next_look(held: "Held") -> str:
    """When a worker looks whether the cause is mended."""
    return "never by itself" if held.probe_at is None else f"next look {held.probe_at:%H:%M:%S} UTC"


def waiting(lane: "LaneView") -> int:
    """How many payments wait for the lane."""
    from ledger.payment import OPEN

    return sum(lane.counts[state] for state in OPEN)


def document_of_hold(lane: "LaneView | None") -> dict[str, object] | None:
    """A hold for scripts; None where the lane is not held."""
    from tasks.result import instant

    if lane is None or lane.held is None:
        return None
    held = lane.held
    return {
        "code": held.code,
        "text": held.text,
        "since": held.since.isoformat(),
        "waiting": waiting(lane),
        "next_look_at": instant(held.probe_at),
        "what_to_do": how_to_go_on(held, lane.portal),
    }
