"""What a request must look like, told to a producer in one go."""

import pytest

from tasks.errors import InvalidPayment
from tasks.payment import LARGEST_ID, is_handle, new_ids, parse_payment

GOOD = {"portal": "acme", "invoice_id": 2, "pay_system_id": 31}


def refused(**changes: object) -> str:
    with pytest.raises(InvalidPayment) as caught:
        parse_payment("t-1", {**GOOD, **changes})
    return str(caught.value)


def test_a_full_request_becomes_the_payment_it_asks_for() -> None:
    """Every field arrives under its own name, and the handle is the payment's id."""
    payment = parse_payment("t-1", {**GOOD, "bx_rest_handler": "psp", "idempotency_key": "order-7"})
    assert (payment.id, payment.portal, payment.invoice_id, payment.pay_system_id) == ("t-1", "acme", 2, 31)
    assert (payment.bx_rest_handler, payment.idempotency_key) == ("psp", "order-7")


@pytest.mark.parametrize("value", [1, LARGEST_ID, "2", str(LARGEST_ID), "007"])
def test_whole_numbers_and_digit_strings_are_invoices(value: object) -> None:
    """Producers that keep numbers as text need no conversion."""
    assert parse_payment("t-1", {**GOOD, "invoice_id": value}).invoice_id == int(str(value))


@pytest.mark.parametrize(
    "value",
    [
        *(0, -4, 1.5, 2.0, True, False, None, 2**53, 2**60, float("nan"), [2], {"id": 2}, b"2"),
        *("abc", "", "0", "-4", "1.5", " 2", "2 ", "٣", "1e3", "9" * 400),
    ],
)
def test_anything_else_is_refused_as_an_invoice(value: object) -> None:
    """The text names the field and what it must be."""
    assert "invoice_id" in refused(invoice_id=value)
    assert "whole number from 1 to 9007199254740991" in refused(invoice_id=value)


@pytest.mark.parametrize("value", [0, "x", True, 1.0, 2**53, [31]])
def test_a_malformed_pay_system_is_refused(value: object) -> None:
    """A pay system is a whole number too."""
    assert "pay_system_id" in refused(pay_system_id=value)


def test_one_of_pay_system_and_handler_is_required() -> None:
    """Without either the portal could not know how to pay."""
    assert "pay_system_id or bx_rest_handler is required" in refused(pay_system_id=None)
    payment = parse_payment("t-1", {**GOOD, "pay_system_id": None, "bx_rest_handler": "psp"})
    assert payment.bx_rest_handler == "psp"


@pytest.mark.parametrize("value", [None, "", "Acme", "https://acme.bitrix24.com", "a b", "-a", "a" * 64, 7, "ä"])
def test_a_portal_is_named_by_its_key(value: object) -> None:
    """A host is never taken for a key."""
    assert "portal" in refused(portal=value)


@pytest.mark.parametrize("value", ["", "x" * 256, "a\nb", 7, "\u200b"])
def test_keys_and_handlers_are_printable_text(value: object) -> None:
    """Text that an operator could not see or type is refused."""
    assert "idempotency_key" in refused(idempotency_key=value)
    assert "bx_rest_handler" in refused(bx_rest_handler=value)


def test_a_handle_that_cannot_be_shown_is_refused() -> None:
    """The Celery task id becomes a key of the ledger."""
    with pytest.raises(InvalidPayment, match="id is"):
        parse_payment("bad\nid", GOOD)
    with pytest.raises(InvalidPayment, match="id is"):
        parse_payment(None, GOOD)


def test_all_problems_are_told_at_once() -> None:
    """A producer mends its request in one round."""
    text = refused(portal="ACME", invoice_id="x", pay_system_id="y", amount=5)
    for name in ("portal", "invoice_id", "pay_system_id", "amount"):
        assert name in text


def test_a_message_shows_values_short_and_printable() -> None:
    """What a stranger sent must not flood or break a log."""
    text = refused(invoice_id="\x1b[31m" + "x" * 10_000)
    assert len(text) < 300
    assert text.isprintable()


def test_a_webhook_given_as_a_portal_is_not_repeated() -> None:
    """The message becomes a Celery result, which others read."""
    text = refused(portal="https://acme.bitrix24.com/rest/1/s3cr3tc0de/")
    assert "s3cr3tc0de" not in text
    assert "portal" in text


def test_names_are_short_and_their_own() -> None:
    """They fit where any handle fits, can be typed after a command, and do not repeat."""
    names = {*new_ids(10_000), *new_ids(1)}
    assert len(names) == 10_001
    assert all(is_handle(name) and len(name) == 16 and name.isalnum() and name.islower() for name in names)
