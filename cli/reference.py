"""Write the reference of the command line, docs/commands.md and docs/schemas, from the commands themselves.

.venv/bin/python -m cli.reference
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from cli.documents import ALWAYS, DOCUMENTS
from cli.exits import Exit
from cli.schema import Documents
from cli.tree import Verb, verbs

_DOCS: Final = Path(__file__).parent.parent / "docs"
_MEANINGS: Final = {
    Exit.DONE: "done",
    Exit.REFUSED: "refused for good",
    Exit.USAGE: "wrong usage, nothing was accepted",
    Exit.IN_DOUBT: "in doubt, or differences found",
    Exit.PARTLY: "partly done",
    Exit.UNREACHABLE: "Redis or the portal did not answer",
    Exit.TEMPORARY: "not yet; the same command may be given again",
    Exit.CONFIGURATION: "bad configuration",
}
_HEAD: Final = """# Commands

Written by `python -m manual` from the commands themselves; a test holds it against them.

Data goes to stdout, everything else to stderr. With `--json` every document is one line of JSON; each command below
links its schema. A document may grow, so ignore fields that you do not know. An error is then one JSON object on
stderr: `error`, `next_step`, `exit_code`.
"""


def files() -> dict[str, str]:
    """Every file of the reference by its path below docs/."""
    made = {"commands.md": _page()}
    for name, documents in DOCUMENTS.items():
        text = json.dumps(documents.schema(name), indent=2, ensure_ascii=False)
        made[f"schemas/{_file_of(name)}"] = text + "\n"
    return made


def _file_of(name: str) -> str:
    return f"{name.replace(' ', '-')}.json"


def _page() -> str:
    codes = _table(["exit code", "meaning"], [[str(int(code)), text] for code, text in _MEANINGS.items()])
    parts = [_HEAD, *codes, ""]
    for verb in verbs():
        parts += _section(verb)
    return "\n".join(parts).rstrip() + "\n"


def _section(verb: Verb) -> Iterator[str]:
    yield f"{'##' if len(verb.words) == 1 else '###'} b24pay {verb.name}"
    yield ""
    # click's mark of a paragraph that keeps its lines; in Markdown such a paragraph is a block.
    for paragraph in verb.text.split("\n\n"):
        kept = paragraph.startswith("\b\n")
        yield f"```text\n{paragraph.removeprefix(chr(8) + chr(10))}\n```" if kept else paragraph
        yield ""
    if verb.acts:
        usage = " ".join(verb.command.collect_usage_pieces(verb.context))
        yield f"Usage: `b24pay {verb.name} {usage}`"
        yield ""
        yield from _options(verb)
    yield from ["```sh", *(_runnable(line) for line in verb.examples), "```", ""]
    if verb.name in DOCUMENTS:
        yield from _told(verb.name, DOCUMENTS[verb.name])


def _runnable(example: str) -> str:
    """A line of the help as a shell takes it: what stands in brackets behind it is a remark."""
    line, gap, remark = example.partition("    (")
    return f"{line}{gap.rstrip('(')}# {remark.removesuffix(')')}" if remark else line


def _options(verb: Verb) -> Iterator[str]:
    records = [record for each in verb.options if (record := each.get_help_record(verb.context))]
    if records:
        yield from _table(["option", "meaning"], [[f"`{_cell(names)}`", _cell(text)] for names, text in records])
        yield ""


def _told(name: str, documents: Documents) -> Iterator[str]:
    codes = ", ".join(str(int(code)) for code in sorted({*ALWAYS, *documents.codes}))
    written = "one document" if documents.lines == "one" else f"one line is {documents.lines}"
    yield f"Exit codes: {codes}. With `--json`, {written} ([schema](schemas/{_file_of(name)})):"
    yield ""
    rows = [[f"`{each.name}`", _type_of(each.type), _cell(each.meaning)] for each in documents.fields]
    yield from _table(["field", "type", "meaning"], rows)
    yield ""


def _type_of(kind: str) -> str:
    return kind.replace("|", " or ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write all of it."""
    (_DOCS / "schemas").mkdir(exist_ok=True)
    for path, text in files().items():
        (_DOCS / path).write_text(text, encoding="utf-8")
    click.echo("docs/commands.md and docs/schemas are written.", err=True)


if __name__ == "__main__":
    main()
