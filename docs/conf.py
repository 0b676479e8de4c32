"""The site. `nox -s site` builds it: without a network, and with warnings as errors."""

import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

from hpp_async import __version__  # noqa: E402 - the other lines are Sphinx's settings, by the names that it reads

project = "hpp_async"
author = "hpp_async developers"
copyright = author  # noqa: A001 - the name that Sphinx reads
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "files",
    "generated",
    "linked",
    "public_names",
]
exclude_patterns = ["inventories", "observability"]

# -- pages in Markdown
myst_enable_extensions = ["colon_fence", "html_image"]
myst_heading_anchors = 3

# -- docstrings: `name` is a reference, ``code`` is code, and *name* is an argument
smartquotes_action = "D"  # dashes alone
default_role = "py:obj"
napoleon_use_ivar = False  # attributes can be referred to
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 90

# -- references
nitpicky = True
nitpick_ignore_regex = [
    # Their sites have no inventory.
    ("py:.*", r"(httpx|httpx2|prometheus_client|respx|starlette)\..*"),
    # The arguments of HPPClient, which HPPClient.from_env takes, too.
    ("py:class", r"(hpp_async\._client\.)?ClientOptions"),
    # A type variable: the store's own transaction.
    ("py:(class|obj)", r"(hpp_async\.fleet\._store\.)?Tx"),
    # What only the library's own stores and tests deal with.
    ("py:class", r"hpp_async\.fleet\._(store\.Ownership|lease\.Lease|sqlite\.SQLiteCursor)"),
    ("py:class", r"hpp_async\.simulator\._journal\.Journal|Payments|Visitor"),
    # Two explanations are the docstrings of private modules.
    ("py:obj", r"hpp_async\._core\.(budget|token_bucket)|Turn"),
    # Sphinx splits the types of attributes at their commas.
    ("py:class", r"collections\.abc\.Callable\[\[\]"),
]

_HOMES: Final = {
    "anyio": "https://anyio.readthedocs.io/en/stable",
    "opentelemetry": "https://opentelemetry-python.readthedocs.io/en/latest",
    "psycopg": "https://www.psycopg.org/psycopg3/docs",
    "python": "https://docs.python.org/3",
}
# The inventories are texts (version 1 of the format), and have the names alone that are referred to.
intersphinx_mapping = {name: (home, str(HERE / "inventories" / f"{name}.txt")) for name, home in _HOMES.items()}

html_theme = "furo"
html_theme_options = {
    # Lines of 100 characters fit, and a button copies the commands without their prompts.
    name: {"code-font-size": "var(--font-size--small--3)"}
    for name in ("light_css_variables", "dark_css_variables")
}
copybutton_prompt_text = "$ "
html_title = f"hpp_async {version}"
