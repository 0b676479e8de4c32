"""Calls that go on without their caller: what they made is handed over, or logged, and never lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from hpp_async import ClientClosedError, ReadBudget, ServerError, TransportError
from hpp_async._core.budget import Budget
from hpp_async._waits.detached import Detached
from hpp_async._waits.events import Observers
from hpp_async._waits.turns import Turns
from hpp_async.testing import VirtualClock

pytestmark = pytest.mark.anyio


class Maker:
    """Something that makes ids, each after a while."""

    def __init__(self, clock: VirtualClock, *, rate: float = 100.0, seconds: float = 1.0) -> None:
        self.clock = clock
        self.seconds = seconds
        self.made: list[str] = []
        self.failure: Exception | None = None
        self.entered = 0
        self.turns = Turns(Budget(ReadBudget(rate)), clock=clock, draw=lambda: 0.5, observers=Observers(()))
        self.calls = Detached(enter=self._enter)
        self._under_way: list[anyio.Event] = []
        self._is_abandoned = False

    def _enter(self) -> None:
        self.entered += 1

    async def _make(self, turns: Turns) -> str:
        assert turns is self.turns
        self._under_way.append(anyio.Event())
        await self.clock.wait(self._under_way[-1], self.clock.now() + self.seconds)
        if self._is_abandoned:
            raise ClientClosedError("nothing more is sent: the client was closed")
        if self.failure is not None:
            raise self.failure
        self.made.append(f"id-{len(self.made)}")
        return self.made[-1]

    async def make(self) -> str:
        return await self.calls.run(
            self._make, turns=self.turns, what="thing", said=lambda made: f"thing {made} was made"
        )

    async def aclose(self) -> None:
        """Do what a client does: end the exchanges, and wait for the calls."""
        self.turns.close()
        self._is_abandoned = True
        for event in self._under_way:
            event.set()
        await self.calls.aclose()

    @asynccontextmanager
    async def cancelled(self, after: float) -> AsyncGenerator[None]:
        """Cancel a caller *after* so many seconds, and let the call go on."""
        scope = anyio.CancelScope()

        async def call() -> None:
            with scope:
                await self.make()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await self.clock.sleep(after)
            scope.cancel()
            await anyio.lowlevel.checkpoint()
            yield


@pytest.fixture
def maker(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> Maker:
    caplog.set_level(logging.DEBUG, "hpp_async")
    return Maker(clock)


async def test_what_was_made_is_returned_and_not_logged(maker: Maker, caplog: pytest.LogCaptureFixture) -> None:
    assert [await maker.make(), await maker.make()] == ["id-0", "id-1"]
    assert (maker.entered, maker.calls.in_flight, caplog.messages) == (2, 0, [])


async def test_why_nothing_was_made_is_raised(maker: Maker) -> None:
    maker.failure = KeyError("of a hook")
    with pytest.raises(KeyError):
        await maker.make()
    maker.failure = None

    assert await maker.make() == "id-0"


async def test_a_cancelled_caller_leaves_the_id_in_the_log(maker: Maker, caplog: pytest.LogCaptureFixture) -> None:
    async with maker.cancelled(after=0.5):
        assert maker.calls.in_flight == 1
        await maker.clock.sleep(1.0)

    assert maker.made == ["id-0"]
    assert caplog.messages == ["thing id-0 was made after the caller was cancelled"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ServerError("503: later", session_id=None, status_code=503), "503: later"),
        (ValueError("anything at all"), "ValueError"),
    ],
)
async def test_so_is_its_failure(maker: Maker, caplog: pytest.LogCaptureFixture, failure: Exception, said: str) -> None:
    maker.failure = failure
    async with maker.cancelled(after=0.5):
        await maker.clock.sleep(1.0)

    assert caplog.messages == [f"thing: it failed after the caller was cancelled: {said}"]


async def test_a_caller_that_is_cancelled_in_the_queue_takes_its_call_along(clock: VirtualClock) -> None:
    maker = Maker(clock, rate=0.1)
    await maker.make()
    async with maker.cancelled(after=1.0):
        await clock.sleep(60.0)

    assert maker.made == ["id-0"]
    assert await maker.make() == "id-1"


async def test_every_call_takes_a_turn(clock: VirtualClock) -> None:
    maker = Maker(clock, rate=0.5, seconds=0.0)
    for _ in range(3):
        await maker.make()

    assert clock.now() == pytest.approx(4.0)


async def test_closing_ends_calls_in_flight_and_in_the_queue(clock: VirtualClock) -> None:
    maker = Maker(clock, rate=0.1, seconds=30.0)
    said: list[str] = []

    async def call() -> None:
        with pytest.raises(ClientClosedError) as caught:
            await maker.make()
        said.append(str(caught.value))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        tasks.start_soon(call)
        await clock.sleep(1.0)
        await maker.aclose()
    with pytest.raises(ClientClosedError):
        await maker.make()
    await maker.aclose()

    assert sorted(said) == [
        "thing: nothing was sent, as the client was closed",
        "thing: the client was closed before the answer came; it may be done",
    ]
    assert (maker.made, maker.calls.in_flight, clock.now()) == ([], 0, 1.0)


async def test_closing_waits_for_calls_without_a_caller(maker: Maker, caplog: pytest.LogCaptureFixture) -> None:
    async with maker.cancelled(after=0.5):
        await maker.aclose()

    assert maker.calls.in_flight == 0
    assert caplog.messages == ["thing: no answer, and the caller was cancelled; it may be done"]


async def test_a_close_that_is_cancelled_can_be_repeated(maker: Maker) -> None:
    async with maker.cancelled(after=0.5):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await maker.aclose()
        await maker.aclose()

    assert maker.calls.in_flight == 0


async def test_a_call_whose_loop_is_gone_is_dropped(maker: Maker) -> None:
    async def call() -> None:
        with pytest.raises(TransportError, match=r"thing: no answer .* it may be done"):
            await maker.make()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await maker.clock.sleep(0.5)
        maker.calls.forget()
        await maker.clock.sleep(1.0)

    assert maker.calls.in_flight == 0
    assert await maker.make() == "id-1"


async def test_a_task_that_cannot_be_started_uses_up_no_turn(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no loop")

    with monkeypatch.context() as patch:
        patch.setattr("hpp_async._waits.work.spawn", refuse)
        for _ in range(20):
            with pytest.raises(RuntimeError, match="no loop"):
                await maker.make()

    assert maker.calls.in_flight == 0
    assert await maker.make() == "id-0"


async def test_a_result_that_came_with_the_cancellation_is_logged(
    maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    async with maker.cancelled(after=1.0):
        await maker.clock.sleep(1.0)

    assert maker.made == ["id-0"]
    assert caplog.messages in ([], ["thing id-0 was made after the caller was cancelled"])


async def test_many_callers_get_their_own(maker: Maker) -> None:
    made: list[str] = []

    async def call() -> None:
        made.append(await maker.make())

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(partial(call))

    assert sorted(made) == sorted(f"id-{number}" for number in range(20))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_somebody_cancels_is_dropped(maker: Maker) -> None:
    before = asyncio.all_tasks()
    calling = asyncio.create_task(maker.make())
    await maker.clock.sleep(0.5)
    for task in asyncio.all_tasks() - before - {calling}:
        task.cancel()

    with pytest.raises(TransportError, match=r"thing: no answer \(the request was cancelled\)"):
        await calling
    assert maker.calls.in_flight == 0
