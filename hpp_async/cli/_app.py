"""The commands and their options."""

from __future__ import annotations

import asyncio
import io
import os
import shlex
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import anyio
import attrs
import typer
import typer.main
from rich.console import Console

from hpp_async import (
    FINAL,
    OUTCOME,
    Completed,
    ConfigurationError,
    Endpoint,
    HPPClient,
    Observer,
    PollSchedule,
    __version__,
)
from hpp_async._provider.scripts import script_of
from hpp_async.cli import _options
from hpp_async.cli._cart import load, of_flags
from hpp_async.cli._exits import ALREADY_PAID, exit_code
from hpp_async.cli._follow import follow
from hpp_async.cli._help import ABOUT, CREATE, DEMO, DISABLE, EXAMPLE, EXPOSED, READ, SIMULATE, WAIT, WATCH
from hpp_async.cli._process import continuable, exiting, needing_simulator, resumable
from hpp_async.cli._terminal import TerminalView
from hpp_async.cli._views import JSONView, PlainView, View, print_created, print_disabled, print_reading
from hpp_async.cli._watch import Watching, named
from hpp_async.cli._words import say
from hpp_async.testing import Consumer, Scenario

app = typer.Typer(
    help=ABOUT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show locals, and those hold credentials
)

SessionArgument = Annotated[str, typer.Argument(metavar="SESSION", help="A session id, or a session_url.")]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|URL",
        help="Use this endpoint, not HPP_ENDPOINT.",
        autocompletion=lambda: list(Endpoint.__members__),
    ),
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ShowTokenOption = Annotated[
    bool, typer.Option("--show-token", help="Print the authorization token, too. It is a secret.")
]
FinalOption = Annotated[bool, typer.Option("--final", help="Do not stop at FAILED and ERROR: the consumer can retry.")]
EveryOption = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="Read at this interval, not by the default schedule.", callback=_options.interval
    ),
]
ConsumerOption = Annotated[Consumer, typer.Option(metavar="NAME", help="Who visits the session.")]
SpeedOption = Annotated[
    float, typer.Option(min=0.01, max=1000, metavar="FACTOR", help="The visit's speed; 2 is twice a person's.")
]
VerboseOption = Annotated[
    int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Log to stderr; -vv logs more.")
]


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


@app.command(help=READ)
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
        client = _client(endpoint)

        async def read_session() -> None:
            async with client:
                reading = await client.read_session(session)
            print_reading(reading, show_token=show_token, as_json=as_json)

        asyncio.run(read_session())


@app.command(help=WAIT)
def wait(
    session: SessionArgument,
    *,
    endpoint: EndpointOption = None,
    final: FinalOption = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Stop waiting after this time; the session stays open.", callback=_options.timeout
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Continue the wait that printed this token.", callback=_options.token),
    ] = None,
    every: EveryOption = None,
    as_json: JSONOption = False,
    show_token: ShowTokenOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Wait until a session has an outcome."""
    with exiting(verbose):
        view = _view(as_json=as_json, show_token=show_token)
        client = _client(endpoint, every, view.observe)
        _options.check_session(since, _id_of(session, client))
        stop_on = FINAL if final else OUTCOME
        waiting = client.wait_for_outcome(session, stop_on=stop_on, timeout=timeout, since=since)
        options = {"--endpoint": endpoint, "--final": final, "--timeout": timeout, "--every": every}
        options |= {"--json": as_json, "--show-token": show_token}
        with resumable(waiting, lambda token: _command(session, options | {"--since": token})):
            raise typer.Exit(exit_code(asyncio.run(follow(client, waiting, view))))


@app.command(help=CREATE)
def create(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The cart, in TOML or JSON.")] = None,
    *,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What is bought.")] = None,
    price: Annotated[int | None, typer.Option(metavar="AMOUNT", help="Of one, in minor units: 1999 is 19.99.")] = None,
    quantity: Annotated[int | None, typer.Option(metavar="NUMBER", help="How many.", show_default="1")] = None,
    tax_rate: Annotated[
        int | None, typer.Option(metavar="RATE", help="In hundredths of a per cent: 2500 is 25 %.")
    ] = None,
    country: Annotated[str | None, typer.Option(metavar="CODE", help="Such as SE.")] = None,
    currency: Annotated[str | None, typer.Option(metavar="CODE", help="Such as SEK.")] = None,
    locale: Annotated[str | None, typer.Option(metavar="LOCALE", help="Of the consumer, such as sv-SE.")] = None,
    opens: Annotated[bool, typer.Option("--open", help="Open the payment page in a browser.")] = False,
    endpoint: EndpointOption = None,
    as_json: JSONOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Create a session of the payment page."""
    with exiting(verbose):
        if file is not None:
            if {name, price, quantity, tax_rate, country, currency, locale} != {None}:
                raise ConfigurationError("give a FILE or the options of one line, not both")
            cart = load(file)
        elif name is None or price is None or country is None or currency is None:
            raise ConfigurationError("give a FILE, or all of --name, --price, --country and --currency")
        else:
            cart = of_flags(
                name=name,
                price=price,
                quantity=1 if quantity is None else quantity,
                tax_rate=tax_rate,
                country=country,
                currency=currency,
                locale=locale,
            )
        client = _client(endpoint)

        async def create_session() -> None:
            async with client:
                created = await client.create_session(
                    await client.create_payment_session(cart.order),
                    merchant_urls=cart.merchant_urls,
                    options=cart.options,
                    profile_id=cart.profile_id,
                )
            print_created(created, as_json=as_json)
            if opens:
                _open(created.redirect_url)

        asyncio.run(create_session())


def _open(url: str | None) -> None:
    # A browser takes other things than pages, too, and this text came over the network.
    if url is None or not url.startswith(("https://", "http://")) or not webbrowser.open(url):
        say("no browser could be opened: open the redirect_url yourself")


@app.command(help=DISABLE)
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
        client = _client(endpoint)

        session_id = _id_of(session, client)

        async def disable_session() -> int:
            async with client:
                outcome = await client.disable_session(session)
            print_disabled(session_id, outcome, show_token=show_token, as_json=as_json)
            return ALREADY_PAID if isinstance(outcome, Completed) else 0

        raise typer.Exit(asyncio.run(disable_session()))


@app.command(help=WATCH)
def watch(
    *,
    endpoint: EndpointOption = None,
    final: FinalOption = False,
    every: EveryOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Watch the sessions that standard input names."""
    with exiting(verbose):
        client = _client(endpoint, every)
        if sys.stdin.isatty():
            say("type session ids or tokens, one a line, and then Ctrl-D")
        watching = Watching(named(sys.stdin, lambda session: _id_of(session, client)))
        options = _words({"--endpoint": endpoint, "--final": final, "--every": every})
        with continuable(lambda: watching.command(options)):
            raise typer.Exit(asyncio.run(watching.run(client, stop_on=FINAL if final else OUTCOME)))


@app.command(help=DEMO)
def demo(
    *,
    consumer: ConsumerOption = Consumer.PAY,
    speed: SpeedOption = 1.0,
    final: FinalOption = False,
    as_json: JSONOption = False,
    show_token: ShowTokenOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Watch a wait."""
    with exiting(verbose):
        with needing_simulator():
            from hpp_async.cli._demo import demonstrate  # noqa: PLC0415 - an extra
        view = _view(as_json=as_json, show_token=show_token)
        raise typer.Exit(exit_code(demonstrate(consumer, speed, stop_on=FINAL if final else OUTCOME, view=view)))


@app.command(help=SIMULATE)
def simulate(
    *,
    host: Annotated[
        str, typer.Option(help="Listen on this loopback address, or on 0.0.0.0 in a container.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes any free one.")] = 8888,
    consumer: Annotated[
        Consumer | None, typer.Option(metavar="NAME", help="Who visits the sessions.", show_default="pay")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1000, metavar="FACTOR", help="The visits' speed; 2 is twice a person's.", show_default="1"
        ),
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Consumers, sessions and faults, in TOML.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep sessions and orders in this file, and go on with them.")
    ] = None,
    verbose: VerboseOption = 0,
) -> None:
    """Run a simulated provider."""
    with exiting(verbose):
        with needing_simulator():
            from hpp_async.cli._demo import AUTH  # noqa: PLC0415 - an extra
            from hpp_async.simulator import Calendar, is_on_all_addresses, serve  # noqa: PLC0415 - an extra
        plan = Scenario() if scenario is None else Scenario.load(scenario)
        if consumer is not None:
            plan = attrs.evolve(plan, visitor=consumer)
        provider = plan.provider(now=Calendar(), auth=AUTH, speed=speed)
        with suppress(KeyboardInterrupt), serve(provider, host=host, port=port, state=state) as url:
            if is_on_all_addresses(host):
                say(EXPOSED)
            username, password = AUTH
            story = script_of(provider.consumer).story
            print(EXAMPLE.format(url=url, story=story, username=username, password=password), flush=True)
            for session_id in provider.sessions:
                print(f"Session: {url}/hpp/v1/sessions/{session_id}", flush=True)
            anyio.run(anyio.sleep_forever)
        say(f"the simulated provider has ended, and its sessions are {'gone' if state is None else f'in {state}'}")


# -- shared by the commands -------------------------------------------------------------------------------------------


def _client(endpoint: str | None, every: float | None = None, *observers: Observer) -> HPPClient:
    environ = dict(os.environ) if endpoint is None else {**os.environ, "HPP_ENDPOINT": endpoint}
    schedule = PollSchedule() if every is None else PollSchedule.every(every)
    return HPPClient.from_env(environ, schedule=schedule, observers=observers)


def _id_of(session: str, client: HPPClient) -> str:
    """Return the id of *session*, which may be a URL."""
    wait = client.wait_for_outcome(session)
    wait.close()  # it was never begun
    return wait.session_id


def _view(*, as_json: bool, show_token: bool) -> View:
    if as_json:
        return JSONView(show_token=show_token)
    console = Console(highlight=False)
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        return TerminalView(console, show_token=show_token)
    return PlainView(show_token=show_token)


def _command(session: str, options: Mapping[str, object]) -> str:
    return shlex.join(["hpp-async", "wait", session, *_words(options)])


def _words(options: Mapping[str, object]) -> list[str]:
    words: list[str] = []
    for option, value in options.items():
        if value is True:
            words += [option]
        elif value is not None and value is not False:
            words += [option, str(value)]
    return words
