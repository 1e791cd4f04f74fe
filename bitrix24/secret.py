"""A value that must not be seen: it shows as stars wherever objects are printed, logged or formatted."""

from typing import Final, NoReturn

_STARS: Final = "***"


class Secret:
    """A webhook code or token; `reveal()` is the only way to its text, and a search for it finds every use."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; never bind it to a name that outlives the expression."""
        return self._text

    def __repr__(self) -> str:
        return _STARS

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied into messages")
