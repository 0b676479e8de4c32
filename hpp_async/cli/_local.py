"""The commands for the simulated provider: demo and simulate."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import anyio
import attrs
import typer

from hpp_async import FINAL, OUTCOME
from hpp_async._provider.scripts import script_of
from hpp_async.cli._exits import exit_code
from hpp_async.cli._help import EXAMPLE, EXPOSED
from hpp_async.cli._options import ConsumerOption, FinalOption, JSONOption, ShowTokenOption, SpeedOption, VerboseOption
from hpp_async.cli._process import exiting, needing_simulator
from hpp_async.cli._terminal import view_of
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
