"""
What a bearer token looks like: `b24t_<id>_<secret>`.

The prefix makes a token that was pasted somewhere recognizable; `config/redaction.py` knows the form. The id is not a
secret: it finds the row. The secret is 32 random bytes, so a plain SHA-256 of the whole token is enough to store: there
is nothing to guess, and no key that a rotation would have to carry along.
"""

import hashlib
import re
import secrets
from typing import Final

PREFIX: Final = "b24t"
ID: Final = re.compile(r"[0-9a-f]{12}")
_FORM: Final = re.compile(rf"{PREFIX}_(?P<id>[0-9a-f]{{12}})_(?P<secret>[A-Za-z0-9]{{20,128}})")


def new_id() -> str:
    """The id of a new token."""
    return secrets.token_hex(6)


def new_secret() -> str:
    """The secret part of a new token."""
    return secrets.token_hex(32)


def spelled(token_id: str, secret: str) -> str:
    """The token as its bearer has it."""
    return f"{PREFIX}_{token_id}_{secret}"


def id_of(text: str) -> str | None:
    """The id in a text that has a token's form; None for every other text, whatever its length."""
    match = _FORM.fullmatch(text)
    return match["id"] if match else None


def digest(text: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(text.encode()).hexdigest()
