"""From rows to payments and to their ends, over the memory ledger."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.exits import Exit, worst
from cli.intake import CHUNK, Intake, Outcome, Rehearsal, take_in
from cli.report import write_report
from cli.sheet import Sheet
from cli.waiting import Standing, Waiting
from ledger.memory import MemoryLedger
from ledger.payment import NewPayment, State


def names_in(directory: Path) -> list[str]:
    return [each.name for each in directory.iterdir()]


HEADER = "invoice_id,pay_system_id,portal,idempotency_key\n"


def a_sheet(rows: str, header: str = HEADER) -> Sheet:
    """A file with these rows."""
    return Sheet(io.BytesIO((header + rows).encode()), name="payments.csv", portal="acme")


@pytest.fixture
async def ledger() -> MemoryLedger:
    """A ledger with two lanes."""
    made = MemoryLedger(
        clock=lambda: datetime(2026, 11, 24, tzinfo=UTC), lease_s=75, retention_s=3600, max_attempts=3, quiet_s=135
    )
    for portal in ("acme", "globex"):
        await made.add_lane(portal)
    return made


async def taken(ledger: MemoryLedger | Rehearsal, rows: str) -> Intake:
    """The outcome of every row."""
    intake = Intake()
    await take_in(a_sheet(rows), ledger, intake)
    return intake


async def test_good_rows_are_accepted_and_bad_ones_told_by_line(ledger: MemoryLedger):
    """Every wrong number is refused with its cause; nothing of it reaches the ledger."""
    wrong = ["0", "-4", "abc", "1.5", "true", str(2**60), "", "1e3", "\uff12", "0x10"]
    rows = "1,31,,\n" + "".join(f"{number},31,,\n" for number in wrong) + "2,0,,\n3,,,\n4,31,https://x,\n5,31,,\n"
    intake = await taken(ledger, rows)
    assert intake.counts == {Outcome.ACCEPTED: 2, Outcome.INVALID: len(wrong) + 3}
    causes = dict(intake.rejections)
    assert sorted(causes) == list(range(3, 3 + len(wrong) + 3))
    assert all("invoice_id" in causes[line] for line in range(3, 3 + len(wrong)))
    assert "pay_system_id" in causes[13]
    assert "portal" in causes[15]
    [lane, _] = await ledger.lanes()
    assert lane.counts[State.QUEUED] == 2


async def test_duplicate_rows_join_the_first_line(ledger: MemoryLedger):
    """The second row of the same request is told with the number of the first."""
    intake = await taken(ledger, "1,31,,\n2,31,,\n1,31,,\n")
    assert list(intake) == [(2, Outcome.ACCEPTED), (3, Outcome.ACCEPTED), (4, Outcome.JOINED)]
    assert intake.notes[4] == "the same as line 2"


async def test_a_row_that_contradicts_another_is_rejected(ledger: MemoryLedger):
    """Two pay systems for one invoice: the second is refused with the number of the first."""
    intake = await taken(ledger, "1,31,,\n1,32,,\n")
    assert intake.counts[Outcome.CONFLICT] == 1
    assert intake.notes[3] == "line 2 pays this invoice in another way"


async def test_a_row_that_joins_a_payment_from_before_names_it(ledger: MemoryLedger):
    """A request that the ledger knows from elsewhere is joined."""
    await ledger.open([NewPayment(id="before", portal="acme", invoice_id=1, pay_system_id=31)])
    intake = await taken(ledger, "1,31,,\n1,32,,\n")
    assert intake.notes[2] == "the same as payment before"
    assert "payment before" in intake.notes[3]


async def test_an_unknown_portal_costs_only_its_rows(ledger: MemoryLedger):
    """The others are accepted."""
    intake = await taken(ledger, "1,31,nobody,\n1,31,globex,\n")
    assert list(intake) == [(2, Outcome.UNKNOWN_PORTAL), (3, Outcome.ACCEPTED)]
    assert "portal add nobody" in intake.notes[2]


async def test_the_same_file_again_resumes(ledger: MemoryLedger):
    """A second run finds every payment of the first, and a run that was cut goes on where it stopped."""
    rows = "".join(f"{number},31,,\n" for number in range(1, 3 * CHUNK))

    class CutError(Exception):
        pass

    def cut() -> None:
        raise CutError

    with pytest.raises(CutError):
        await take_in(a_sheet(rows), ledger, Intake(), cut)
    second, third = await taken(ledger, rows), await taken(ledger, rows)
    assert second.counts == {Outcome.RESUMED: CHUNK, Outcome.ACCEPTED: 2 * CHUNK - 1}
    assert third.counts == {Outcome.RESUMED: 3 * CHUNK - 1}
    assert (await ledger.lanes(["acme"]))[0].counts[State.QUEUED] == 3 * CHUNK - 1


async def test_a_dry_run_checks_rows_and_writes_nothing(ledger: MemoryLedger):
    """A rehearsal tells what the file and the list of portals tell: bad rows, unknown portals, rows that meet."""
    rows = "1,31,,\nabc,31,,\n1,31,,\n1,32,,\n1,31,globex,\n1,31,nobody,\n"
    rehearsed, done = await taken(Rehearsal({"acme", "globex"}), rows), await taken(ledger, rows)
    assert list(rehearsed) == list(done)
    assert rehearsed.notes == done.notes
    assert rehearsed.counts[Outcome.UNKNOWN_PORTAL] == 1


async def test_a_secret_in_the_wrong_column_is_not_repeated(ledger: MemoryLedger):
    """A webhook in the place of a portal's key is refused without its code."""
    intake = await taken(ledger, "1,31,https://acme.bitrix24.com/rest/1/c4n4ry/,\n")
    assert "c4n4ry" not in intake.notes[2]
    assert "bitrix24.com" in intake.notes[2]


async def test_waiting_ends_when_every_payment_has(ledger: MemoryLedger):
    """Each payment is counted once, in the state it ended in."""
    intake = await taken(ledger, "1,31,,\n2,31,,\n3,31,,\n")
    sheet = a_sheet("1,31,,\n2,31,,\n3,31,,\n")
    waiting = Waiting(ledger, intake.payments, sheet.handle)
    await waiting.look()
    assert waiting.standing.states["queued"] == 3
    for line in (2, 3, 4):
        await ledger.cancel(sheet.handle(line))
    seen: list[int] = []
    await waiting.until_final(lambda now: seen.append(now.final))
    assert seen == [3]
    assert waiting.standing.states == {"cancelled": 3, "queued": 0, "sending": 0, "in_doubt": 0}


async def test_waiting_for_held_lanes_only_is_in_vain(ledger: MemoryLedger):
    """It ends at once and says which lane, instead of waiting for a person."""
    intake = await taken(ledger, "1,31,,\n")
    await ledger.hold("acme", "SCOPE", "the scope is missing")
    waiting = Waiting(ledger, intake.payments, a_sheet("1,31,,\n").handle)
    await waiting.until_final(lambda _: None)
    assert waiting.standing.held == {"acme": "SCOPE: the scope is missing"}
    assert waiting.standing.states["queued"] == 1


async def test_waiting_respects_its_time(ledger: MemoryLedger):
    """When time is up the states are those of the latest look."""
    intake = await taken(ledger, "1,31,,\n")
    waiting = Waiting(ledger, intake.payments, a_sheet("1,31,,\n").handle)
    last: list[Standing] = []
    await waiting.until_final(last.append, timeout_s=0)
    assert last[-1].states["queued"] == 1


async def test_the_report_has_a_line_for_every_line(ledger: MemoryLedger, tmp_path: Path):
    """Accepted, joined and rejected lines all stand in it, in order, and nothing else is left in the directory."""
    rows = "1,31,,\nabc,31,,\n1,31,,\n"
    sheet, path = a_sheet(rows), tmp_path / "out.csv"
    intake = await taken(ledger, rows)
    await ledger.cancel(sheet.handle(2))
    await write_report(path, sheet, intake, ledger)
    with path.open(newline="") as file:
        told = list(csv.DictReader(file))
    assert [(row["line"], row["status"], row["code"]) for row in told] == [
        ("2", "cancelled", ""),
        ("3", "rejected", "INVALID"),
        ("4", "cancelled", ""),
    ]
    assert told[0]["id"] == sheet.handle(2)
    assert "invoice_id" in told[1]["text"]
    assert told[2]["text"] == "the same as line 2"
    assert names_in(tmp_path) == ["out.csv"]


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({"done": 3, "refused": 0}, Exit.DONE),
        ({"done": 0, "refused": 0}, Exit.DONE),
        ({"done": 3, "refused": 1}, Exit.PARTLY),
        ({"done": 0, "refused": 1}, Exit.REFUSED),
        ({"done": 3, "refused": 1, "unfinished": 1}, Exit.TEMPORARY),
        ({"done": 3, "refused": 1, "unfinished": 1, "in_doubt": 1}, Exit.IN_DOUBT),
    ],
)
def test_many_payments_have_one_exit_code(counts: dict[str, int], code: Exit):
    """Doubt outranks waiting, waiting outranks refusals."""
    assert worst(**counts) is code
