"""The whole tree of `b24pay`: every verb can be read about, tried, scripted, and misused without harm."""

import inspect
from pathlib import Path

import click
import jsonschema
import pytest

from cli.documents import DOCUMENTS
from cli.main import b24pay, run
from cli.reference import files
from cli.tree import Verb, arguments_of, verbs

VERBS = {verb.name: verb for verb in verbs()}
ACTING = [verb for verb in VERBS.values() if verb.acts]
CHANGES = {
    *("portal add", "portal invite", "portal hold", "portal resume", "portal remove", "keys rotate"),
    *("pay", "import", "retry", "cancel", "doubts verify", "doubts resolve"),
    *("callback secret", "callback resend", "parked drop", "token create", "token revoke"),
}
READS = {
    *("portal list", "portal show", "portal check", "status", "list", "inspect", "stats", "watch", "doubts"),
    *("callback list", "callback hosts", "parked", "parked list", "parked show", "token list", "audit", "health"),
    *("doctor", "completion", "reconcile"),
}
# They bring a world of their own and touch no other.
STAGES = {"demo", "chaos", "emulator"}
# Its options are those of `python -m emulator`.
PASSED_ON = "emulator"
DOCS = Path(__file__).parents[3] / "docs"


def each(found: "list[Verb]") -> pytest.MarkDecorator:
    """One test a verb, under its name."""
    return pytest.mark.parametrize("verb", found, ids=lambda verb: verb.name)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No .env of the developer speaks, and nothing is written into the tree."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDIS_URL", raising=False)


def test_every_verb_is_known_to_this_test():
    """A new verb must say whether it changes something."""
    assert {verb.name for verb in ACTING} == CHANGES | READS | STAGES


@each(list(VERBS.values()))
def test_help_says_what_a_verb_does_and_shows_it(verb: Verb):
    """A text, a help for every option, and an example at least."""
    assert verb.text
    assert [option.name for option in verb.options if not option.help] == []
    assert verb.examples


@each(list(VERBS.values()))
def test_examples_are_kept_line_by_line(verb: Verb):
    """The marked block is not folded into a paragraph, so a line can be copied."""
    shown = verb.command.get_help(click.Context(verb.command, terminal_width=200))
    assert all(f"\n    {line}" in shown for line in verb.examples)
    assert "Example: `" not in inspect.cleandoc(verb.command.help or "")


@each([verb for verb in VERBS.values() if verb.name != PASSED_ON])
def test_examples_are_commands_that_there_are(verb: Verb):
    """Options, values and numbers of arguments are the real ones."""
    for line in verb.examples:
        given = list(arguments_of(line))
        name = max((known for known in VERBS if given[: len(known.split())] == known.split()), key=len)
        if not verb.acts:
            assert name.startswith(verb.name)
        else:
            assert name == verb.name
        command = VERBS[name].command
        command.make_context(name, given[len(name.split()) :], parent=click.Context(b24pay))


@each([verb for verb in ACTING if verb.name != PASSED_ON])
def test_every_verb_speaks_json_and_says_how(verb: Verb):
    """The option and the table of what it writes."""
    assert "--json" in verb.flags
    assert verb.name in DOCUMENTS
    jsonschema.Draft202012Validator.check_schema(DOCUMENTS[verb.name].schema(verb.name))


@each(ACTING)
def test_what_changes_something_can_be_tried_before(verb: Verb):
    """--dry-run where there is something to try, and nowhere else."""
    assert ("--dry-run" in verb.flags) == (verb.name in CHANGES)


@each([verb for verb in VERBS.values() if verb.name != PASSED_ON])
def test_misuse_ends_with_2_and_a_next_step(verb: Verb, capsys: pytest.CaptureFixture[str]):
    """Nothing on stdout; the next step names the verb's own help, which then works."""
    assert run([*verb.words, "--no-such-option"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"Next step: See `b24pay {verb.name} --help`." in err
    assert run([*verb.words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: b24pay {verb.name}")


def test_the_reference_tells_what_the_commands_are():
    """docs/commands.md and docs/schemas are what `python -m cli.reference` writes, and nothing is left over."""
    written = {"commands.md": (DOCS / "commands.md").read_text(encoding="utf-8")}
    written |= {f"schemas/{path.name}": path.read_text(encoding="utf-8") for path in (DOCS / "schemas").iterdir()}
    assert written == files(), "run `python -m manual`"
