"""Reading CSV files as people really send them."""

import gzip
from pathlib import Path

import pytest

from cli.exits import CommandError, Exit
from cli.sheet import LONGEST_LINE, BadRow, Row, Sheet, open_sheet

GOOD = {"invoice_id": "2", "pay_system_id": "31", "portal": "acme"}


def rows_of(tmp_path: Path, content: bytes | str, portal: str | None = "acme") -> list[Row | BadRow]:
    """All rows of a file of this content."""
    path = tmp_path / "payments.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with open_sheet(str(path), portal=portal) as sheet:
        return list(sheet.rows())


def refusal(tmp_path: Path, content: bytes | str, portal: str | None = "acme") -> str:
    """Why a file is refused as a whole."""
    with pytest.raises(CommandError) as raised:
        rows_of(tmp_path, content, portal)
    assert raised.value.code is Exit.USAGE
    return f"{raised.value.cause} {raised.value.next_step}"


@pytest.mark.parametrize(
    "content",
    [
        "invoice_id,pay_system_id\n2,31\n",
        "invoice_id,pay_system_id\r\n2,31\r\n",
        "\ufeffinvoice_id;pay_system_id\r\n2;31",
        "invoice_id\tpay_system_id\n2\t31",
        'INVOICE_ID, "pay_system_id"\n"2",\'31\'\n'.replace("'", '"'),
        "\n\ninvoice_id,pay_system_id\n\n2,31\n\n,\n",
    ],
    ids=["plain", "crlf", "bom and semicolons", "tabs", "quotes, blanks and capitals", "empty lines"],
)
def test_every_usual_spelling_of_a_file_is_read(tmp_path: Path, content: str):
    """Byte-order mark, line ends, delimiters, quotes and empty lines change nothing about a row."""
    [row] = rows_of(tmp_path, content)
    assert isinstance(row, Row)
    assert row.fields == GOOD


def test_a_row_s_own_portal_wins_over_the_command_line(tmp_path: Path):
    """--portal is for rows that name none."""
    found = rows_of(tmp_path, "invoice_id,pay_system_id,portal\n1,31,globex\n2,31,\n")
    assert [row.fields["portal"] for row in found if isinstance(row, Row)] == ["globex", "acme"]


@pytest.mark.parametrize(
    ("content", "portal", "words"),
    [
        ("invoice,pay_system_id\n", "acme", ["unknown column 'invoice'", "column invoice_id is missing"]),
        ("invoice_id\n", "acme", ["pay_system_id or bx_rest_handler is missing"]),
        ("invoice_id,pay_system_id\n", None, ["portal is missing and --portal is not given"]),
        ("invoice_id,invoice_id,pay_system_id\n", "acme", ["invoice_id appears twice"]),
        ("", "acme", ["empty", "invoice_id"]),
        ("\n \n", "acme", ["empty"]),
        ("invoice_id,pay_system_id\n".encode("utf-16"), "acme", ["UTF-16"]),
        (b"invoice_id,pay_system_id,\xff\n", "acme", ["header is not UTF-8"]),
        ("invoice_id,pay_system_id\r2,31\r", "acme", ["CR alone"]),
        ('invoice_id,"pay_system_id\n2,31\n', "acme", ["unclosed quote"]),
        ("x" * (LONGEST_LINE + 1), "acme", ["too long"]),
        ("invoice_id,pay_system_id,\n1,1,\n", "acme", ["column 3 has no name"]),
        ("invoice_id,pay_system_id\n".encode("utf-16-le"), "acme", ["UTF-16"]),
        (gzip.compress(b"invoice_id,pay_system_id\n1,1\n", mtime=0), "acme", ["gzip", "gunzip"]),
        (b"PK\x03\x04\n", "acme", ["spreadsheet"]),
    ],
)
def test_a_file_without_a_usable_header_is_refused_as_a_whole(
    tmp_path: Path, content: bytes | str, portal: str | None, words: list[str]
):
    """Nothing is imported, and the text names the columns."""
    text = refusal(tmp_path, content, portal)
    assert "Nothing was imported" in text
    for word in words:
        assert word in text


def test_a_bad_row_costs_only_itself(tmp_path: Path):
    """Too long, wrong number of fields, not UTF-8, an open quote: each is told by line and the next row is read."""
    lines = [
        b"invoice_id,pay_system_id",
        b"1,31",
        b"2," + b"9" * 1_000_000,
        b"3,31",
        b"4",
        b"5,31,extra",
        b"6,\xff",
        b'7,"31',
        b"8,31",
    ]
    found = rows_of(tmp_path, b"\n".join(lines))
    assert [(row.line, row.fields["invoice_id"]) for row in found if isinstance(row, Row)] == [
        (2, "1"),
        (4, "3"),
        (9, "8"),
    ]
    causes = {row.line: row.cause for row in found if isinstance(row, BadRow)}
    assert sorted(causes) == [3, 5, 6, 7, 8]
    assert "longer than" in causes[3]
    assert "1 fields" in causes[5]
    assert "3 fields" in causes[6]
    assert "UTF-8" in causes[7]
    assert "quoted field" in causes[8]


def test_a_handle_names_the_line_of_a_content_for_a_portal(tmp_path: Path):
    """The same file names the same payments again; another content, line or default portal names others."""

    def handle(content: bytes, portal: str, line: int) -> str:
        path = tmp_path / "h.csv"
        path.write_bytes(content)
        with open_sheet(str(path), portal=portal) as sheet:
            return sheet.handle(line)

    content = b"invoice_id,pay_system_id\n1,31\n"
    first = handle(content, "acme", 2)
    assert handle(content, "acme", 2) == first
    others = {handle(content, "acme", 3), handle(content, "globex", 2), handle(content + b"\n", "acme", 2)}
    assert len(others | {first}) == 4


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    """A wrong path, or a directory, is wrong usage with the path in the text."""
    for path in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(CommandError, match="cannot be read") as raised, open_sheet(str(path), portal="acme"):
            pass
        assert raised.value.code is Exit.USAGE


def test_memory_does_not_grow_with_a_line(tmp_path: Path):
    """A line of 30 MB is passed over in pieces."""
    import tracemalloc

    path = tmp_path / "big.csv"
    path.write_bytes(b"invoice_id,pay_system_id\n" + b"1" * 30_000_000 + b"\n2,31\n")
    with path.open("rb") as file:
        tracemalloc.start()
        sheet = Sheet(file, name="big.csv", portal="acme")
        found = list(sheet.rows())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert [type(row) for row in found] == [BadRow, Row]
    assert peak < 6_000_000


def test_a_device_is_refused_before_it_is_read():
    """/dev/zero has no end."""
    with pytest.raises(CommandError, match="is a device"), open_sheet("/dev/zero", portal="acme"):
        pass
