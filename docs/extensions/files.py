"""Leads links to files of the checkout, such as ``../benchmarks/README.md``, to the pages that show them."""

import re
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx

PAGES: Final = {
    "benchmarks/README.md": "benchmarks.md",
    "examples/checkout.py": "examples.md#from-a-cart-to-an-order",
    "examples/fleet_shop.py": "examples.md#a-shop-in-several-processes",
    "examples/shop.py": "examples.md#a-shop-on-fastapi",
    "examples/test_shop.py": "examples.md#tests-of-the-shop",
    "examples/worker.py": "examples.md#a-worker",
}
LINK: Final = re.compile(r"\]\(\.\./(?P<path>[\w./-]+)(?P<anchor>#[\w-]+)?\)")


def page_of(link: re.Match[str], root: Path) -> str:
    """Return the link to the page that shows the file; a folder is shown by the page of all examples."""
    path, anchor = link["path"], link["anchor"] or ""
    if path in PAGES:
        return f"]({PAGES[path]}{anchor})"
    return "](examples.md)" if (root / path).is_dir() else link[0]


def rewrite(app: Sphinx, document: str, source: list[str]) -> None:
    """Rewrite the links of one document."""
    source[0] = LINK.sub(lambda link: page_of(link, Path(app.srcdir).parent), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the rule to Sphinx."""
    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
