"""What went wrong, in words an operator can act on: the one table from exceptions to causes, next steps, exit codes."""

from cli.exits import CommandError, Exit
from config.errors import ConfigurationError
from config.redaction import redact


def explained(error: Exception) -> CommandError:
    """The command's end that an exception means; an unknown one is shown by its kind and redacted text."""
    if isinstance(error, CommandError):
        return error
    known = _of_settings(error) or _of_redis(error) or _of_portals(error) or _of_payments(error)
    if known is not None:
        return known
    return CommandError(
        f"Unexpected {type(error).__name__}: {redact(str(error))}",
        "Repeat the command; if it stays, report it together with `b24pay doctor --json`.",
        Exit.TEMPORARY,
    )


def _of_settings(error: Exception) -> CommandError | None:
    from cli.embedded import NoEmbeddedServerError

    if isinstance(error, ConfigurationError):
        return CommandError(str(error), "Mend every line above, then give the command again.", Exit.CONFIGURATION)
    if isinstance(error, NoEmbeddedServerError):
        return CommandError(str(error), "Set REDIS_URL to a server, or install one.", Exit.UNREACHABLE)
    return None


def _of_redis(error: Exception) -> CommandError | None:
    from redis import exceptions

    from ledger.redis import UnknownSchema

    if isinstance(error, UnknownSchema):
        return CommandError(str(error), "Use the matching version of b24pay.", Exit.CONFIGURATION)
    if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
        text = f"Redis refuses the user or password of REDIS_URL ({type(error).__name__})."
        return CommandError(text, "Check user, password and permissions in REDIS_URL.", Exit.CONFIGURATION)
    if isinstance(error, exceptions.BusyLoadingError):
        return CommandError("Redis is loading its data.", "Wait a moment and give the command again.", Exit.TEMPORARY)
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
        return CommandError(
            f"Redis cannot be reached ({type(error).__name__}): {redact(str(error))}",
            "Start the server or correct REDIS_URL; `b24pay doctor` shows what is used. Repeating is safe.",
            Exit.UNREACHABLE,
        )
    if isinstance(error, exceptions.RedisError):
        return CommandError(
            f"Redis refused a step: {redact(str(error))}",
            "See `b24pay doctor`; when the server is mended, repeat the command.",
            Exit.TEMPORARY,
        )
    return None


def _of_portals(error: Exception) -> CommandError | None:
    from bitrix24.errors import NoAnswer, NotSent, PortalError
    from bitrix24.portal import InvalidPortal
    from bitrix24.registry import CannotDecrypt, RegistryError, SecretKeyMissing

    if isinstance(error, InvalidPortal):
        return CommandError(f"The portal's description was refused:\n{error}", "Mend it; nothing was stored.")
    if isinstance(error, SecretKeyMissing | CannotDecrypt):
        step = "Set B24PAY_SECRET_KEYS to the keys that the workers use."
        return CommandError(_sentence(str(error)), step, Exit.CONFIGURATION)
    if isinstance(error, RegistryError):
        return CommandError(_sentence(str(error)), "See `b24pay portal list`.")
    if isinstance(error, NotSent | NoAnswer):
        return CommandError(f"The portal did not answer: {error}", "Check its address and try again.", Exit.UNREACHABLE)
    if isinstance(error, PortalError):
        return CommandError(f"The portal refused: {error}", error.meaning.remedy or "Check the webhook and its rights.")
    return None


def _of_payments(error: Exception) -> CommandError | None:
    from ledger.ledger import LaneNotEmpty
    from tasks.errors import InvalidPayment

    if isinstance(error, LaneNotEmpty):
        return CommandError(str(error), "Let its payments end, or cancel them: `b24pay list --portal KEY`.")
    if isinstance(error, InvalidPayment):
        return CommandError(str(error), "Nothing was accepted; correct the request and give it again.")
    return None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
