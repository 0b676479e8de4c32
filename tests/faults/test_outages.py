"""An hour without the provider, bursts of its errors, and clocks that jump both ways."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

import anyio
import pytest
from clocks import StillClock
from exchange import Exchange, Fault
from fault_server import FaultServer, always, drawn, nothing, scripted
from scene import Scene, by_turns, on_two_loops, scene
from wire_faults import BODIES, BROKEN_OFF, SERVER_ERRORS, STRANGERS, THROTTLES

from hpp_async import (
    Expired,
    OutageError,
    PollSchedule,
    RateLimitedError,
    ServerError,
    TransportError,
    UnexpectedPayloadError,
)

pytestmark = pytest.mark.anyio

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

# -- an hour of outage ------------------------------------------------------------------------------------------------

Switch = Callable[[FaultServer, bool], Awaitable[object]]


def _answering(fault: Fault) -> Switch:
    async def switch(server: FaultServer, is_down: bool) -> None:
        server.plan = always(fault) if is_down else nothing

    return switch


async def _gone(server: FaultServer, is_down: bool) -> None:
    if is_down:
        server.refuse()
    else:
        await server.listen()


OUTAGES: Final = {
    "nobody listens": (_gone, TransportError),
    "reset": (_answering(BROKEN_OFF["reset before the answer"]), TransportError),
    "503": (_answering(SERVER_ERRORS["503 as a page"]), ServerError),
    "429": (_answering(THROTTLES["429"]), RateLimitedError),
    "somebody else answers": (_answering(BODIES["HTML"]), UnexpectedPayloadError),
    "another protocol": (_answering(STRANGERS["an SSH banner"]), TransportError),
}
"""How the provider can be away, and what a read then says."""

BACK_OFF: Final = 64.0
"""Seconds: the longest that a wait rests after a failure, and the budget after a 429."""


@on_two_loops
@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_within_the_tolerance_hides_no_outcome(name: str, caplog: pytest.LogCaptureFixture) -> None:
    switch, _ = OUTAGES[name]
    async with scene(caplog, attempts=1, outage_tolerance=2 * HOUR) as here, anyio.create_task_group() as tasks:
        here.take_steps((0, "WAITING"), (HOUR / 4, "IN_PROGRESS"), (HOUR / 2, "COMPLETED"))
        tasks.start_soon(_an_hour_off, here, switch)
        outcome = await here.outcome(PollSchedule())

        here.assert_right(outcome)
        assert [transition.status for transition in outcome.transitions] == ["WAITING", "COMPLETED"]
        assert here.age() - MINUTE - HOUR <= 2 * BACK_OFF
        # An hour of failures costs about as many reads as a calm one; those that are dropped are asked for twice.
        assert len(here.server.paths) <= 2 * HOUR / 15


@on_two_loops
@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_beyond_the_tolerance_is_said_and_can_be_gone_on_from(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    switch, kind = OUTAGES[name]
    async with scene(caplog, attempts=1, outage_tolerance=600) as here, anyio.create_task_group() as tasks:
        here.take_steps((0, "WAITING"), (HOUR / 4, "IN_PROGRESS"), (HOUR / 2, "COMPLETED"))
        tasks.start_soon(_an_hour_off, here, switch)
        with pytest.raises(OutageError) as caught:
            await here.client.wait_for_outcome(here.session_id)
        lasted = here.age() - MINUTE
        here.hear(caught.value)
        await here.clock.wait(anyio.Event(), here.clock.now() + HOUR)
        outcome = await here.client.wait_for_outcome(here.session_id, since=caught.value.token)

        assert type(caught.value.__cause__) is kind
        assert 600 <= lasted <= 600 + 2 * BACK_OFF
        here.assert_right(outcome)
        assert [transition.status for transition in outcome.transitions] == ["COMPLETED"]


async def _an_hour_off(here: Scene, switch: Switch) -> None:
    assert isinstance(here.clock, StillClock)
    for seconds, is_down in ((MINUTE, True), (HOUR, False)):
        await here.clock.sleep(seconds)
        with here.clock.busy():  # to listen takes a moment, and a busy machine a longer one
            await switch(here.server, is_down)


# -- bursts of 5xx ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVER_ERRORS)
async def test_a_read_does_not_feel_a_burst_shorter_than_its_attempts(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(caplog, attempts=3) as here:
        burst = [SERVER_ERRORS[name]] * 2
        here.server.plan = scripted(*burst, None, *burst, SERVER_ERRORS[name])
        reading = await here.reading()
        error = await here.read_error()

        assert reading.status == "WAITING"
        assert type(error) is ServerError
        assert str(error.status_code) in name
        assert len(here.server.paths) == 6


@pytest.mark.parametrize("length", [5, 40])
@by_turns(SERVER_ERRORS)
async def test_a_wait_outlives_a_burst_around_every_step(
    name: str, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    fault = SERVER_ERRORS[name]
    async with scene(caplog) as here:
        here.server.plan = here.life(scripted(None, *[fault] * length, None, *[fault] * length), every=length + 1)

        here.assert_right(await here.outcome())
        assert here.server.done[fault] == 2 * length


# -- clocks -----------------------------------------------------------------------------------------------------------


def _dated(ahead: float) -> Fault:
    """Answer with a ``Date`` that is so many seconds ahead, or behind."""

    async def fault(exchange: Exchange) -> None:
        date = parsedate_to_datetime(exchange.answer.headers["Date"]) + timedelta(seconds=ahead)
        await exchange.say(exchange.body, Date=format_datetime(date, usegmt=True))

    return fault


async def _undated(exchange: Exchange) -> None:
    head, _, rest = exchange.head.partition(b"Date: ")
    await exchange.line.send(head + b"X-" + b"Was: " + rest + exchange.body)


SELDOM: Final = PollSchedule.every(60.0)
JUMPS: Final = (-400 * DAY, -DAY, -2 * HOUR, -MINUTE, MINUTE, 2 * HOUR, DAY, 400 * DAY)


@on_two_loops
@pytest.mark.parametrize("seed", range(4))
async def test_answers_with_dates_from_all_over_decide_nothing(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(caplog) as here:
        here.take_steps((0, "WAITING"), (HOUR / 4, "IN_PROGRESS"), (HOUR / 2, "COMPLETED"), lifetime=HOUR)
        here.server.plan = drawn(seed, 0.4, *map(_dated, JUMPS), _undated)

        here.assert_right(await here.outcome(SELDOM))


@on_two_loops
@pytest.mark.parametrize("ahead", JUMPS)
async def test_a_calendar_of_ours_that_is_set_decides_nothing(ahead: float, caplog: pytest.LogCaptureFixture) -> None:
    clock, draw = StillClock(), random.Random(17)
    async with scene(caplog, time=clock) as here:
        here.take_steps((0, "WAITING"), (HOUR / 4, "IN_PROGRESS"), (HOUR / 2, "COMPLETED"), lifetime=HOUR)
        dates = drawn(5, 0.3, _undated)

        def plan() -> Fault | None:
            clock.set_ahead = timedelta(seconds=draw.choice((0.0, ahead, -ahead)))
            return dates() if here.server.paths[1:] else None  # without any date our own calendar must do

        here.server.plan = plan

        here.assert_right(await here.outcome(SELDOM))


@on_two_loops
@pytest.mark.parametrize("seed", range(4))
async def test_a_session_expires_when_it_does_whatever_the_clocks_say(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock, draw = StillClock(), random.Random(seed)
    async with scene(caplog, time=clock) as here:
        here.take_steps((0, "WAITING"), (HOUR / 4, "IN_PROGRESS"), lifetime=HOUR)
        dates = drawn(seed, 0.3, *map(_dated, JUMPS), _undated)

        def plan() -> Fault | None:
            clock.set_ahead = timedelta(seconds=draw.choice(JUMPS))
            return dates()

        here.server.plan = plan
        outcome = await here.outcome(SELDOM)

        assert isinstance(outcome, Expired)
        assert outcome.confirmed
        assert HOUR <= here.age() <= HOUR + 3 * MINUTE


@on_two_loops
@pytest.mark.parametrize("ahead", [-2 * HOUR, 2 * HOUR])
async def test_a_provider_whose_clock_is_set_and_set_back_ends_no_wait(
    ahead: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(caplog) as here:
        here.take_steps((0, "WAITING"), (HOUR / 4, "IN_PROGRESS"), (HOUR / 2, "COMPLETED"))
        wrong = _dated(ahead)
        here.server.plan = lambda: wrong if HOUR / 8 < here.age() < HOUR / 3 else None

        here.assert_right(await here.outcome(SELDOM))
        assert here.server.done[wrong] > 10
