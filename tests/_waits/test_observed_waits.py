"""What observers get of the beginning and the end of waits, of attempts, and of how late the news is."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import nullcontext

import anyio
import httpx
import pytest

from hpp_async import (
    ClientClosedError,
    Event,
    HPPError,
    OutcomeWait,
    ReadFailed,
    ReadFinished,
    Transition,
    TransitionSeen,
    WaitDropped,
    WaitEnded,
    WaitStarted,
)
from hpp_async.testing import ScriptedProvider

pytestmark = pytest.mark.anyio


def session_id_of(url: str) -> str:
    return url.rpartition("/")[2]


WAITS = (WaitStarted, WaitEnded, WaitDropped)


def of_waits(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events if isinstance(event, WAITS)]


async def test_two_waits_on_one_session_can_be_told_apart(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    session = provider.add([(5, "COMPLETED")])
    async with provider.client(observers=[events.append]) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.wait_for_outcome(session)._finish)
        tasks.start_soon(client.wait_for_outcome(session)._finish)

    started = [event.wait for event in events if isinstance(event, WaitStarted)]
    seen = [event.wait for event in events if isinstance(event, TransitionSeen)]
    ended = [event.wait for event in events if isinstance(event, WaitEnded)]
    assert len(set(started)) == 2
    assert sorted(started) == sorted(ended)
    assert sorted(started * 2) == sorted(seen)


async def test_the_end_says_how_long_the_wait_took_and_the_news_how_old_it_is(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    session = provider.add([(11, "COMPLETED")])
    async with provider.client(observers=[events.append]) as client:
        await provider.clock.sleep(7)
        wait = client.wait_for_outcome(session)
        began = provider.clock.now()
        await wait
        took = provider.clock.now() - began

    [end] = [event for event in events if isinstance(event, WaitEnded)]
    [_, news] = [event for event in events if isinstance(event, TransitionSeen)]
    assert end.seconds == took > 4.0
    assert news.age == pytest.approx(provider.clock.now() - 11, abs=1.0)  # dates are whole seconds


async def test_without_updated_at_nobody_knows_how_old_news_is(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    provider.answer_next(httpx.Response(200, json={"status": "COMPLETED"}))
    async with provider.client(observers=[events.append]) as client:
        await client.wait_for_outcome(provider.add())

    assert [event.age for event in events if isinstance(event, TransitionSeen)] == [None]


async def test_a_wait_that_is_dropped_is_an_event_soon_afterwards(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    async with provider.client(observers=[events.append]) as client:
        wait = client.wait_for_outcome(provider.add())
        await anext(wait)
        del wait
        gc.collect()
        await provider.clock.sleep(0)

        assert of_waits(events) == [WaitStarted, WaitDropped]


def test_a_wait_that_is_dropped_after_its_loop_is_an_event_in_the_next(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    client = provider.client(observers=[events.append])

    async def begin() -> OutcomeWait:
        wait = client.wait_for_outcome(provider.add())
        await anext(wait)
        return wait

    wait = asyncio.run(begin())
    del wait
    gc.collect()
    assert of_waits(events) == [WaitStarted]
    asyncio.run(client.aclose())

    assert of_waits(events) == [WaitStarted, WaitDropped]


@pytest.mark.parametrize(("script", "end"), [([(3600, "COMPLETED")], WaitDropped), ([(0, "FAILED")], WaitEnded)])
async def test_a_step_that_hands_the_wait_back_drops_it(
    provider: ScriptedProvider, script: list[tuple[float, str]], end: type[Event]
) -> None:
    events: list[Event] = []
    session = provider.add(script)
    async with provider.client(observers=[events.append]) as client:
        news = await client.step(session, hold=0)
        while isinstance(news, Transition):
            news = await client.step(session, since=news.token, hold=0)
        await provider.clock.sleep(0)

    assert of_waits(events)[-2:] == [WaitStarted, end]
    assert of_waits(events).count(WaitStarted) == len(of_waits(events)) / 2


async def test_a_wait_that_is_dropped_after_its_end_is_no_event(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    async with provider.client(observers=[events.append]) as client:
        wait = client.wait_for_outcome(provider.add([(0, "COMPLETED")]))
        await wait
        del wait
        gc.collect()

    assert of_waits(events) == [WaitStarted, WaitEnded]


async def test_a_wait_ends_with_its_client(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    async with provider.client(observers=[events.append]) as client:
        wait = client.wait_for_outcome(provider.add())
        await anext(wait)
    with pytest.raises(ClientClosedError):
        await wait

    assert of_waits(events) == [WaitStarted, WaitEnded]


async def test_sessions_of_a_watch_begin_when_it_is_entered_and_are_dropped_when_it_is_left(
    provider: ScriptedProvider,
) -> None:
    events: list[Event] = []
    paid, left, later = provider.add([(0, "COMPLETED")]), provider.add(), provider.add()
    async with provider.client(observers=[events.append]) as client:
        watch = client.watch({paid: None, "refused": "no token"})
        watch.add(left)
        assert events == []
        async with watch:
            watch.add(later)
            while len(watch) > 2:
                await anext(watch)
        await provider.clock.sleep(0)

    assert {event.is_watched for event in events if isinstance(event, WaitStarted)} == {True}
    assert len({event.wait for event in events if isinstance(event, WAITS)}) == 1
    assert {event.session_id: event.ending for event in events if isinstance(event, WaitEnded)} == {
        "refused": "ConfigurationError",
        session_id_of(paid): "Completed",
    }
    dropped = {event.session_id for event in events if isinstance(event, WaitDropped)}
    assert dropped == {session_id_of(left), session_id_of(later)}
    assert sum(isinstance(event, WaitStarted) for event in events) == 4


@pytest.mark.parametrize(
    ("answers", "kind", "attempts", "status_code"),
    [
        ([], ReadFinished, 1, 200),
        ([503], ReadFinished, 2, 200),
        ([503, httpx.ReadTimeout("slow"), 429], ReadFailed, 3, 429),
        ([503, httpx.Response(200, text="?"), httpx.ReadTimeout("slow")], ReadFailed, 3, None),
        ([httpx.Response(203, text="?")] * 3, ReadFailed, 3, 203),
    ],
    ids=["at once", "again", "refused", "silent", "unreadable"],
)
async def test_a_read_says_how_many_attempts_it_took_and_what_the_last_answer_was(
    provider: ScriptedProvider,
    answers: list[int | Exception | httpx.Response],
    kind: type[Event],
    attempts: int,
    status_code: int | None,
) -> None:
    events: list[Event] = []
    session = provider.add()
    provider.answer_next(*answers)
    async with provider.client(observers=[events.append], attempts=3) as client:
        with pytest.raises(HPPError) if kind is ReadFailed else nullcontext():
            await client.read_session(session)

    [read] = [event for event in events if isinstance(event, ReadFinished | ReadFailed)]
    assert (type(read), read.attempts, read.status_code) == (kind, attempts, status_code)
    assert read.host == "api.playground.klarna.com"


# -- the context of the client's tasks ------------------------------------------------------------------------------


class Entering:
    def __init__(self, enter: Callable[[], object]) -> None:
        self.enter_task = enter

    def __call__(self, event: Event) -> None:
        pass


async def test_an_observer_whose_enter_task_raises_harms_nothing(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    def enter() -> None:
        raise ValueError("not to be logged")

    async with provider.client(observers=[Entering(enter)]) as client:
        await client.read_session(provider.add())

    assert "raised ValueError" in caplog.text
    assert "not to be logged" not in caplog.text
