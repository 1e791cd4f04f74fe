"""A batch request: up to 49 pay commands and one read-back, and how its five PHP arrays are read (`protocol.md` §4)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from bitrix24.facts import Operating, Pay
from bitrix24.invoices import GET_METHOD, READ_METHOD, read_command
from bitrix24.shapes import as_map, as_seconds

PAY_METHOD: Final = "sale.paysystem.pay.invoice"
BATCH_METHOD: Final = "batch"
# 50 commands at most, and one of them reads back.
PAYS_MAX: Final = 49
# Keys that are no numbers, so that PHP answers with objects and never renumbers.
READ_KEY: Final = "r"


@dataclass(frozen=True, slots=True)
class BatchReply:
    """The maps of an answered batch, each by command key."""

    results: Mapping[str, object]
    errors: Mapping[str, object]
    operating: Operating | None
    durations: tuple[float | None, ...]  # seconds of each pay, None where the portal does not tell


def pay_key(position: int) -> str:
    """The command key of the pay at this position."""
    return f"p{position}"


def pay_params(pay: Pay) -> dict[str, object]:
    """The method's own parameters; what was not given is left out, because the portal looks at presence."""
    given = {"INVOICE_ID": pay.invoice_id, "PAY_SYSTEM_ID": pay.pay_system_id, "BX_REST_HANDLER": pay.bx_rest_handler}
    return {name: value for name, value in given.items() if value is not None}


def batch_params(pays: Sequence[Pay]) -> dict[str, object]:
    """The batch of these pays in order, with a read-back of exactly their invoices behind them."""
    commands = {pay_key(at): command(PAY_METHOD, pay_params(pay).items()) for at, pay in enumerate(pays)}
    distinct = list(dict.fromkeys(pay.invoice_id for pay in pays))
    # halt 0: each payment stands for itself.
    return {"halt": 0, "cmd": {**commands, READ_KEY: command(READ_METHOD, read_command(distinct))}}


def get_key(invoice_id: int) -> str:
    """The command key of one invoice that is asked for alone."""
    return f"i{invoice_id}"


def look_params(listed: Sequence[int], one_by_one: Sequence[int]) -> dict[str, object]:
    """The batch that lists some invoices and asks for others one by one; it pays nothing."""
    gets = {get_key(each): command(GET_METHOD, [("id", each)]) for each in one_by_one}
    lists = {READ_KEY: command(READ_METHOD, read_command(listed))} if listed else {}
    return {"halt": 0, "cmd": {**gets, **lists}}


def read_batch(reply: Mapping[str, object], pays: int) -> BatchReply | None:
    """The maps of a reply, or None where it has not the shape of an answered batch."""
    inner = reply.get("result")
    if not isinstance(inner, dict) or not {"result", "result_error"} & inner.keys():
        return None
    times = as_map(inner.get("result_time"))
    of_pays = [times.get(pay_key(at)) for at in range(pays)]
    return BatchReply(
        results=as_map(inner.get("result")),
        errors=as_map(inner.get("result_error")),
        operating=_account([operating_of(time) for time in of_pays], reply),
        durations=tuple(duration_of(time) for time in of_pays),
    )


def operating_of(time: object) -> Operating | None:
    """The account in a `time` object, None where it has none."""
    fields = as_map(time)
    used_s = as_seconds(fields.get("operating"))
    return None if used_s is None else Operating(used_s, as_seconds(fields.get("operating_reset_at")))


def duration_of(time: object) -> float | None:
    """How long a call took by its `time` object, None where it does not tell."""
    fields = as_map(time)
    began_at = as_seconds(fields.get("start"))
    # Some portals show the whole second in which a call began, and what they call its duration counts from there.
    return None if began_at is not None and began_at.is_integer() else as_seconds(fields.get("duration"))


def duration_of_all(durations: Iterable[float | None]) -> float | None:
    """The sum, None where one of them is not known or there are none."""
    known = list(durations)
    return sum(each for each in known if each is not None) if known and None not in known else None


def _account(nested: Iterable[Operating | None], reply: Mapping[str, object]) -> Operating | None:
    # Portals differ: some charge the nested method, some the batch and then show zeros inside (`protocol.md` §5).
    inner = max((each for each in nested if each is not None), key=lambda each: each.used_s, default=None)
    outer = operating_of(reply.get("time"))
    if inner is None or (inner.used_s == 0 and outer is not None and outer.used_s > 0):
        return outer
    return inner


def command(method: str, pairs: Iterable[tuple[str, object]]) -> str:
    """A command of a batch, as the portal parses it."""
    # The portal reads it with parse_str: everything but unreserved characters is encoded, brackets in names too.
    return f"{method}?" + "&".join(f"{quote(name, safe='')}={quote(str(value), safe='')}" for name, value in pairs)
