"""The commands for many sessions: watch."""

from __future__ import annotations

import asyncio
import sys

import typer

from hpp_async import FINAL, OUTCOME
from hpp_async.cli._clients import client_of, id_of
from hpp_async.cli._lines import Lines
from hpp_async.cli._options import EndpointOption, EveryOption, FinalOption, VerboseOption, words
from hpp_async.cli._process import continuable, exiting
from hpp_async.cli._watch import Watching
from hpp_async.cli._words import say


def watch(
    *,
    endpoint: EndpointOption = None,
    final: FinalOption = False,
    every: EveryOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Watch the sessions that standard input names."""
    with exiting(verbose):
        client = client_of(endpoint, every)
        watching = Watching(_standard_input(), lambda session: id_of(session, client))
        options = words({"--endpoint": endpoint, "--final": final, "--every": every})
        with continuable(lambda: watching.command(options)):
            raise typer.Exit(asyncio.run(watching.run(client, stop_on=FINAL if final else OUTCOME)))


def _standard_input() -> Lines:
    if sys.stdin is not None and sys.stdin.isatty():
        say("type session ids or tokens, one a line, and then Ctrl-D")
    return Lines(sys.stdin)
