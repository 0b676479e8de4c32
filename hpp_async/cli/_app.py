"""The program: its commands by their names."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup, TyperOption

from hpp_async import __version__
from hpp_async.cli import _help as texts
from hpp_async.cli._fleet import retry, status
from hpp_async.cli._local import act, demo, simulate
from hpp_async.cli._many import listen, watch
from hpp_async.cli._one import create, disable, read, wait

T = TypeVar("T")


def _as_flags(parameters: list[T]) -> list[T]:
    """Let the help show flags as flags: Typer would show each with a type, as if it took a value."""
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and (parameter.is_flag or parameter.count):
            parameter.metavar = ""
    return parameters


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _as_flags(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _as_flags(super().get_params(ctx))


app = typer.Typer(
    cls=_Group,
    help=texts.ABOUT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show locals, and those hold credentials
)

for command, text in (
    (read, texts.READ),
    (wait, texts.WAIT),
    (create, texts.CREATE),
    (disable, texts.DISABLE),
    (watch, texts.WATCH),
    (listen, texts.LISTEN),
    (demo, texts.DEMO),
    (simulate, texts.SIMULATE),
    (act, texts.ACT),
):
    app.command(cls=_Command, help=text)(command)

fleet = typer.Typer(cls=_Group, help=texts.FLEET, no_args_is_help=True)
fleet.command(cls=_Command, help=texts.STATUS)(status)
fleet.command(cls=_Command, help=texts.RETRY)(retry)
app.add_typer(fleet, name="fleet")


def run(args: Sequence[str] | None) -> None:
    """Run the command that *args* name, and exit."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # A status that the terminal cannot encode must not end a wait, and no line of input the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    typer.main.get_command(app).main(args=args, prog_name="hpp-async")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"hpp-async {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass
