"""The demonstration's file: 500 payments over two portals, a few wrong on purpose, and what must become of them."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from typing import Final

from cli.intake import Outcome

PAYMENTS: Final = 500
FIRST_INVOICE: Final = 1001
# The emulator's pay systems: 1 is a REST handler and pays, 2 prints a bill, 99 does not exist.
PAYS, PAPER, UNKNOWN = 1, 2, 99
# Of each portal's 250 rows these are wrong: the row's number -> its pay system.
_WRONG_SYSTEMS: Final = {40: UNKNOWN, 90: PAPER, 140: UNKNOWN, 190: PAPER}
_CANCELED: Final = (65, 165)


@dataclass(frozen=True, slots=True)
class Sample:
    """The file and its truth: what is canceled at the portals, and the ends that are expected."""

    content: bytes
    canceled: dict[str, list[int]]
    paid: dict[str, int]  # portal -> payments that must end paid, once each
    failed: Counter[str]  # error code -> payments
    outcomes: Counter[Outcome]


def make_sample(portals: tuple[str, ...]) -> Sample:
    """Rows that alternate between the portals, as an accountant's export would."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("invoice_id", "pay_system_id", "portal"))
    canceled: dict[str, list[int]] = {portal: [] for portal in portals}
    paid = dict.fromkeys(portals, 0)
    failed: Counter[str] = Counter()
    for number in range(PAYMENTS // len(portals)):
        for portal in portals:
            invoice, system = FIRST_INVOICE + number, _WRONG_SYSTEMS.get(number, PAYS)
            writer.writerow((invoice, system, portal))
            if number in _CANCELED:
                canceled[portal].append(invoice)
            code = _code(number)
            failed[code] += code != ""
            paid[portal] += code == ""
    bad = _bad_rows(portals)
    writer.writerows(bad)
    writer.writerow((FIRST_INVOICE, PAYS, portals[0]))  # asked for twice: paid once
    outcomes = Counter({Outcome.ACCEPTED: PAYMENTS, Outcome.INVALID: len(bad)})
    return Sample(text.getvalue().encode(), canceled, paid, +failed, outcomes)


def _code(number: int) -> str:
    """The error code that a row of this number ends with, "" where it is paid."""
    if number in _CANCELED:
        return "ERROR_PROCESS_REQUEST_RESULT"
    by_system = {PAYS: "", UNKNOWN: "ERROR_CHECK_FAILURE", PAPER: "ACCEPTED_NOT_PAID"}
    return by_system[_WRONG_SYSTEMS.get(number, PAYS)]


def _bad_rows(portals: tuple[str, ...]) -> list[tuple[object, ...]]:
    """Rows as people really send them."""
    return [("INV-77", PAYS, portals[0]), (0, PAYS, portals[0]), (1300, "", portals[0]), (1301, PAYS)]
