"""A CSV file of payments, read line by line: the header decides at once, a bad row costs only itself.

Comma, semicolon or tab; with or without BOM; LF or CRLF; quoted fields. No field of ours may hold a line break, so a
quote that is not closed on its line spoils that line and not the thousand after it. Nothing is held in memory but the
line at hand.
"""

import contextlib
import csv
import hashlib
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cli.exits import CommandError, Exit

COLUMNS: Final = ("invoice_id", "pay_system_id", "bx_rest_handler", "portal", "idempotency_key")
_DELIMITERS: Final = (",", ";", "\t")
_BOM: Final = b"\xef\xbb\xbf"
_WIDE_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
# First bytes of files that are given instead of a CSV file, and what to do with them.
_FOREIGN: Final = (
    (b"\x1f\x8b", "the file is compressed (gzip)", "Unpack it: `gunzip -c FILE | b24pay import -`."),
    (b"PK\x03\x04", "the file is a spreadsheet or a zip archive", "Save it as CSV UTF-8, or unpack it."),
    (b"\xd0\xcf\x11\xe0", "the file is an old Excel file", "Save it as CSV UTF-8."),
)
# The longest honest row is below 1 kB; a longer line is a broken file, and reading it whole would cost memory.
LONGEST_LINE: Final = 65_536
_BLOCK: Final = 1 << 20
# What fits comfortably into memory while stdin is read once to know its content.
_SPOOL: Final = 8 << 20
_HANDLES: Final = uuid.UUID("5f1f2bb6-6d0c-5f0a-9c3b-0b24a1b24a1b")


@dataclass(frozen=True, slots=True)
class Row:
    """One row that has the header's number of fields; empty fields are None."""

    line: int
    fields: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that cannot be read, and why."""

    line: int
    cause: str


class Sheet:
    """An open file of payments whose header has been accepted."""

    def __init__(self, file: IO[bytes], *, name: str, portal: str | None) -> None:
        self.name = name
        self._file = file
        self._portal = portal
        self._digest, self.size = _digest(file)
        self._lines = _numbered_lines(file)
        self._delimiter, self._columns = self._read_header()

    @property
    def position(self) -> int:
        """How many bytes have been read, for progress."""
        return self._file.tell()

    def handle(self, line: int) -> str:
        """The payment handle of a line: the same file imported again names the same payments.

        The portal of the command line belongs to the content, or a second portal's import would join the first's.
        """
        return str(uuid.uuid5(_HANDLES, f"{self._digest}/{self._portal or ''}/{line}"))

    def rows(self) -> Iterator[Row | BadRow]:
        """Every row that is not empty, in order; can be read once."""
        for line, content in self._lines:
            row = self._row(line, content)
            if row is not None:
                yield row

    def _row(self, line: int, content: bytes | None) -> Row | BadRow | None:
        if content is None:
            return BadRow(line, f"the line is longer than {LONGEST_LINE} bytes")
        try:
            values = _split(content.decode("utf-8"), self._delimiter)
        except UnicodeDecodeError as error:
            return BadRow(line, f"the line is not UTF-8 (byte {error.start + 1}); save the file as UTF-8")
        except csv.Error:
            return BadRow(line, "a quoted field is not closed on its line, or text follows its closing quote")
        if not any(values):
            return None
        if len(values) != len(self._columns):
            return BadRow(line, f"has {len(values)} fields, the header has {len(self._columns)}")
        fields = {name: value or None for name, value in zip(self._columns, values, strict=True)}
        fields["portal"] = fields.get("portal") or self._portal
        return Row(line, fields)

    def _read_header(self) -> tuple[str, list[str]]:
        for _, content in self._lines:
            if content is None:
                raise _unusable("the first line is far too long for a header", "Is this a CSV file?")
            header = _decoded_header(content)
            if not header.strip():
                continue
            delimiter = max(_DELIMITERS, key=header.count)
            try:
                names = [name.lower() for name in _split(header, delimiter)]
            except csv.Error:
                raise _unusable("the header has an unclosed quote", f"Columns: {', '.join(COLUMNS)}") from None
            _check_columns(names, portal=self._portal)
            return delimiter, names
        raise _unusable("the file is empty", f"The first line names the columns: {', '.join(COLUMNS)}")


@contextlib.contextmanager
def open_sheet(source: str, *, portal: str | None) -> Iterator[Sheet]:
    """Open a CSV file, or stdin for `-`, and read its header; raises CommandError (usage) when it cannot be used."""
    with contextlib.ExitStack() as stack:
        if source == "-":
            if sys.stdin is None:
                raise _unusable("stdin is closed", "Give a file, or a pipe for `-`.")
            file: IO[bytes] = stack.enter_context(_spooled(sys.stdin.buffer))
        else:
            try:
                if Path(source).is_char_device():
                    raise _unusable(f"{source} is a device", "Give a CSV file, or `-` for stdin.")
                file = stack.enter_context(Path(source).open("rb"))
            except OSError as error:
                raise _unusable(f"{source} cannot be read: {error.strerror}", "Check the path.") from None
            if not file.seekable():
                file = stack.enter_context(_spooled(file))
        try:
            yield Sheet(file, name="stdin" if source == "-" else source, portal=portal)
        except IsADirectoryError:
            raise _unusable(f"{source} is a directory", "Give the path of a CSV file.") from None


@contextlib.contextmanager
def _spooled(source: IO[bytes]) -> Iterator[IO[bytes]]:
    """A copy that can be read twice: the handles of all rows depend on the whole content."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as copy:
        while block := source.read(_BLOCK):
            copy.write(block)
        copy.seek(0)
        yield copy


def _digest(file: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while block := file.read(_BLOCK):
        digest.update(block)
        size += len(block)
    file.seek(0)
    return digest.hexdigest(), size


def _numbered_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their numbers, without their ends; None for one that is too long."""
    line = 0
    while content := file.readline(LONGEST_LINE):
        line += 1
        whole = content
        while len(content) == LONGEST_LINE and not content.endswith(b"\n"):
            content = file.readline(LONGEST_LINE)
            if content:
                whole = b""
        yield line, whole.rstrip(b"\r\n") if whole else None


def _decoded_header(content: bytes) -> str:
    if content.startswith(_WIDE_BOMS):
        raise _unusable("the file is UTF-16", "Save it as CSV UTF-8.")
    for first_bytes, cause, next_step in _FOREIGN:
        if content.startswith(first_bytes):
            raise _unusable(cause, next_step)
    if b"\0" in content:
        raise _unusable("the header holds NUL bytes; the file is UTF-16 or no text at all", "Save it as CSV UTF-8.")
    try:
        header = content.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError:
        raise _unusable("the header is not UTF-8", "Save the file as CSV UTF-8.") from None
    if "\r" in header:
        raise _unusable("the lines end in CR alone", "Save the file with LF or CRLF line ends.")
    return header


def _split(text: str, delimiter: str) -> list[str]:
    [values] = csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True) if text else [[]]
    return [value.strip() for value in values]


def _check_columns(names: list[str], *, portal: str | None) -> None:
    problems = []
    unknown = [name for name in names if name and name not in COLUMNS]
    unnamed = [str(number) for number, name in enumerate(names, start=1) if not name]
    twice = sorted({name for name in names if names.count(name) > 1 and name in COLUMNS})
    if unknown:
        shown = ", ".join(ascii(name[:40]) for name in unknown[:10])
        problems.append(f"unknown column{'s' if len(unknown) > 1 else ''} {shown}")
    if unnamed:
        problems.append(f"column {', '.join(unnamed[:10])} has no name; does the header end in a delimiter?")
    if twice:
        problems.append(f"column {', '.join(twice)} appears twice")
    if "invoice_id" not in names:
        problems.append("column invoice_id is missing")
    if "pay_system_id" not in names and "bx_rest_handler" not in names:
        problems.append("column pay_system_id or bx_rest_handler is missing")
    if "portal" not in names and portal is None:
        problems.append("column portal is missing and --portal is not given")
    if problems:
        step = "Add --portal KEY, or a column portal. " if "portal" not in names and portal is None else ""
        raise _unusable("; ".join(problems), f"{step}Known columns: {', '.join(COLUMNS)}")


def _unusable(cause: str, next_step: str) -> CommandError:
    return CommandError(f"Nothing was imported: {cause}", next_step, Exit.USAGE)
