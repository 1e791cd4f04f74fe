"""`b24pay completion`: the script by which a shell completes verbs, options and their values."""

import click

from cli.exits import Exit
from cli.output import Output, speaks

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@speaks
def completion(output: Output, shell: str) -> int:
    """Print the script that makes a shell complete verbs, options and their values.

    bash needs version 4.4 or newer. Nothing is asked of Redis while a line is completed.

    \b
    Examples:
      b24pay completion bash > ~/.local/share/bash-completion/completions/b24pay
      b24pay completion zsh > ~/.zfunc/_b24pay
      b24pay completion fish > ~/.config/fish/completions/b24pay.fish
    """
    text = script_for(shell)
    output.data({"shell": shell, "script": text}, text.rstrip("\n"))
    return Exit.DONE


def script_for(shell: str) -> str:
    """The script itself; click answers what it asks, through the variable that it sets."""
    from click.shell_completion import ShellComplete, get_completion_class

    from cli.main import b24pay

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    # Not the class's own `source`: for bash that starts one to ask for its version, which may be another machine's.
    return ShellComplete.source(kind(b24pay, {}, "b24pay", "_B24PAY_COMPLETE"))
