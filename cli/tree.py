"""The tree of `b24pay`'s commands, as its reference and its tests walk it."""

import inspect
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from cli.main import b24pay

_MARKS = ("Example:", "Examples:")
# What ends a command's own words in a shell line: the rest is another program's, or a remark.
_ENDS = ("|", "<", ">", "&&", ";")


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: its words after `b24pay`, what click knows of it, and where it stands."""

    words: tuple[str, ...]
    command: click.Command
    context: click.Context

    @property
    def name(self) -> str:
        """The words as they are typed, without `b24pay`."""
        return " ".join(self.words)

    @property
    def acts(self) -> bool:
        """Whether it does something itself: a group that only holds verbs does not."""
        return not isinstance(self.command, click.Group) or self.command.invoke_without_command

    @property
    def options(self) -> list[click.Option]:
        """Its options, without --help."""
        return [each for each in self.command.params if isinstance(each, click.Option)]

    @property
    def flags(self) -> set[str]:
        """Every spelling of its options."""
        return {spelling for option in self.options for spelling in (*option.opts, *option.secondary_opts)}

    @property
    def text(self) -> str:
        """What it does, without the examples."""
        return "\n".join(self._help()[0]).strip()

    @property
    def examples(self) -> list[str]:
        """The lines of its block of examples."""
        return [line.strip() for line in self._help()[1] if line.strip()]

    def _help(self) -> tuple[list[str], list[str]]:
        lines = inspect.cleandoc(self.command.help or "").split("\n")
        at = next((n for n, line in enumerate(lines) if line.strip() in _MARKS), len(lines))
        # The mark that keeps the block's lines as they are stands right above it.
        return [line for line in lines[:at] if line != "\b" or at == len(lines)], lines[at + 1 :]


def verbs() -> Iterator[Verb]:
    """Every command and group below `b24pay`, in the order of its help."""
    yield from _below(b24pay, (), click.Context(b24pay, info_name="b24pay"))


def _below(group: click.Group, words: tuple[str, ...], context: click.Context) -> Iterator[Verb]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        yield Verb((*words, name), command, inner)
        if isinstance(command, click.Group):
            yield from _below(command, (*words, name), inner)


def arguments_of(example: str) -> Sequence[str]:
    """What an example's shell line gives to `b24pay`, up to a pipe, a redirection or a remark in brackets."""
    line = example.partition("    (")[0].removesuffix(")")
    line = line.partition("$(b24pay ")[2] or line
    words = shlex.split(line.replace("$(cat /tmp/worker.node)", "worker@host"))
    words = words[words.index("b24pay") + 1 :] if "b24pay" in words else words
    end = next((n for n, word in enumerate(words) if word in _ENDS), len(words))
    return words[:end]
