"""The command `b24pay`: every verb is registered here, and every way of ending passes here.

Data goes to stdout, everything else to stderr. An error has a cause, a next step and the contract's exit code; with
`--json` it is one JSON object on stderr.
"""

import gc
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from cli.exits import INTERRUPTED, CommandError, Exit
from cli.output import Output

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Where each verb lives. Loaded at first use: `b24pay --help` and shell completion stay quick.
_VERBS: Final[Mapping[str, tuple[str, str, str]]] = {
    "portal": ("cli.portals", "portal", "Add, invite, list, check, hold, resume and remove portals."),
    "keys": ("cli.keys", "keys", "Seal the stored credentials with a new key."),
    "pay": ("cli.payments", "pay", "Pay one invoice."),
    "import": ("cli.imports", "import_sheet", "Pay the invoices of a CSV file."),
    "status": ("cli.lookups", "status", "Show what became of payments."),
    "list": ("cli.lookups", "list_payments", "List payments."),
    "inspect": ("cli.lookups", "inspect", "Show all that is known about a payment."),
    "stats": ("cli.watching", "stats", "Count payments by portal and state."),
    "watch": ("cli.watching", "watch", "Watch the lanes live."),
    "retry": ("cli.corrections", "retry", "Queue failed payments again."),
    "cancel": ("cli.corrections", "cancel", "Withdraw payments that were not sent."),
    "doubts": ("cli.doubts", "doubts", "See payments in doubt, read them again, decide."),
    "reconcile": ("cli.reconciling", "reconcile", "Compare the ledger with a portal: who says what of ended payments."),
    "callback": ("cli.callbacks", "callback", "Tell others of payments' ends: secrets, what failed, sending again."),
    "parked": ("cli.parked", "parked", "Look at messages that nobody could read."),
    "token": ("cli.tokens", "token", "Make, list and revoke tokens for the HTTP doors."),
    "audit": ("cli.audit", "audit", "See who changed what, when and why."),
    "health": ("cli.health", "health", "Tell whether Redis answers and the workers consume."),
    "doctor": ("cli.doctor", "doctor", "Check settings, Redis and portals."),
    "demo": ("cli.demo", "demo", "See 500 payments travel from a CSV file to two emulated portals."),
    "chaos": ("cli.chaos", "chaos", "Kill workers and Redis under load and compare ledger and portals."),
    "emulator": ("cli.emulating", "emulator", "Run emulated Bitrix24 portals."),
    "completion": ("cli.completion", "completion", "Print the script that makes a shell complete commands."),
}


_GARBAGE_THRESHOLD: Final = 50_000


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in the order a newcomer needs them."""
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, or None; click then suggests."""
        if cmd_name not in _VERBS:
            return None
        module, name, _ = _VERBS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb; a misspelt one is refused with the nearest that there is."""
        if args[0] in _VERBS or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        import difflib

        near = difflib.get_close_matches(args[0], _VERBS, n=2, cutoff=0.5)
        if not near:
            return super().resolve_command(ctx, args)
        meant = " or ".join(map(repr, near))
        raise click.UsageError(f"No such command {args[0]!r}. Did you mean {meant}?", ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[Any]]":
        """The verbs that begin so, and options; without importing the verbs."""
        from click.shell_completion import CompletionItem

        named = [
            CompletionItem(name, help=about) for name, (_, _, about) in _VERBS.items() if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, _, about) in _VERBS.items()])


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="b24pay", prog_name="b24pay")
def b24pay() -> None:
    """Pay Bitrix24 invoices: a durable queue, proven results, nothing lost and nothing paid twice."""


def main() -> None:
    """The console script."""
    # What is imported stays; looking for garbage in it again and again is a tenth of a short command's time.
    gc.set_threshold(_GARBAGE_THRESHOLD)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code; nothing is raised."""
    output = Output(json="--json" in arguments)
    try:
        ended = b24pay.main(list(arguments), prog_name="b24pay", standalone_mode=False)
    except click.UsageError as error:
        return _misused(output, error, arguments)
    except (KeyboardInterrupt, click.Abort):
        output.note("Interrupted. What was accepted stays accepted.")
        return INTERRUPTED
    except BrokenPipeError:
        return Exit.DONE
    except Exception as error:  # noqa: BLE001 - the process edge: every error becomes a text and an exit code
        from cli.failures import explained

        return _failed(output, explained(error))
    return int(ended) if isinstance(ended, int) else Exit.DONE


def _misused(output: Output, error: click.UsageError, arguments: Sequence[str]) -> int:
    from config.redaction import redact

    help_step = f"See `{error.ctx.command_path} --help`." if error.ctx else "See `b24pay --help`."
    if any(redact(word) != word for word in arguments):
        help_step += (
            " A secret does not belong on the command line, where the machine's other users see it: give it on stdin."
        )
    # What was typed may be repeated in the message.
    return _failed(output, CommandError(redact(error.format_message()), help_step, Exit.USAGE))


def _failed(output: Output, error: CommandError) -> int:
    if output.json:
        told = {"error": error.cause, "next_step": error.next_step, "exit_code": int(error.code)}
        output.note(json.dumps(told, ensure_ascii=False))
    else:
        output.note(f"Error: {error.cause}", style="red" if output.live else "")
        output.note(f"Next step: {error.next_step}")
    return int(error.code)
