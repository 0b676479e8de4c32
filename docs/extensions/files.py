"""Leads links to files of the checkout, such as ``../benchmarks/README.md``, to the pages that show them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx

LINK: Final = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\(\.\./(?P<path>[\w./-]+)(?P<anchor>#[\w-]+)?\)")
PAGES: Final = {"benchmarks/README.md": "benchmarks.md"}


def page_of(link: re.Match[str]) -> str:
    """Return the link to the page that shows the file; what no page shows is named, and not linked."""
    text, path, anchor = link["text"], link["path"], link["anchor"] or ""
    if path in PAGES:
        return f"[{text}]({PAGES[path]}{anchor})"
    if path.startswith("examples/"):
        section = re.sub(r"[^a-z0-9_-]", "", path.removeprefix("examples/").lower()) if path.endswith(".py") else ""
        return f"[{text}](examples.md{section and '#'}{section})"
    return text


def examples(folder: Path) -> Iterator[str]:
    """Yield the lines of a section about each example."""
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*.py")]
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        yield from ("", f"## `{path}`", "", f":::{{literalinclude}} ../examples/{path}", ":::")


def rewrite(app: Sphinx, document: str, source: list[str]) -> None:
    """Rewrite the links of one document, and add to the page of examples what is in their folder."""
    if document == "examples":
        source[0] += "\n".join(examples(Path(app.srcdir).parent / "examples")) + "\n"
    source[0] = LINK.sub(page_of, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the rules to Sphinx."""
    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
