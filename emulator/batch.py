"""The `batch` method: commands as strings, run in order, answered in five PHP arrays."""

import re
from dataclasses import dataclass, field

from emulator import auth
from emulator.call import Call, Command, lookup
from emulator.errors import CutShortError, RestError
from emulator.execution import Context, Finished, run_method
from emulator.php import Params, Value, array_out, as_array, is_empty, to_int, to_text

MAX_COMMANDS = 50
_NOT_IN_BATCH = frozenset({"batch", "download", "upload"})
_REFERENCE = re.compile(r"\$(result|error|next|total|time)((?:\[[^\]]*\])+)")
_SUBSCRIPT = re.compile(r"\[([^\]]*)\]")


@dataclass(slots=True)
class Answers:
    """What the commands have answered so far, by key."""

    result: Params = field(default_factory=dict)
    error: Params = field(default_factory=dict)
    total: Params = field(default_factory=dict)
    next: Params = field(default_factory=dict)
    time: Params = field(default_factory=dict)

    def keep(self, key: str, finished: Finished) -> None:
        """Note a command's success."""
        outcome = finished.outcome
        self.result[key] = outcome.value
        self.time[key] = dict(finished.time)
        if outcome.total is not None:
            self.total[key] = outcome.total
        if outcome.next is not None:
            self.next[key] = outcome.next

    def refuse(self, key: str, refusal: RestError) -> None:
        """Note a command's error."""
        self.error[key] = refusal.body()

    def as_result(self) -> Value:
        """The batch's `result`; each array has the shape PHP gives it."""
        return {
            "result": array_out(self.result),
            "result_error": array_out(self.error),
            "result_total": array_out(self.total),
            "result_next": array_out(self.next),
            "result_time": array_out(self.time),
        }


async def run_batch(ctx: Context, call: Call) -> Value:
    """Run the commands one after another; what a cut leaves behind stays done."""
    ctx.in_batch = True
    ctx.portal.counters.batches += 1
    halts = not is_empty(lookup(call.params, "halt"))
    answers = Answers()
    for index, command in enumerate(call.commands):
        if index == ctx.stop_after:
            raise CutShortError
        if index >= MAX_COMMANDS:
            answers.refuse(command.key, RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded"))
        elif command.is_text and not await _run(ctx, command, answers) and halts:
            break
    return answers.as_result()


async def _run(ctx: Context, command: Command, answers: Answers) -> bool:
    try:
        _check(ctx, command)
        params: Params = {name: _fill(item, answers) for name, item in command.params.items()}
        for name in ("auth", "access_token", "state"):
            params.pop(name, None)
        start = to_int(params.pop("start", 0))
        ctx.portal.counters.commands += 1
        answers.keep(command.key, await run_method(ctx, command.method, params, start))
    except RestError as refusal:
        answers.refuse(command.key, refusal)
        return False
    return True


def _check(ctx: Context, command: Command) -> None:
    if command.method in _NOT_IN_BATCH:
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
    method = ctx.methods.get(command.method)
    if method is None or command.method in ctx.portal.settings.without_methods:
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
    if not auth.has_scope(ctx.who, method.scope):
        raise RestError("insufficient_scope", "")


def _fill(value: Value, answers: Answers) -> Value:
    if isinstance(value, dict):
        return {name: _fill(item, answers) for name, item in value.items()}
    if not isinstance(value, str) or "$" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _refer(whole, answers)
    return _REFERENCE.sub(lambda found: to_text(_refer(found, answers)), value)


def _refer(found: re.Match[str], answers: Answers) -> Value:
    place: Value = getattr(answers, found[1])
    for key in _SUBSCRIPT.findall(found[2]):
        array = as_array(place)
        if array is None or key not in array:
            return None
        place = array[key]
    return place
