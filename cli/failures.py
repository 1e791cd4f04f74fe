"""What went wrong, in words an operator can act on: the one table from exceptions to causes, next steps, exit codes."""

from typing import TYPE_CHECKING

from cli.exits import CommandError, Exit
from config.advice import advice
from config.errors import ConfigurationError
from config.redaction import redact

if TYPE_CHECKING:
    from bitrix24.errors import PortalError
    from bitrix24.registry import RegistryError


def explained(error: Exception) -> CommandError:
    """The command's end that an exception means; an unknown one is shown by its kind and redacted text."""
    if (written := _of_descriptions(error)) is not None:
        return written
    known = _known(error)
    # What was typed may be repeated in a cause: a webhook in the place of a portal's key, say.
    return CommandError(redact(known.cause), known.next_step, known.code)


def _of_descriptions(error: Exception) -> CommandError | None:
    """Errors that repeat nothing secret but give examples, which must stay readable."""
    if isinstance(error, ConfigurationError):
        return CommandError(str(error), "Mend every line above, then give the command again.", Exit.CONFIGURATION)
    if isinstance(error, CommandError):
        return None
    from bitrix24.portal import InvalidPortal

    if isinstance(error, InvalidPortal):
        cause = f"The portal's description was refused:\n{error}"
        return CommandError(cause, "Mend it; nothing was stored.", Exit.USAGE)
    return None


def _known(error: Exception) -> CommandError:
    if isinstance(error, CommandError):
        return error
    known = (
        _of_server(error)
        or _of_advice(error)
        or _of_redis(error)
        or _of_portals(error)
        or _of_payments(error)
        or _of_tokens(error)
    )
    if known is not None:
        return known
    return CommandError(
        f"Unexpected {type(error).__name__}: {error}",
        "Repeat the command; if it stays, report it together with `b24pay doctor --json`.",
        Exit.TEMPORARY,
    )


def _of_server(error: Exception) -> CommandError | None:
    from cli.embedded import NoEmbeddedServerError

    if isinstance(error, NoEmbeddedServerError):
        return CommandError(str(error), "Set REDIS_URL to a server, or install one.", Exit.UNREACHABLE)
    return None


def _of_advice(error: Exception) -> CommandError | None:
    from redis.exceptions import RedisError

    known = advice(error) if isinstance(error, RedisError) else None
    return None if known is None else CommandError(known.cause, known.next_step, Exit.CONFIGURATION)


def _of_redis(error: Exception) -> CommandError | None:
    from redis import exceptions

    from ledger.redis import UnknownSchema

    if isinstance(error, UnknownSchema):
        return CommandError(str(error), "Use the matching version of b24pay.", Exit.CONFIGURATION)
    if isinstance(error, exceptions.AuthenticationError):
        text = f"Redis refuses the user or password of REDIS_URL ({type(error).__name__})."
        return CommandError(text, "Check user and password in REDIS_URL.", Exit.CONFIGURATION)
    if isinstance(error, exceptions.BusyLoadingError):
        return CommandError("Redis is loading its data.", "Wait a moment and give the command again.", Exit.TEMPORARY)
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
        return CommandError(
            f"Redis cannot be reached ({type(error).__name__}): {error}",
            "Start the server or correct REDIS_URL; `b24pay doctor` shows what is used. Repeating is safe.",
            Exit.UNREACHABLE,
        )
    if isinstance(error, exceptions.RedisError):
        return CommandError(
            f"Redis refused a step: {error}",
            "See `b24pay doctor`; when the server is mended, repeat the command.",
            Exit.TEMPORARY,
        )
    return None


def _of_portals(error: Exception) -> CommandError | None:
    from bitrix24.errors import PortalError
    from bitrix24.registry import RegistryError

    if isinstance(error, RegistryError):
        return _of_registry(error)
    return _of_answers(error) if isinstance(error, PortalError) else None


def _of_registry(error: "RegistryError") -> CommandError:
    from bitrix24.registry import CannotDecrypt, PortalExists, PortalRemembered, SecretKeyMissing

    step, code = "See `b24pay portal list`.", Exit.REFUSED
    if isinstance(error, SecretKeyMissing):
        step = "Set B24PAY_SECRET_KEYS to the keys that the workers use; .env.example says how a first one is made."
        code = Exit.CONFIGURATION
    elif isinstance(error, CannotDecrypt):
        step = "Set B24PAY_SECRET_KEYS to all keys that are in use, the newest first; `b24pay doctor` looks again."
        code = Exit.CONFIGURATION
    elif isinstance(error, PortalRemembered):
        step = (
            "Otherwise an invoice that was paid could be paid again. The same portal under a new address: add --moved."
        )
    elif isinstance(error, PortalExists):
        step = "See `b24pay portal list`. The same portal under a new address: add --moved."
    return CommandError(_sentence(str(error)), step, code)


def _of_answers(error: "PortalError") -> CommandError:
    from bitrix24.errors import NoAnswer, NotSent

    told = answer_of(error)
    if isinstance(error, NotSent | NoAnswer):
        return CommandError(f"The portal did not answer: {told}.", "Check its address and try again.", Exit.UNREACHABLE)
    return CommandError(f"The portal refused: {told}.", error.meaning.remedy or "Check the webhook and its rights.")


def answer_of(error: "PortalError") -> str:
    """A portal's answer as people read it: the code where there is one, and the text."""
    return ": ".join(part.rstrip(".") for part in (error.code, error.text) if part)


def _of_payments(error: Exception) -> CommandError | None:
    from ledger.ledger import LaneNotEmpty
    from tasks.errors import InvalidPayment

    if isinstance(error, LaneNotEmpty):
        cause = _sentence(str(error).partition(" Next step:")[0])
        return CommandError(cause, "See them with `b24pay list`; let them end, or cancel them.")
    if isinstance(error, InvalidPayment):
        return CommandError(str(error), "Nothing was accepted; correct the request and give it again.")
    return None


def _of_tokens(error: Exception) -> CommandError | None:
    from access.tokens import TokenError, TokenExists

    if isinstance(error, TokenExists):
        return CommandError(_sentence(str(error)), "Choose another name, or revoke that one: `b24pay token revoke`.")
    if isinstance(error, TokenError):
        return CommandError(_sentence(str(error)), "See `b24pay token list`.")
    return None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
