"""The batch: what is sent for which pays, and how the five arrays of its reply are read."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitrix24.batch import batch_params, duration_of_all, pay_params, read_batch
from bitrix24.facts import Operating, Pay


def a_pay(invoice_id: int = 2, pay_system_id: int | None = 31, bx_rest_handler: str | None = None) -> Pay:
    """One pay command."""
    return Pay(invoice_id=invoice_id, pay_system_id=pay_system_id, bx_rest_handler=bx_rest_handler)


def commands(pays: list[Pay]) -> dict[str, tuple[str, dict[str, str]]]:
    """The commands of a batch as the portal would parse them."""
    cmd = batch_params(pays)["cmd"]
    assert isinstance(cmd, dict)
    parts = {key: text.partition("?") for key, text in cmd.items()}
    return {key: (method, dict(parse_qsl(query, strict_parsing=True))) for key, (method, _, query) in parts.items()}


def test_each_pay_and_one_read_back_of_exactly_these_invoices():
    """49 pays and a read-back fill a batch; invoices are asked for once each."""
    pays = [a_pay(number) for number in range(1, 49)] + [a_pay(1)]
    found = commands(pays)
    assert len(found) == 50
    assert found["p0"] == ("sale.paysystem.pay.invoice", {"INVOICE_ID": "1", "PAY_SYSTEM_ID": "31"})
    method, query = found["r"]
    assert method == "crm.invoice.list"
    assert [value for name, value in query.items() if name.startswith("filter[@ID]")] == [str(n) for n in range(1, 49)]
    assert query["start"] == "-1"
    assert query["order[ID]"] == "ASC"
    assert {"ID", "PAYED"} <= {value for name, value in query.items() if name.startswith("select")}


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_handler_code_survives_the_encoding(code: str):
    """What parse_str reads is what the payment named, whatever characters it has."""
    assert commands([a_pay(bx_rest_handler=code)])["p0"][1]["BX_REST_HANDLER"] == code


def test_what_was_not_given_is_not_sent():
    """The portal looks at presence: an absent pay system is left out, both together are both sent."""
    assert pay_params(a_pay(pay_system_id=None, bx_rest_handler="h")) == {"INVOICE_ID": 2, "BX_REST_HANDLER": "h"}
    assert pay_params(a_pay(bx_rest_handler="h")) == {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31, "BX_REST_HANDLER": "h"}


def test_a_batch_never_stops_at_an_error():
    """Each payment stands for itself."""
    assert batch_params([a_pay()])["halt"] == 0


@pytest.mark.parametrize("inner", [[], None, True, "x", {}, {"total": 1}, [{"result": {}}]])
def test_another_shape_is_no_answered_batch(inner: object):
    """Without the arrays of a batch nothing is said about any command."""
    assert read_batch({"result": inner}, 1) is None


def test_empty_arrays_are_empty_maps():
    """PHP writes an empty map as a list."""
    reply = read_batch({"result": {"result": [], "result_error": [], "result_time": []}}, 1)
    assert reply is not None
    assert (reply.results, reply.errors, reply.operating) == ({}, {}, None)


def account(nested: object, outer: object = None) -> Operating | None:
    """The execution-time account read from nested and outer times."""
    reply = {"result": {"result": {}, "result_time": nested}, "time": outer}
    batch = read_batch(reply, 2)
    assert batch is not None
    return batch.operating


def test_execution_time_is_read_where_the_portal_puts_it():
    """Nested first, its highest; the outer one where nested is missing or all zero; nothing where nothing is said."""
    first, last = {"operating": 1.5, "operating_reset_at": 10}, {"operating": "2.5", "operating_reset_at": 11}
    outer = {"operating": 9, "operating_reset_at": 12}
    assert account({"p0": first, "p1": last}, outer) == Operating(2.5, 11)
    assert account({"p0": first, "r": {"operating": 99}}) == Operating(1.5, 10)
    assert account([], outer) == Operating(9, 12)
    assert account({"p0": {"operating": 0}}, outer) == Operating(9, 12)
    assert account({"p0": {"operating": 0}}, {"operating": 0}) == Operating(0, None)
    assert account({"p0": {"duration": 1}}, {"duration": 1}) is None


def durations(*times: object) -> tuple[float | None, ...]:
    """What is read from the times of so many pays."""
    batch = read_batch({"result": {"result": {}, "result_time": {f"p{at}": time for at, time in enumerate(times)}}}, 2)
    assert batch is not None
    return batch.durations


def test_the_time_of_a_pay_is_read_where_the_portal_tells_it():
    """Its own duration, also in a string; nothing where there is none or where the start was cut to its second."""
    assert durations({"start": 10.5, "duration": 0.4}, {"duration": "1.2"}) == (0.4, 1.2)
    assert durations({"start": 10, "duration": 0.4}, {"start": 10.0, "duration": 0.4}) == (None, None)
    assert durations({"duration": -1}) == (None, None)
    assert durations([], None) == (None, None)


def test_the_time_of_all_is_known_when_that_of_each_is():
    """One that is missing leaves the sum unknown."""
    assert duration_of_all([0.5, 0.25]) == 0.75
    assert duration_of_all([0.5, None]) is None
    assert duration_of_all([]) is None
