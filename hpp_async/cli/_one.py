"""The commands for one session: create, read, wait and disable."""

from __future__ import annotations

import asyncio
import shlex
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from hpp_async import FINAL, OUTCOME, Completed
from hpp_async.cli import _options as options
from hpp_async.cli._cart import doubts
from hpp_async.cli._clients import client_of, id_of
from hpp_async.cli._exits import ALREADY_PAID, exit_code
from hpp_async.cli._flags import cart_of, naming_flags, with_flags
from hpp_async.cli._follow import follow
from hpp_async.cli._options import (
    EndpointOption,
    EveryOption,
    FinalOption,
    JSONOption,
    SessionArgument,
    ShowTokenOption,
    VerboseOption,
)
from hpp_async.cli._process import exiting, resumable
from hpp_async.cli._terminal import view_of
from hpp_async.cli._views import print_created, print_disabled, print_reading
from hpp_async.cli._words import say


@with_flags
def create(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The cart, in TOML or JSON.")] = None,
    *,
    opens: Annotated[bool, typer.Option("--open", help="Open the payment page in a browser.")] = False,
    endpoint: EndpointOption = None,
    as_json: JSONOption = False,
    verbose: VerboseOption = 0,
    **flags: object,
) -> None:
    """Create a session of the payment page."""
    with exiting(verbose):
        with naming_flags(flags):
            cart = cart_of(file, flags)
        for remark in doubts(cart.order) if file is not None else doubts(cart.order, "--tax-rate"):
            say(remark)
        client = client_of(endpoint)

        async def create_session() -> None:
            async with client:
                client.check_creation(
                    merchant_urls=cart.merchant_urls, options=cart.options, profile_id=cart.profile_id
                )
                created = await client.create_session(
                    await client.create_payment_session(cart.order),
                    merchant_urls=cart.merchant_urls,
                    options=cart.options,
                    profile_id=cart.profile_id,
                )
            print_created(created, as_json=as_json)
            if opens:
                _open(created.redirect_url)

        with naming_flags(flags):
            asyncio.run(create_session())


def _open(url: str | None) -> None:
    # A browser takes other things than pages, too, and this text came over the network.
    if url is None or not url.startswith(("https://", "http://")) or not webbrowser.open(url):
        say("no browser could be opened: open the redirect_url yourself")


def read(
    session: SessionArgument,
    *,
    endpoint: EndpointOption = None,
    as_json: JSONOption = False,
    show_token: ShowTokenOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Read a session once."""
    with exiting(verbose):
        client = client_of(endpoint)

        async def read_session() -> None:
            async with client:
                reading = await client.read_session(session)
            print_reading(reading, show_token=show_token, as_json=as_json)

        asyncio.run(read_session())


def wait(
    session: SessionArgument,
    *,
    endpoint: EndpointOption = None,
    final: FinalOption = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Stop waiting after this time; the session stays open.", callback=options.timeout
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Continue the wait that printed this token.", callback=options.token),
    ] = None,
    every: EveryOption = None,
    as_json: JSONOption = False,
    show_token: ShowTokenOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Wait until a session has an outcome."""
    with exiting(verbose):
        view = view_of(as_json=as_json, show_token=show_token)
        client = client_of(endpoint, every, view.observe)
        options.check_session(since, id_of(session, client))
        stop_on = FINAL if final else OUTCOME
        waiting = client.wait_for_outcome(session, stop_on=stop_on, timeout=timeout, since=since)
        given = {"--endpoint": endpoint, "--final": final, "--timeout": timeout, "--every": every}
        given |= {"--json": as_json, "--show-token": show_token}
        with resumable(waiting, lambda token: _command(session, given | {"--since": token})):
            raise typer.Exit(exit_code(asyncio.run(follow(client, waiting, view))))


def _command(session: str, given: Mapping[str, object]) -> str:
    return shlex.join(["hpp-async", "wait", session, *options.words(given)])


def disable(
    session: SessionArgument,
    *,
    endpoint: EndpointOption = None,
    as_json: JSONOption = False,
    show_token: ShowTokenOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Disable a session."""
    with exiting(verbose):
        client = client_of(endpoint)

        session_id = id_of(session, client)

        async def disable_session() -> int:
            async with client:
                outcome = await client.disable_session(session)
            print_disabled(session_id, outcome, show_token=show_token, as_json=as_json)
            return ALREADY_PAID if isinstance(outcome, Completed) else 0

        raise typer.Exit(asyncio.run(disable_session()))
