"""Leads from a name in the text of a page to its place in the reference, and from a docstring to the page it names."""

from __future__ import annotations

import re
from typing import Any, Final

from docutils import nodes
from public_names import public_names
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

import hpp_async

NAME: Final = re.compile(r"(?P<name>[A-Za-z]\w+)(?:\.(?P<member>\w+))?(?:\(.*\))?")
PAGE: Final = re.compile(r"\bdocs/([\w-]+)\.md\b|\bbenchmarks/README\.md\b")
VARIABLES: Final[dict[str, type]] = {
    "client": hpp_async.HPPClient,
    "wait": hpp_async.OutcomeWait,
    "watch": hpp_async.Watch,
}
"""What the pages call an object of these classes."""


def target_of(text: str) -> str | None:
    """Return the full name of what *text* names, such as ``WaitTimeoutError`` or ``client.notify(session)``."""
    found = NAME.fullmatch(text)
    if found is None:
        return None
    name, member = found.group("name", "member")
    if name in VARIABLES and member is not None:
        owner = VARIABLES[name]
        is_public = callable(getattr(owner, member, None)) and not member.startswith("_")
        return f"hpp_async.{owner.__name__}.{member}" if is_public else None
    if not name[0].isupper() or name not in public_names():
        return None
    return public_names()[name]


class Links(SphinxTransform):
    """Makes references of the names that stand as code in the text of a page."""

    default_priority = 50

    def apply(self, **kwargs: Any) -> None:
        """Wrap each name in a reference."""
        if self.env.docname.startswith("reference/"):
            return  # where names are references already
        for literal in list(self.document.findall(nodes.literal)):
            target = target_of(literal.astext())
            if target is None or isinstance(literal.parent, nodes.title | nodes.reference | addnodes.pending_xref):
                continue
            reference = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refdoc=self.env.docname
            )
            literal.replace_self(reference)
            reference += literal


def link_pages(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Make links of the files that a docstring names."""
    lines[:] = [PAGE.sub(lambda page: f":doc:`/{page[1] or 'benchmarks'}`", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both to Sphinx."""
    app.add_transform(Links)
    app.connect("autodoc-process-docstring", link_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
