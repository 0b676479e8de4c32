"""Turns in the budget's queue: claims, and which of them is admitted first."""

from __future__ import annotations

import logging
from typing import Final

import anyio
import pytest

from hpp_async import ClientClosedError, ReadBudget
from hpp_async._core.budget import Budget, Kind
from hpp_async._core.token_bucket import Quota
from hpp_async._loop import Sleeper
from hpp_async._waits.events import BudgetPaused, Event, Observers
from hpp_async._waits.turns import Turns
from hpp_async.testing import VirtualClock

pytestmark = pytest.mark.anyio

PAUSE: Final = 5.0


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def turns(clock: VirtualClock, events: list[Event]) -> Turns:
    return Turns(Budget(ReadBudget(1)), clock=clock, draw=lambda: 0.5, observers=Observers([events.append]))


async def test_a_claim_takes_an_earlier_turn_once_its_read_is_due_earlier(turns: Turns) -> None:
    sleeper = Sleeper(turns.clock)
    with turns.claim(sleeper) as claim, turns.claim(sleeper) as rival:
        assert not claim.admit(Kind.DUE, 100.0)
        assert not rival.admit(Kind.DUE, 75.0)

        assert not claim.admit(Kind.DUE, 50.0)
        await claim.sleep()
        assert turns.clock.now() == 50.0
        assert claim.admit(Kind.DUE, 60.0)  # later than it was: the turn stays where it is
        assert not rival.admit(Kind.DUE, 75.0)


async def test_a_new_arrival_keeps_its_place_from_step_to_step(turns: Turns) -> None:
    sleeper = Sleeper(turns.clock)
    assert turns.claim(sleeper).admit(Kind.NEW)  # takes the only token
    turns.release()
    claim = turns.claim(sleeper)
    with claim:
        assert not claim.admit(Kind.NEW)
    with turns.claim(sleeper) as later:
        assert not later.admit(Kind.NEW)
        with claim:
            assert not claim.admit(Kind.NEW)
            await claim.sleep()

            assert not later.admit(Kind.NEW)
            assert claim.admit(Kind.NEW)


async def test_an_arrival_that_was_admitted_or_left_has_no_place(turns: Turns) -> None:
    sleeper = Sleeper(turns.clock)
    assert turns.claim(sleeper).admit(Kind.NEW)
    turns.release()
    claim = turns.claim(sleeper)
    with claim:
        assert not claim.admit(Kind.NEW)
        claim.leave()
    with turns.claim(sleeper) as later:
        assert not later.admit(Kind.NEW)
        with claim:
            assert not claim.admit(Kind.NEW)
            await later.sleep()

            assert not claim.admit(Kind.NEW)
            assert later.admit(Kind.NEW)


async def test_a_claim_that_is_over_blocks_no_other(turns: Turns) -> None:
    sleeper = Sleeper(turns.clock)
    assert turns.claim(sleeper).admit(Kind.URGENT)
    with turns.claim(sleeper) as first:
        assert not first.admit(Kind.DUE, 0.0)
    with turns.claim(sleeper) as second:
        assert not second.admit(Kind.DUE, 0.0)
        await second.sleep()

        assert second.admit(Kind.DUE, 0.0)
        assert turns.clock.now() == 1.0


async def test_a_driver_is_woken_when_the_read_before_its_own_is_over(clock: VirtualClock) -> None:
    turns = Turns(Budget(ReadBudget(1000, max_in_flight=1)), clock=clock, draw=lambda: 0.5, observers=Observers(()))
    admitted_at: list[float] = []

    async def read() -> None:
        with turns.claim(Sleeper(clock)) as claim:
            while not claim.admit(Kind.DUE, 0.0):
                await claim.sleep()
        admitted_at.append(clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(read)
        await clock.sleep(7.0)
        turns.release()

    assert admitted_at == [0.0, 7.0]


async def test_another_attempt_sleeps_and_then_goes_before_all_reads(turns: Turns) -> None:
    sleeper = Sleeper(turns.clock)
    assert turns.claim(sleeper).admit(Kind.DUE, 0.0)
    with turns.claim(sleeper) as claim:
        assert not claim.admit(Kind.DUE, 0.0)
        await turns.again(0.25)

        assert turns.clock.now() == 1.0
        assert not claim.admit(Kind.DUE, 0.0)
        await claim.sleep()
        assert turns.clock.now() == 2.0


async def test_a_pause_is_an_event_with_its_reason(turns: Turns, events: list[Event]) -> None:
    turns.refused(PAUSE, 0.0)
    turns.refused(PAUSE, 1.0)  # the pause that is under way grows by a second

    assert events == [
        BudgetPaused(seconds=PAUSE, added=PAUSE, is_refused=True),
        BudgetPaused(seconds=PAUSE, added=1.0, is_refused=True),
    ]


async def test_pauses_are_logged_once_a_minute_for_each_reason(turns: Turns, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hpp_async")
    for now in (0.0, 1.0, 59.0, 61.0):
        turns.refused(2.0, now)
        turns.answered(Quota(limit=100, remaining=0, reset=3.0), now, 200)

    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == 2 * [
        ("WARNING", "all reads pause for 2.0 s: the provider refused a request with 429"),
        ("INFO", "all reads pause for 3.0 s: little of the merchant's quota is left"),
    ]


async def test_no_other_attempt_is_made_once_the_client_is_closed(turns: Turns) -> None:
    turns.close()

    with pytest.raises(ClientClosedError):
        await turns.again(5.0)
    assert turns.clock.now() == 0.0


async def test_a_turn_that_was_granted_in_a_loop_that_is_gone_is_queued_anew(turns: Turns) -> None:
    with turns.claim(Sleeper(turns.clock)) as claim:
        claim.queue(Kind.NEW)
        turns.virtual()  # the token is granted
        turns.forget()

        assert claim.admit(Kind.NEW)
