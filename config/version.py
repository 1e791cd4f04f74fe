"""Which version of b24pay this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def version_of_ours() -> str | None:
    """The installed version; None where b24pay runs from its files and was not installed."""
    try:
        return version("b24pay")
    except PackageNotFoundError:
        return None
