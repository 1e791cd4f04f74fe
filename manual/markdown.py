"""Small pieces of Markdown, and made sections inside pages that people write."""

import re
from collections.abc import Iterable, Iterator, Sequence

_BEGIN = "<!-- made by `python -m manual`: {} -->"
_END = "<!-- end of what is made -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells may hold any text."""
    return "\n".join(_lines(head, rows))


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(cell(text) for text in row)} |"


def cell(text: str) -> str:
    """A text inside a table's cell."""
    return " ".join(text.replace("|", "\\|").split())


def code(text: str) -> str:
    """A text as code; nothing where there is none."""
    return f"`{text}`" if text else ""


def with_section(page: str, name: str, text: str) -> str:
    """The page with one of its made sections written anew; raises ValueError where it has none of that name."""
    begin = _BEGIN.format(name)
    found = re.compile(f"{re.escape(begin)}\n.*?{re.escape(_END)}", re.DOTALL)
    if len(found.findall(page)) != 1:
        raise ValueError(f"the page has no section {begin!r}, or several")
    return found.sub(lambda _: f"{begin}\n{text.strip()}\n{_END}", page)
