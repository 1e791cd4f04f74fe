"""A hook of mkdocs: links that leave docs/ lead to a copy of the file in the site, and a dead one fails the build."""

import posixpath
import re
from pathlib import Path
from typing import Any, Final

import mkdocs.plugins
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parent.parent
# Where copies of the repository's files stand in the site.
SOURCE: Final = "source"
_LINK: Final = re.compile(r"(?<!!)\]\((?P<target>\.\./[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
_INNER: Final = re.compile(r"(?<!!)\[(?P<words>[^\]]*)\]\((?P<target>[\w./]+\.md)(?:#[^)\s]*)?\)")
log = mkdocs.plugins.get_plugin_logger(__name__)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out of the navigation what is still being written."""
    missing = {name for name in config.extra["coming"] if not (Path(config.docs_dir) / name).is_file()}
    config.nav = _without(config.nav, missing)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file of the repository that a page links to."""
    linked = {target for file in files.documentation_pages() for target in outside(file.src_uri, file.content_string)}
    for target in sorted(linked):
        if (ROOT / target).is_file():
            files.append(File.generated(config, copy_of(target), abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/ to the copies."""
    here = page.file.src_uri

    def led(match: re.Match[str]) -> str:
        target = resolved(here, match["target"])
        if target is None:
            return match[0]
        if not (ROOT / target).is_file():
            log.warning("%s links to %s, which is no file of the repository", here, target)
        return f"]({posixpath.relpath(copy_of(target), posixpath.dirname(here))})"

    return _LINK.sub(led, _without_coming(markdown, here, config))


def _without_coming(markdown: str, here: str, config: MkDocsConfig) -> str:
    """The page with plain words where it links to what is still being written."""

    def plain(match: re.Match[str]) -> str:
        name = posixpath.normpath(posixpath.join(posixpath.dirname(here), match["target"]))
        missing = name in config.extra["coming"] and not (Path(config.docs_dir) / name).is_file()
        return match["words"] if missing else match[0]

    return _INNER.sub(plain, markdown)


def outside(here: str, text: str) -> set[str]:
    """The files outside docs/ that a page links to, from the repository's root."""
    found = (resolved(here, match["target"]) for match in _LINK.finditer(text))
    return {target for target in found if target is not None}


def resolved(here: str, target: str) -> str | None:
    """Where a link leads, from the repository's root; None where it stays in docs/."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(here), target))
    return None if path.startswith("docs/") else path


def copy_of(target: str) -> str:
    """The copy's place in the site: a text, whatever it is, so that nothing is rendered twice; and no hidden one."""
    shown = re.sub(r"(^|/)[.]", r"\1_", target)
    return f"{SOURCE}/{shown}.txt"


def _without(items: Any, missing: set[str]) -> Any:
    """The navigation (lists of names with a page or a list) without some pages."""
    kept = [item for item in items if not missing & {value for value in item.values() if isinstance(value, str)}]
    return [
        {name: _without(value, missing) if isinstance(value, list) else value for name, value in item.items()}
        for item in kept
    ]
