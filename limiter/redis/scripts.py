"""The limiter's Lua steps, and the rules that they share with the memory limiter.

One file is one atomic step. The loader puts the step's flags, the numbers of the rules (as the Lua table NUMBERS) and
`lua/prelude.lua` in front of it.
"""

from pathlib import Path
from typing import Final

from limiter import account, bucket, pace, speed

_FOLDER: Final = Path(__file__).parent / "lua"

# One source for both limiters: the constants with their reasons stand beside the Python rules.
_NUMBERS: Final = {
    "swing": bucket.SWING,
    "calm": bucket.CALM,
    "calm_most_s": bucket.CALM_MOST_S,
    "guess": bucket.GUESS,
    "memory": bucket.MEMORY,
    "prior": bucket.PRIOR,
    "steady": bucket.STEADY,
    "behind": bucket.BEHIND,
    "behind_share": bucket.BEHIND_SHARE,
    "burst_rise_s": bucket.BURST_RISE_S,
    "doublings": bucket.MOST_DOUBLINGS,
    "parts": account.PARTS,
    "free_share": account.FREE_SHARE,
    "recovered_share": account.RECOVERED_SHARE,
    "catch_up": account.CATCH_UP,
    "worth_share": account.WORTH_SHARE,
    "limit_keep_s": account.LIMIT_KEEP_S,
    "limit_least_share": account.LIMIT_LEAST_SHARE,
    "limit_safe_share": account.LIMIT_SAFE_SHARE,
    "flight_s": pace.FLIGHT_S,
    "permit_to_send_s": account.PERMIT_TO_SEND_S,
    "target_s": speed.TARGET_S,
    "first_commands": speed.FIRST_COMMANDS,
    "ramp": speed.RAMP,
    "sure_s": speed.SURE_S,
    "few_commands": speed.FEW_COMMANDS,
    "falling_share": speed.FALLING_SHARE,
    "fading": speed.FADING,
    "same_size": speed.SAME_SIZE,
    "base_share": speed.BASE_SHARE,
    "least_rises": speed.LEAST_RISES,
    "least_command_s": speed.LEAST_COMMAND_S,
}


def step(name: str) -> str:
    """The whole text of one step's script."""
    flags, body = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8").split("\n", 1)
    numbers = ", ".join(f"{key} = {number!r}" for key, number in _NUMBERS.items())
    prelude = (_FOLDER / "prelude.lua").read_text(encoding="utf-8")
    return f"{flags}\nlocal NUMBERS = {{{numbers}}}\n{prelude}\n{body}"
