"""Rows of a read-back: what proves a payment, what proves nothing."""

from datetime import UTC, datetime

import pytest

from bitrix24.facts import Invoice
from bitrix24.invoices import read_rows

PAID = {"ID": "2", "PAYED": "Y", "DATE_PAYED": "2026-01-02T03:04:05+03:00", "EMP_PAYED_ID": "7"}


def test_a_paid_row_is_read_in_full():
    """PAYED, its date with the zone, and who paid."""
    at = datetime(2026, 1, 2, 0, 4, 5, tzinfo=UTC)
    assert read_rows([PAID], [2]) == {2: Invoice(id=2, paid=True, paid_at=at, paid_by="7")}


def test_the_date_alone_is_no_proof():
    """Only PAYED counts: a date may be left behind by a payment that was rolled back."""
    rows = read_rows([{**PAID, "PAYED": "N"}], [2])
    assert rows is not None
    assert rows[2].paid is False


@pytest.mark.parametrize("container", [[PAID], {"0": PAID}, {"17": PAID}])
def test_any_container_will_do(container: object):
    """A list with holes arrives as an object."""
    assert set(read_rows(container, [2]) or {}) == {2}


@pytest.mark.parametrize("payed", ["", None, 1, True, "yes", ["Y"], {"Y": 1}])
def test_an_odd_row_says_nothing(payed: object):
    """A PAYED that is neither Y nor N leaves the invoice unread, neither paid nor unpaid."""
    assert read_rows([{"ID": 2, "PAYED": payed}], [2]) == {}


@pytest.mark.parametrize("row", [{}, {"ID": "x", "PAYED": "Y"}, {"ID": None}, {"PAYED": "Y"}, [], "x", None, 7])
def test_a_row_without_an_id_is_left_out(row: object):
    """What cannot be matched to an invoice is ignored."""
    assert read_rows([row, {"ID": 3, "PAYED": "N"}], [2, 3]) == {3: Invoice(3, paid=False, paid_at=None, paid_by=None)}


def test_rows_that_contradict_each_other_say_nothing():
    """The same invoice as paid and unpaid is unread, in either order."""
    both = [{"ID": 2, "PAYED": "Y"}, {"ID": 2, "PAYED": "N"}]
    assert read_rows(both, [2]) == read_rows(both[::-1], [2]) == {}


def test_a_foreign_invoice_means_the_filter_was_dropped():
    """The portal drops filters it does not know and shows everything: then nothing it shows is an answer."""
    assert read_rows([PAID, {"ID": 99, "PAYED": "N"}], [2]) is None


@pytest.mark.parametrize("result", [None, True, "x", 5])
def test_no_list_is_no_answer(result: object):
    """A result of another kind cannot be about invoices; an empty one says that none is there."""
    assert read_rows(result, [2]) is None
    assert read_rows([], [2]) == {}
