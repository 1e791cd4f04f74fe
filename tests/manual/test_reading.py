"""What the pages say can be read: no dead link, no block that is not what it claims to be, no command that is gone."""

import ast
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from cli.tree import Verb, verbs
from tests.manual.blocks import (
    NOT_YET,
    ONLY_PARSED,
    ROOT,
    Block,
    anchors,
    blocks,
    coming,
    links,
    manual,
    pages,
    without_blocks,
)

VERBS = {verb.name: verb for verb in verbs()}
BLOCKS = [block for page in manual() for block in blocks(page)]
# What a line of a shell block begins with; in a block of plain text it would be a command that nobody runs.
COMMANDS = re.compile(
    r"^\s*(\$ |b24pay |make |docker |curl |python |pip |export |git |helm |kubectl |systemctl )", re.MULTILINE
)
# Options that are another program's, or every command's.
EVERYWHERE = {"--help", "--json", "--version"}
PASSED_ON = {"emulator"}


@pytest.mark.parametrize("page", pages())
def test_no_link_is_dead(page: str) -> None:
    """Each target is a file or folder of the repository, and each anchor one of its headings."""
    dead = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        if re.match(r"[a-z]+:", target) or (found.name in coming() and not found.exists()):
            continue
        inside = found.exists() and found.resolve().is_relative_to(ROOT)
        if not inside or (anchor and anchor not in anchors(found.resolve().relative_to(ROOT).as_posix())):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", [page for page in manual() if page.startswith("docs/")])
def test_a_page_is_one_that_the_site_can_show(page: str) -> None:
    """One title, and no block by indentation, whose language nobody knows."""
    prose = without_blocks(page)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    by_indent = re.findall(r"(?:^|\n)(?:#[^\n]*\n|\n)    (?! *[-*\d])(\S[^\n]*)", prose)
    inside_lists = re.findall(r"^ *(?:[-*]|\d+\.) ", prose, re.MULTILINE)
    assert by_indent == [] or inside_lists, by_indent


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_what_it_claims_to_be(block: Block) -> None:
    """It has a language that is known here, and parses as that."""
    match block.language:
        case "sh":
            done = subprocess.run(
                [str(shutil.which("bash")), "-n"], input=block.text, text=True, capture_output=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, "")
        case "python":
            compile(block.text, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        case "json":
            as_json(block.text)
        case "yaml":
            list(yaml.safe_load_all(block.text))
        case "toml":
            tomllib.loads(block.text)
        case "ini":
            assert re.search(r"^\[\w+\]$", block.text, re.MULTILINE)
        case "text":
            assert not COMMANDS.search(block.text), "a command in a block of plain text is run by nobody"
        case other:
            pytest.fail(f"no test knows what a block of {other!r} is")


def as_json(text: str) -> list[object]:
    """One document, or one a line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("page", manual())
def test_commands_of_a_page_are_commands_that_there_are(page: str) -> None:
    """Each `b24pay …`, in a block or in the text, names a verb and options of it."""
    said = [line for block in blocks(page) if block.language == "sh" for line in _lines(block.text)]
    said += [" ".join(code.split()) for code in re.findall(r"`(b24pay [^`]+)`", without_blocks(page))]
    wrong = [
        command
        for line in said
        for command in re.findall(r"(?<!-n )(?<!space )\bb24pay ([a-z][^|;&)>#]*)", line)
        if not _is_right(command)
    ]
    assert wrong == []


def _lines(text: str) -> list[str]:
    return re.sub(r"\\\n\s*", " ", text).splitlines()


def _is_right(command: str) -> bool:
    verb = _verb(command)
    if verb is None or verb.name in PASSED_ON:
        return verb is not None
    flags = {flag.partition("=")[0] for flag in re.findall(r"(?<=\s)--[a-z][\w=-]*", command)}
    return flags <= verb.flags | EVERYWHERE


def _verb(command: str) -> Verb | None:
    words = re.split(r"[\s,`'\"]+", command.strip())
    alternatives = re.sub(r"\|[a-z|]+", "", words[1]) if len(words) > 1 else ""
    return VERBS.get(f"{words[0]} {alternatives}") or VERBS.get(words[0])


def test_makefile_targets_of_the_pages_are_there() -> None:
    """`make NAME` in a block names a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = {name for block in BLOCKS for name in re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE)}
    assert said <= targets
    assert {"demo", "setup", "test"} <= said


def test_what_is_only_parsed_is_on_some_page() -> None:
    """The list of what nobody runs has no line more than it needs, and a reason for each."""
    lines = [line.strip() for block in BLOCKS if block.language == "sh" for line in re.split(r"\n| && ", block.text)]
    unused = {start for start in ONLY_PARSED if not any(line.startswith(start) for line in lines)}
    assert unused <= NOT_YET
    assert all(ONLY_PARSED.values())


def test_a_dead_link_would_be_found(tmp_path: Path) -> None:
    """The slug of a heading is the one of GitHub and of the site."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title`, with *marks*\n\n## Why a lane is held\n\n```sh\n# not a heading\n```\n\n## Why a lane is held\n"
    )
    relative = Path("../" * len(ROOT.parts[1:])) / page.relative_to("/")
    assert anchors(str(relative)) == {"a-title-with-marks", "why-a-lane-is-held", "why-a-lane-is-held-1"}
