"""Reading invoices: strings, pages, and filters that vanish."""

from collections.abc import Callable

import pytest

from tests.emulator.portal_caller import Caller

LIST = "crm.invoice.list"


async def test_get_refuses_with_an_empty_code(portal: Caller, tell: Callable[..., None]) -> None:
    """Not found and not readable are both 400 with `error` ''."""
    tell(invoices={"exist": [[1, 10]], "unreadable": [5]})
    assert (await portal.call("crm.invoice.get", id=11)).error == (400, "", "Not found.")
    assert (await portal.call("crm.invoice.get", ID=5)).error == (400, "", "Access denied.")
    assert (await portal.call("crm.invoice.get", Id=1)).error == (400, "", "Not found.")
    found = (await portal.call("crm.invoice.get", id="1")).json["result"]
    assert (found["ID"], found["PAYED"], found["INVOICE_PROPERTIES"]) == ("1", "N", [])
    assert all(isinstance(found[name], str) for name in found if name not in ("INVOICE_PROPERTIES", "PRODUCT_ROWS"))


async def test_a_list_of_ids_answers_only_those_that_exist_and_can_be_read(
    portal: Caller, tell: Callable[..., None]
) -> None:
    """The read-back of many invoices leaves out deleted and unreadable ones."""
    tell(invoices={"missing": [2], "unreadable": [3]})
    await portal.pay(1)
    answered = await portal.call(
        LIST, filter={"@ID": [4, 3, 2, 1]}, select=["ID", "PAYED", "EMP_PAYED_ID"], order={"ID": "ASC"}, start=-1
    )
    assert answered.json["result"] == [
        {"ID": "1", "PAYED": "Y", "EMP_PAYED_ID": "1"},
        {"ID": "4", "PAYED": "N", "EMP_PAYED_ID": ""},
    ]
    assert not {"total", "next"} & set(answered.json)


async def test_pages_are_of_fifty_with_total_and_next(portal: Caller, tell: Callable[..., None]) -> None:
    """`next` is there only while more follows; the default order is from the newest id."""
    tell(invoices={"exist": [[1, 120]], "paid": [[1, 3]]})
    first = (await portal.call(LIST, select=["ID"])).json
    assert (len(first["result"]), first["result"][0], first["total"], first["next"]) == (50, {"ID": "120"}, 120, 50)
    last = (await portal.call(LIST, select=["ID"], start=100)).json
    assert (len(last["result"]), last["total"], "next" in last) == (20, 120, False)
    paid = (await portal.call(LIST, filter={"PAYED": "Y"}, select=["ID"])).json
    assert ([item["ID"] for item in paid["result"]], paid["total"]) == (["3", "2", "1"], 3)


async def test_unknown_filters_are_dropped_and_everything_comes(portal: Caller, tell: Callable[..., None]) -> None:
    """A misspelt field or operation filters nothing."""
    tell(invoices={"exist": [[1, 60]]})
    for wrong in ({"@NUMBER": [1]}, {"~ID": [1]}, {"id": 1}):
        assert (await portal.call(LIST, filter=wrong)).json["total"] == 60
    # Mixed case is not a known parameter either.
    assert (await portal.call(LIST, Filter={"ID": 1})).json["total"] == 60
    assert (await portal.call(LIST, FILTER={"ID": 1})).json["total"] == 1


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({">ID": 3, "<=ID": 5}, ["5", "4"]),
        ({"!ID": [1, 2, 3, 4]}, ["6", "5"]),
        ({"!@ID": [1, 2, 3, 4, 5]}, ["6"]),
        ({"><ID": [2, 3]}, ["3", "2"]),
        ({"%ORDER_TOPIC": "voice 4"}, ["4"]),
        ({"@ID": []}, []),
    ],
)
async def test_filters_have_their_operations(
    portal: Caller, tell: Callable[..., None], wanted: dict[str, object], ids: list[str]
) -> None:
    """Ranges, negations, lists and parts of texts select what they say."""
    tell(invoices={"exist": [[1, 6]]})
    listed = (await portal.call(LIST, filter=wanted, select=["ID"])).json["result"]
    assert [item["ID"] for item in listed] == ids


async def test_no_valid_field_is_refused_with_an_empty_code(portal: Caller) -> None:
    """A selection of unknown fields only is 400."""
    answered = await portal.call(LIST, select=["NOPE"])
    assert answered.error == (400, "", "Inadmissible fields for selection")


async def test_reading_needs_its_own_scope(portal: Caller, tell: Callable[..., None]) -> None:
    """A webhook that may pay may still not read."""
    tell(webhooks={"1/emulator-secret": {"scopes": ["pay_system"]}})
    assert (await portal.pay(1)).status == 200
    assert (await portal.call("crm.invoice.get", id=1)).error[:2] == (401, "insufficient_scope")


async def test_every_id_exists_without_taking_memory(portal: Caller) -> None:
    """A lazy portal has invoices up to the largest number JSON keeps."""
    assert (await portal.call("crm.invoice.get", id=2**53 - 1)).status == 200
    answered = (await portal.call(LIST, select=["ID"])).json
    assert (answered["total"], answered["result"][0]["ID"]) == (2**53 - 1, str(2**53 - 1))
