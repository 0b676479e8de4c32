"""Describes the commands, the metrics and the fixtures from the code that makes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import typer.main
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from hpp_async.cli._app import app as program
from hpp_async.instrumentation._metrics import METRICS, Kind

PLUGIN: Final = Path(__file__).parents[2] / "hpp_async" / "testing" / "pytest_plugin.py"
MARKUP: Final = re.compile(r"([\\*`|_]|--)")


def _escaped(text: str) -> str:
    return MARKUP.sub(r"\\\1", text)


# -- the commands --------------------------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    """Return the commands of the program by their names; those of a group, as ``fleet status``, after it."""
    found: dict[str, Any] = {}
    group: Any = typer.main.get_command(program)
    for name, command in group.commands.items():
        found[name] = command
        found |= {f"{name} {inner}": of_group for inner, of_group in getattr(command, "commands", {}).items()}
    return found


def of_help(text: str) -> Iterator[str]:
    """Yield the lines of a help text: what is indented is shown as it is, and the rest is paragraphs."""
    lines = text.replace("\\[", "[").splitlines()
    for is_shown, run in groupby(lines, key=lambda line: line.startswith("  ")):
        if is_shown:
            yield from ("", ".. code-block:: text", "", *run, "")
        else:
            yield from map(_escaped, run)


def of_command(name: str, command: Any) -> Iterator[str]:
    """Yield the lines of the section about one command."""
    title = f"hpp-async {name}"
    yield from (title, "-" * len(title), "")
    yield from of_help(command.help)
    yield ""
    for parameter in command.params:
        words = ", ".join(parameter.opts) if parameter.param_type_name == "option" else ""
        takes = parameter.metavar if words or parameter.metavar else parameter.name.upper()
        yield from (f"``{' '.join(filter(None, (words, takes)))}``", f"    {_escaped(parameter.help or '')}", "")


class Commands(SphinxDirective):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        lines = [line for name, command in commands().items() for line in of_command(name, command)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


# -- the metrics ---------------------------------------------------------------------------------------------------

KINDS: Final = {Kind.HISTOGRAM: "histogram", Kind.COUNTER: "counter", Kind.UP_DOWN: "gauge"}


def of_metrics() -> Iterator[str]:
    """Yield the lines of a definition list."""
    for metric in METRICS:
        yield f"``{metric.name}`` ({KINDS[metric.kind]}, ``{metric.unit}``)"
        yield f"    {metric.description}"
        if metric.attributes:
            yield from ("", f"    Attributes: {', '.join(f'``{name}``' for name in metric.attributes)}.")
        if metric.buckets:
            yield from ("", f"    Buckets up to {', '.join(f'{bound:g}' for bound in metric.buckets)}.")
        yield ""


class Metrics(SphinxDirective):
    """A definition for each metric."""

    def run(self) -> list[nodes.Node]:
        """Return the definitions."""
        return self.parse_text_to_nodes("\n".join(of_metrics()))


# -- the fixtures --------------------------------------------------------------------------------------------------


def fixtures() -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the fixtures of the pytest plugin by their names, from its source: pytest makes other objects of them."""
    functions = [
        node
        for node in ast.parse(PLUGIN.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {
        function.name: function
        for function in functions
        if not function.name.startswith("_") and "pytest.fixture" in map(ast.unparse, function.decorator_list)
    }


def of_fixtures() -> Iterator[str]:
    """Yield the lines of a description of each fixture."""
    for name, function in fixtures().items():
        gives = re.sub(r"^(?:Async)?Generator\[(.*)\]$", r"\1", ast.unparse(function.returns or ast.Constant(None)))
        yield from (f".. py:data:: {name}", f"   :type: {gives}", "")
        yield from (f"   {line}" for line in (ast.get_docstring(function) or "").splitlines())
        yield ""


class Fixtures(SphinxDirective):
    """A description of each fixture."""

    def run(self) -> list[nodes.Node]:
        """Return the descriptions."""
        return self.parse_text_to_nodes("\n".join(of_fixtures()))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives to Sphinx."""
    app.add_directive("hpp-commands", Commands)
    app.add_directive("hpp-metrics", Metrics)
    app.add_directive("hpp-fixtures", Fixtures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
