"""The commands for the simulated provider: demo, simulate and act."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import anyio
import attrs
import typer

from hpp_async import FINAL, OUTCOME, ConfigurationError
from hpp_async._provider.scripts import ACTS, CONSUMERS, script_of
from hpp_async.cli import _options as options
from hpp_async.cli._clients import SIMULATED, simulated_of
from hpp_async.cli._control import Control, bodies_of
from hpp_async.cli._exits import exit_code
from hpp_async.cli._help import EXAMPLE, EXPOSED
from hpp_async.cli._options import (
    ConsumerOption,
    EndpointOption,
    FinalOption,
    JSONOption,
    ShowTokenOption,
    SpeedOption,
    VerboseOption,
)
from hpp_async.cli._process import exiting, needing_simulator
from hpp_async.cli._terminal import view_of
from hpp_async.cli._views import print_acted, print_journal
from hpp_async.cli._words import say
from hpp_async.testing import Consumer, Scenario


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
        view = view_of(as_json=as_json, show_token=show_token)
        raise typer.Exit(exit_code(demonstrate(consumer, speed, stop_on=FINAL if final else OUTCOME, view=view)))


def simulate(
    *,
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Listen on this loopback address, or on 0.0.0.0 in a container."),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="PORT", help="The port to listen on; 0 takes any free one.", callback=options.port),
    ] = 8888,
    consumer: Annotated[
        Consumer | None, typer.Option(metavar="NAME", help="Who visits the sessions.", show_default="pay")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            metavar="FACTOR",
            help="The visits' speed; 2 is twice a person's.",
            show_default="1",
            callback=options.speed,
        ),
    ] = None,
    quota: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Requests per second of each merchant; more get 429. 0 is no limit.",
            show_default="50",
            callback=options.quota,
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
            from hpp_async.simulator import Calendar, is_on_all_addresses, serve  # noqa: PLC0415 - an extra
        plan = Scenario() if scenario is None else Scenario.load(scenario)
        if consumer is not None:
            plan = attrs.evolve(plan, visitor=consumer)
        if quota is not None:
            plan = attrs.evolve(plan, quota=quota or None)
        provider = plan.provider(now=Calendar(), auth=SIMULATED, speed=speed)
        served = serve(provider, host=host, port=port, state=state)
        with options.naming("host", "port", "state"), suppress(KeyboardInterrupt), served as url:
            if is_on_all_addresses(host):
                say(EXPOSED)
            username, password = SIMULATED
            story = script_of(provider.consumer).story
            print(EXAMPLE.format(url=url, story=story, username=username, password=password), flush=True)
            for session_id in provider.sessions:
                print(f"Session: {url}/hpp/v1/sessions/{session_id}", flush=True)
            anyio.run(anyio.sleep_forever)
        say(f"the simulated provider has ended, and its sessions are {'gone' if state is None else f'in {state}'}")


def act(
    session: Annotated[str | None, typer.Argument(metavar="SESSION", help="A session id, or a session_url.")] = None,
    acts: Annotated[
        list[str] | None,
        typer.Argument(metavar="ACT", help="What happens to it now.", autocompletion=lambda: list(ACTS)),
    ] = None,
    *,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="STATUS",
            help="Let the session enter this status, also an unknown one.",
            callback=options.status,
        ),
    ] = None,
    visitor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Let this consumer visit the session.",
            autocompletion=lambda: list(CONSUMERS),
        ),
    ] = None,
    advance: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Jump ahead by this time.", callback=options.advance)
    ] = None,
    to_expiry: Annotated[bool, typer.Option("--to-expiry", help="Jump past the session's expiry.")] = False,
    pace: Annotated[
        float | None,
        typer.Option(metavar="FACTOR", help="Let time pass so many times as fast.", callback=options.pace),
    ] = None,
    faults: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="JSON", help="First add this fault; can be given several times."),
    ] = None,
    no_faults: Annotated[bool, typer.Option("--no-faults", help="First end all faults.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="First forget everything but the time.")] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="Print the last requests and callbacks at the end, and nothing else.")
    ] = False,
    endpoint: EndpointOption = None,
    as_json: JSONOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Act as the consumer of a simulated provider."""
    with exiting(verbose):
        if session in ACTS:
            raise ConfigurationError(f"give the session before the act: hpp-async act SESSION {session}")
        bodies = bodies_of(acts or (), status=status, visitor=visitor)
        url, session_id = simulated_of(endpoint, session)
        moves = {"advance": advance, "pace": pace, "jump_to_expiry_of": session_id if to_expiry else None}
        moves = {name: value for name, value in moves.items() if value is not None}
        if session_id is None and (bodies or to_expiry):
            raise ConfigurationError("give the SESSION that it happens to")
        if session_id is not None and reset:
            raise ConfigurationError("--reset forgets every session: leave SESSION out")
        if not (bodies or moves or faults or no_faults or reset or journal):
            raise ConfigurationError("give what happens: an ACT, such as pays, or an option")
        with Control(url) as control:
            control.check()
            if reset:
                control.reset()
            if no_faults:
                control.end_faults()
            for fault in faults or ():
                control.add_fault(fault)
            for body in bodies:
                control.act(str(session_id), body)
            if moves:
                control.move_time(moves)
            if journal:
                print_journal(control.journal(), as_json=as_json)
            else:
                record = control.time() if session_id is None else {**control.session(session_id), **control.time()}
                print_acted(record, as_json=as_json)
