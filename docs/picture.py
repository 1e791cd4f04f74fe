"""Draw the README's picture: run `b24pay demo` and keep what the terminal shows at the end (docs/demo.svg).

.venv/bin/python docs/picture.py
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 110
# Cursor up, erase line, show or hide the cursor: all that a progress display needs besides colours.
MOVES = re.compile(r"\x1b\[(\d*)A|\x1b\[2K|\x1b\[\?25[lh]|\r|\n|((?:\x1b\[[\d;]*m|[^\x1b\r\n])+)")


def last_screen(output: str) -> list[str]:
    """The lines that stay on the screen after all moves of the cursor."""
    lines, row = [""], 0
    for move in MOVES.finditer(output):
        if move[0] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif move[0].endswith("A"):
            row = max(0, row - int(move[1] or 1))
        elif move[0] == "\x1b[2K":
            lines[row] = ""
        elif move[2]:
            lines[row] += move[2]
    return lines


def main() -> None:
    """Run the demo and write the picture."""
    command = [str(Path(sys.executable).parent / "b24pay"), "demo"]
    environ = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    run = subprocess.run(  # noqa: S603 - our own command
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH + 4, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi("\n".join(["$ make demo", *last_screen(run.stdout.decode())])))
        svg = console.export_svg(title="b24pay")
    # The reader's own fixed-width font will do: a picture loads nothing from outside.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace")
    (Path(__file__).parent / "demo.svg").write_text(svg)


if __name__ == "__main__":
    main()
