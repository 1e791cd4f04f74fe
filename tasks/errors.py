"""What a producer may meet; each message names the cause and the next step.

* InvalidPayment     the request was refused and nothing was written down
  - PaymentConflict  an open payment, or the idempotency key, says something else
* PaymentFailed      the payment was accepted and ended without being paid: args = (code, description)
* LedgerUnavailable  Redis did not answer: unknown whether the request was written down, so send the same again
"""


class InvalidPayment(ValueError):  # noqa: N818 - a public name of the contract
    """The request was refused; nothing was accepted."""


class PaymentConflict(InvalidPayment):
    """Another payment is in the way; the message names it."""


class PaymentFailed(Exception):  # noqa: N818 - a public name of the contract
    """The payment was refused for good. `args` are the code and the description."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(code, description)
        self.code = code
        self.description = description

    def __str__(self) -> str:
        return f"{self.code}: {self.description}"


class LedgerUnavailable(ConnectionError):  # noqa: N818 - reads as a state of the world
    """Redis could not be reached. Repeating the request is safe: it joins the payment if it was written down."""
