"""The commands for many sessions: watch and listen."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from hpp_async import FINAL, OUTCOME
from hpp_async.cli import _options as options
from hpp_async.cli._clients import client_of, id_of
from hpp_async.cli._forwarding import MARK, Forwarder, origin_of
from hpp_async.cli._lines import Lines
from hpp_async.cli._listen import Listening
from hpp_async.cli._options import EndpointOption, EveryOption, FinalOption, JSONOption, VerboseOption
from hpp_async.cli._process import continuable, exiting
from hpp_async.cli._watch import Watching, named
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
        given = options.words({"--endpoint": endpoint, "--final": final, "--every": every})
        with continuable(lambda: watching.command(given)):
            raise typer.Exit(asyncio.run(watching.run(client, stop_on=FINAL if final else OUTCOME)))


def listen(
    sessions: Annotated[
        list[str] | None,
        typer.Argument(metavar="SESSION", help="Session ids, session_urls or tokens; else standard input has them."),
    ] = None,
    *,
    forward_to: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Post to this URL; {{session_id}} in it is replaced.", callback=options.forward_to
        ),
    ],
    endpoint: EndpointOption = None,
    every: EveryOption = None,
    as_json: JSONOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Post the status callbacks of sessions to a URL of the user's own."""
    with exiting(verbose):
        client = client_of(endpoint, every)

        def known(session: str) -> str:
            return id_of(session, client)

        named_sessions = dict(named(session, known) for session in sessions or ())
        lines = Lines(None) if sessions else _standard_input()
        given = {"--forward-to": forward_to, "--endpoint": endpoint, "--every": every, "--json": as_json}

        listening = Listening(lines, known, named_sessions, forwarder=Forwarder(forward_to), as_json=as_json)
        say(f"callbacks go to {origin_of(forward_to)}, with the header {MARK}; Ctrl-C ends this")
        with continuable(lambda: listening.command(options.words(given))):
            raise typer.Exit(asyncio.run(listening.run(client, stop_on=FINAL)))


def _standard_input() -> Lines:
    if sys.stdin is not None and sys.stdin.isatty():
        say("type session ids or tokens, one a line, and then Ctrl-D")
    return Lines(sys.stdin)
