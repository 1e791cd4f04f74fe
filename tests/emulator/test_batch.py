"""The batch method: strings in, five PHP arrays out."""

import asyncio
from collections.abc import Callable

import pytest

from emulator import Handle, RunningEmulator
from tests.emulator.portal_caller import INVOICE, Caller, pay_command


async def test_commands_run_in_order_and_each_answers_under_its_key(portal: Caller, handle: Handle) -> None:
    """Results, errors and times are maps by key; empty maps are empty lists."""
    cmd = {"a": pay_command(1), "b": pay_command(0), "c": f"crm.invoice.get?id=1&x={'%20'}"}
    result = (await portal.batch(cmd, halt=0)).json["result"]
    assert list(result["result"]) == ["a", "c"]
    assert result["result"]["a"] is True
    assert result["result"]["c"]["PAYED"] == "Y"
    assert result["result_error"] == {
        "b": {"error": "ERROR_CHECK_FAILURE", "error_description": "Empty field INVOICE_ID!"}
    }
    assert list(result["result_time"]) == ["a", "c"]
    assert (result["result_total"], result["result_next"]) == ([], [])
    (entry,) = await handle.requests()
    assert entry.commands == (("a", INVOICE, "1"), ("b", INVOICE, "0"), ("c", "crm.invoice.get", "1"))
    assert entry.executed == 3


async def test_numeric_keys_make_lists(portal: Caller) -> None:
    """Keys counting from 0 come back as a list, a gap makes an object of it."""
    result = (await portal.batch(["scope", "nope", "scope"])).json["result"]
    assert isinstance(result["result"], dict)
    assert list(result["result"]) == ["0", "2"]
    assert isinstance((await portal.batch(["scope", "scope"])).json["result"]["result"], list)
    assert isinstance((await portal.batch(["nope"])).json["result"]["result_error"], list)


@pytest.mark.parametrize("halt", [1, "1", True, "false", "N", [0]])
async def test_anything_but_empty_halts(portal: Caller, halt: object) -> None:
    """The string "false" halts; later keys are in neither map."""
    result = (await portal.batch({"a": "nope", "b": "scope"}, halt=halt)).json["result"]
    assert (result["result"], list(result["result_error"])) == ([], ["a"])


@pytest.mark.parametrize("halt", [0, "0", False, "", None, []])
async def test_empty_values_do_not_halt(portal: Caller, halt: object) -> None:
    """Zero, "0", false and nothing let the batch go on."""
    result = (await portal.batch({"a": "nope", "b": "scope"}, HALT=halt)).json["result"]
    assert list(result["result"]) == ["b"]


async def test_form_bodies_carry_batches_encoded_twice(portal: Caller) -> None:
    """`cmd[a]=method%3FX%3D1` is the same batch as JSON."""
    body = "halt=0&CMD[a]=crm.invoice.list%3Ffilter%255B%2540ID%255D%255B0%255D%3D7%26select%5B0%5D%3DID"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    result = (await portal.send("/rest/1/emulator-secret/batch", data=body, headers=headers)).json["result"]
    assert (result["result"], result["result_total"]) == ({"a": [{"ID": "7"}]}, {"a": 1})


async def test_commands_beyond_fifty_are_refused_one_by_one(portal: Caller, handle: Handle) -> None:
    """The first fifty run, every further one has its own error."""
    result = (await portal.batch({f"j{n}": pay_command(n + 1) for n in range(52)})).json["result"]
    assert len(result["result"]) == 50
    assert {item["error"] for item in result["result_error"].values()} == {"ERROR_BATCH_LENGTH_EXCEEDED"}
    assert list(result["result_error"]) == ["j50", "j51"]
    assert (await handle.effects()).tally.effects == 50


async def test_commands_that_are_no_strings_are_skipped(portal: Caller) -> None:
    """An object as a command gets neither result nor error."""
    result = (await portal.batch({"a": {"method": "scope"}, "b": "scope"})).json["result"]
    assert (list(result["result"]), result["result_error"]) == (["b"], [])


@pytest.mark.parametrize("method", ["batch", "download", "upload", "BATCH"])
async def test_batches_do_not_nest(portal: Caller, method: str) -> None:
    """A batch within a batch is refused under its key with HTTP 200."""
    answered = await portal.batch({"a": f"{method}?cmd[b]=scope"})
    assert answered.status == 200
    assert answered.json["result"]["result_error"]["a"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"


async def test_each_command_has_its_own_scope_check(portal: Caller, tell: Callable[..., None]) -> None:
    """A command out of scope fails alone and without a text."""
    tell(webhooks={"1/emulator-secret": {"scopes": ["crm"]}})
    result = (await portal.batch({"a": pay_command(1), "b": "crm.invoice.get?id=1"})).json["result"]
    assert result["result_error"] == {"a": {"error": "insufficient_scope", "error_description": ""}}
    assert list(result["result"]) == ["b"]


async def test_refused_outer_calls_execute_nothing(portal: Caller, tell: Callable[..., None], handle: Handle) -> None:
    """Credentials are checked once, for the whole batch."""
    tell(webhooks={})
    assert (await portal.batch({"a": pay_command(1)})).error[:2] == (401, "INVALID_CREDENTIALS")
    assert (await handle.effects()).tally.effects == 0


async def test_results_can_be_used_in_later_commands(portal: Caller) -> None:
    """`$result[key][field]` is filled in, whole or inside a text."""
    cmd = {
        "a": "crm.invoice.get?id=9",
        "b": "crm.invoice.get?id=$result[a][ID]",
        "c": "crm.invoice.list?filter[@ID][]=1$result[a][ID]&select[]=ID",
        "d": "crm.invoice.get?id=$result[nope]",
    }
    result = (await portal.batch(cmd)).json["result"]
    assert result["result"]["b"]["ID"] == "9"
    assert result["result"]["c"] == [{"ID": "19"}]
    assert list(result["result_error"]) == ["d"]


async def test_the_batch_itself_costs_no_operating_time(
    portal: Caller, tell: Callable[..., None], emulator: RunningEmulator
) -> None:
    """Commands are charged to their methods, in a counter all webhooks of the portal share."""
    tell(
        operating_cost_s={INVOICE: 4.0},
        operating_limit_s=7.0,
        webhooks={"1/emulator-secret": {}, "2/second": {}},
    )
    answered = (await portal.batch({"a": pay_command(1), "b": pay_command(2)})).json
    assert [item["operating"] for item in answered["result"]["result_time"].values()] == [4.0, 8.0]
    assert answered["time"]["operating"] == 0
    blocked = (await Caller(portal.session, portal.authority, "2/second").batch({"a": pay_command(3)})).json
    assert blocked["result"] == {
        "result": [],
        "result_error": {
            "a": {
                "error": "OPERATION_TIME_LIMIT",
                "error_description": "Method is blocked due to operation time limit.",
            }
        },
        "result_total": [],
        "result_next": [],
        "result_time": [],
    }
    # The same webhook's direct calls have a counter of their own.
    direct = await portal.pay(4)
    assert direct.json["time"]["operating"] == 4.0
    assert (await portal.pay(5)).json["time"]["operating"] == 8.0
    assert (await portal.pay(6)).error[:2] == (429, "OPERATION_TIME_LIMIT")
    assert (await portal.call("crm.invoice.get", id=1)).status == 200
    emulator.farm.clock.advance(660)
    assert (await portal.pay(6)).json["time"]["operating"] == 4.0


async def test_each_command_tells_its_own_time(portal: Caller, tell: Callable[..., None]) -> None:
    """Without the line and the queue before the portal; together no more than the batch took."""
    tell(pay_s=0.05, latency_s=0.3, execution="serial")
    cmd = {"a": pay_command(1), "b": pay_command(2)}
    for answer in await asyncio.gather(portal.batch(cmd), portal.batch(cmd)):
        reply = answer.json
        told = [item["duration"] for item in reply["result"]["result_time"].values()]
        assert min(told) >= 0.05
        assert sum(told) <= reply["time"]["duration"] < 0.3


async def test_newer_portals_cut_the_start_to_its_second(portal: Caller, tell: Callable[..., None]) -> None:
    """The duration counts from there, and there is no processing."""
    tell(coarse_times=True)
    time = (await portal.batch({"a": pay_command(1)})).json["result"]["result_time"]["a"]
    assert isinstance(time["start"], int)
    assert time["duration"] == pytest.approx(time["finish"] - time["start"], abs=1e-5)
    assert time["processing"] == 0


async def test_the_limit_can_strike_in_mid_batch(portal: Caller, tell: Callable[..., None]) -> None:
    """Finished commands of the same batch count: over the limit the rest is blocked, strictly over."""
    tell(operating_cost_s={INVOICE: 5.0}, operating_limit_s=10.0)
    result = (await portal.batch({f"j{n}": pay_command(n + 1) for n in range(5)})).json["result"]
    assert list(result["result"]) == ["j0", "j1", "j2"]
    assert {item["error"] for item in result["result_error"].values()} == {"OPERATION_TIME_LIMIT"}


async def test_calls_that_fail_cost_no_operating_time(portal: Caller, tell: Callable[..., None]) -> None:
    """An exception is not registered."""
    tell(operating_cost_s={INVOICE: 5.0}, operating_limit_s=1.0)
    for _ in range(3):
        assert (await portal.pay(0)).error[:2] == (400, "ERROR_CHECK_FAILURE")
    assert (await portal.pay(1)).json["time"]["operating"] == 5.0


async def test_portals_may_charge_batches_or_count_nothing(portal: Caller, tell: Callable[..., None]) -> None:
    """The other two ways of accounting: all to the method `batch`, or no counters at all."""
    tell(accounting="batch", operating_cost_s={INVOICE: 3.0}, operating_limit_s=5.0)
    answered = (await portal.batch({"a": pay_command(1), "b": pay_command(2)})).json
    assert [item["operating"] for item in answered["result"]["result_time"].values()] == [0, 0]
    assert answered["time"]["operating"] == 6.0
    assert (await portal.batch({"a": "scope"})).error[:2] == (429, "OPERATION_TIME_LIMIT")
    tell(accounting="absent")
    answered = (await portal.batch({"a": pay_command(3)})).json
    assert not {"operating", "operating_reset_at"} & set(answered["time"])
    assert not {"operating", "operating_reset_at"} & set(answered["result"]["result_time"]["a"])
    assert "operating" not in (await portal.pay(9)).json["time"]
