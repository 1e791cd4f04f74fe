"""Write every made file of docs/ anew: `python -m manual`. With `--check`: tell which are stale, and write nothing."""

import sys

from manual.pages import DOCS, MADE, files, stale


def main() -> None:
    """Write all, and drop pages of what is gone."""
    if "--check" in sys.argv:
        old = stale()
        sys.exit(f"Stale: {', '.join(old)}. Run `make pages`." if old else 0)
    made = files()
    for pattern in MADE:
        for path in DOCS.glob(pattern):
            if path.relative_to(DOCS).as_posix() not in made:
                path.unlink()
    for name, text in made.items():
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")
    sys.stderr.write(f"{len(made)} files of docs/ are written.\n")


if __name__ == "__main__":
    main()
