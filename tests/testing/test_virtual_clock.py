"""The virtual clock stands still while anything runs or is busy with real work, and forgets sleepers that left."""

from __future__ import annotations

import asyncio
import gc
import logging
import selectors
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio

from hpp_async import Expired
from hpp_async.fleet import SQLiteStore
from hpp_async.testing import Script, ScriptedProvider, VirtualClock, _clock, opens, vanishes
from hpp_async.testing._idle import _ready_of

pytestmark = pytest.mark.anyio


async def test_sleepers_wake_in_the_order_of_their_times(clock: VirtualClock) -> None:
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    async with anyio.create_task_group() as tasks:
        for name, seconds in (("late", 86_400.0), ("early", 1.0), ("middle", 60.0)):
            tasks.start_soon(sleep, name, seconds)

    assert woken == [("early", 1.0), ("middle", 60.0), ("late", 86_400.0)]


async def test_a_sleeper_that_left_is_not_waited_for(clock: VirtualClock) -> None:
    event = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.wait, event, 100.0)
        await anyio.lowlevel.checkpoint()
        event.set()
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    before = clock.now()
    await clock.sleep(1.0)

    assert (before, clock.now()) == (0.0, 1.0)


async def test_a_sleeper_that_left_is_not_woken_with_others_of_the_same_time(clock: VirtualClock) -> None:
    left = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.sleep, 100.0)
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(clock.wait, left, 100.0)
        await anyio.lowlevel.checkpoint()
        left.set()

    assert clock.now() == 100.0


async def test_time_stands_still_while_a_task_can_run(clock: VirtualClock) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.sleep, 1.0)
        for _ in range(2_000):
            await anyio.lowlevel.checkpoint()
        assert clock.now() == 0.0

    assert clock.now() == 1.0


async def test_two_clocks_in_one_loop_do_not_keep_each_other_from_going_on(clock: VirtualClock) -> None:
    other = VirtualClock()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.sleep, 5.0)
        tasks.start_soon(other.sleep, 7.0)

    assert (clock.now(), other.now()) == (5.0, 7.0)


async def test_of_two_clocks_one_stands_still_while_the_other_lets_a_task_run(clock: VirtualClock) -> None:
    other, event, seen = VirtualClock(), anyio.Event(), list[float]()

    async def wait() -> None:
        await other.wait(event, 10.0)
        seen.append(other.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await clock.sleep(1.0)
        seen.append(other.now())
        event.set()

    assert seen == [0.0, 0.0]


async def test_of_two_clocks_each_has_its_turn(clock: VirtualClock) -> None:
    other, seen = VirtualClock(), list[str]()

    async def beat(of: VirtualClock, name: str) -> None:
        for _ in range(5):
            await of.sleep(1.0)
            seen.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat, clock, "one")
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(beat, other, "other")

    assert seen == ["one", "other"] * 5


async def test_a_clock_that_nobody_waits_for_rests_and_goes_on(clock: VirtualClock) -> None:
    for _ in range(2):
        await clock.sleep(1.0)
        for _ in range(2):
            await anyio.wait_all_tasks_blocked()

    assert clock.now() == 2.0


# -- how much a heartbeat takes ----------------------------------------------------------------------------------------


class Selecting(selectors.DefaultSelector):
    """Counts the turns of an asyncio loop, each of which selects once."""

    turns = 0

    def select(self, timeout: float | None = None) -> Any:
        self.turns += 1
        return super().select(timeout)


class Turning(trio.abc.Instrument):
    """Counts the turns of a run of trio."""

    turns = 0

    def before_io_wait(self, timeout: float) -> None:
        self.turns += 1


def _on_asyncio(main: Callable[[], Any]) -> int:
    selector = Selecting()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(main())
    return selector.turns


def _on_trio(main: Callable[[], Any]) -> int:
    turning = Turning()
    trio.run(main, instruments=[turning])
    return turning.turns


@pytest.mark.parametrize(("run", "turns_each"), [(_on_asyncio, 1.0), (_on_trio, 2.0)])
def test_a_heartbeat_takes_one_turn_of_the_loop(run: Callable[[Callable[[], Any]], int], turns_each: float) -> None:
    beats: dict[float, int] = {}

    async def main(heartbeat: float) -> None:
        provider = ScriptedProvider(VirtualClock())
        session = provider.add(Script(opens, vanishes, lifetime=7200))
        async with provider.client() as client:
            wait = client.wait_for_outcome(session)
            beats[heartbeat] = len([None async for _ in wait.updates(heartbeat=heartbeat)])
        assert isinstance(wait.outcome, Expired)

    few, many = run(lambda: main(7000.0)), run(lambda: main(5.0))

    assert beats[5.0] > 1_400
    assert (many - few) / (beats[5.0] - beats[7000.0]) <= 1.1 * turns_each  # few heartbeats fall together with a read


# -- real work ---------------------------------------------------------------------------------------------------------


async def test_real_work_takes_no_virtual_time(clock: VirtualClock) -> None:
    is_done, seen = threading.Event(), list[float]()

    async def work() -> None:
        with clock.busy(), clock.busy():
            await anyio.to_thread.run_sync(is_done.wait)
            seen.append(clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        tasks.start_soon(clock.sleep, 10.0)
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        with clock.busy():
            await anyio.to_thread.run_sync(is_done.set)

    assert seen == [0.0]
    assert clock.now() == 10.0


async def test_what_looks_idle_to_the_clock_takes_virtual_time(clock: VirtualClock) -> None:
    is_done = threading.Event()

    async def go_on() -> None:
        await clock.sleep(10.0)
        is_done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(go_on)
        await anyio.to_thread.run_sync(is_done.wait)

    assert clock.now() == 10.0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_queries_of_a_real_database_take_no_virtual_time(clock: VirtualClock, tmp_path: Path) -> None:
    times: list[float] = []

    async def queries(store: SQLiteStore) -> None:
        with clock.busy():
            async with store.transaction() as tx:
                await tx.execute("CREATE TABLE paid (id TEXT)")
                await tx.executemany("INSERT INTO paid VALUES (?)", [(str(number),) for number in range(100)])
                row = await (await tx.execute("SELECT count(*) FROM paid")).fetchone()
            assert row == (100,)
            times.append(clock.now())
        await clock.sleep(60.0)
        times.append(clock.now())

    async with SQLiteStore(tmp_path / "shop.db") as store, anyio.create_task_group() as tasks:
        tasks.start_soon(queries, store)
        for day in range(1, 3):
            tasks.start_soon(clock.sleep, day * 86_400.0)

    assert times == [0.0, 60.0]
    assert clock.now() == 2 * 86_400.0


async def test_a_task_that_is_busy_cannot_sleep(clock: VirtualClock) -> None:
    with clock.busy(), pytest.raises(RuntimeError, match="where no time passes"):
        await clock.sleep(1.0)
    with clock.busy():
        event = anyio.Event()
        event.set()
        await clock.wait(event, float("inf"))
    await clock.sleep(1.0)

    assert clock.now() == 1.0


def test_no_task_can_be_busy_where_none_runs() -> None:
    with pytest.raises(RuntimeError, match="no task is running"), VirtualClock().busy():
        pass


# -- loops that end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_clock_goes_on_in_the_next_loop(backend: str) -> None:
    clock = VirtualClock()
    anyio.run(clock.sleep, 5.0, backend=backend)
    anyio.run(clock.sleep, 5.0, backend=backend)

    assert clock.now() == 10.0


def test_a_loop_that_is_closed_without_ado_leaves_nothing_of_the_clock(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    left: list[Any] = []

    async def leave() -> None:
        async def be_busy() -> None:
            with clock.busy():
                await anyio.Event().wait()

        left.extend(asyncio.ensure_future(one) for one in (clock.sleep(100.0), be_busy()))
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    names = [task.get_name() for task in asyncio.all_tasks(loop) if task not in left]
    loop.close()
    asyncio.run(clock.sleep(5.0))
    with caplog.at_level(logging.CRITICAL, "asyncio"):
        left.clear()  # the test's own tasks are destroyed while they are pending
        gc.collect()

    assert names == []
    assert clock.now() == 5.0


def test_a_clock_is_used_in_one_running_loop_at_a_time() -> None:
    clock, refusals = VirtualClock(), list[str]()

    async def main() -> None:
        with clock.busy():
            await anyio.to_thread.run_sync(other)

    def other() -> None:
        with pytest.raises(RuntimeError) as refused:
            asyncio.run(clock.sleep(1.0))
        refusals.append(str(refused.value))

    asyncio.run(main())

    assert refusals == [
        "this VirtualClock is in use in another event loop, which is running: make one for each loop, or use it in one "
        "loop after the other"
    ]


def test_a_ticking_loop_that_was_left_for_another_one_stops(clock: VirtualClock) -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Future[None]:
        sleeping = asyncio.ensure_future(clock.sleep(100.0))
        await asyncio.sleep(0)
        return sleeping

    async def idle() -> None:
        with anyio.move_on_after(0.01):  # real seconds: the loop is idle for some turns
            await anyio.Event().wait()

    sleeping = loop.run_until_complete(begin())
    asyncio.run(clock.sleep(5.0))
    loop.run_until_complete(idle())
    sleeping.cancel()
    loop.run_until_complete(asyncio.gather(sleeping, return_exceptions=True))
    loop.close()

    assert clock.now() == 5.0


def test_a_clock_that_comes_back_to_a_loop_goes_one_step_at_a_time() -> None:
    clock, seen = VirtualClock(), list[float]()

    async def begin() -> asyncio.Future[None]:
        sleeping = asyncio.ensure_future(clock.sleep(50.0))
        await asyncio.sleep(0)
        return sleeping

    async def beat() -> None:
        sleeping = asyncio.ensure_future(clock.sleep(10.0))
        for _ in range(3):
            await clock.sleep(1.0)
            seen.append(clock.now())
        for task in (sleeping, left):
            task.cancel()
        await asyncio.gather(sleeping, left, return_exceptions=True)

    loop = asyncio.new_event_loop()
    left = loop.run_until_complete(begin())
    asyncio.run(clock.sleep(1.0))
    loop.run_until_complete(beat())
    loop.close()

    assert seen == [2.0, 3.0, 4.0]


def test_a_run_of_trio_leaves_nothing_of_a_clock_that_was_not_done() -> None:
    clock, tokens = VirtualClock(), list[weakref.ref[Any]]()

    async def main() -> None:
        tokens.append(weakref.ref(trio.lowlevel.current_trio_token()))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.sleep, 100.0)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    trio.run(main)
    trio.run(clock.sleep, 1.0)
    gc.collect()

    assert tokens[0]() is None


def test_a_loop_that_hides_its_queue_is_refused() -> None:
    class Loop:
        def call_soon(self, _: object) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"cannot see when all tasks of .*Loop wait: use"):
        _ready_of(Loop())


async def test_a_sleep_that_was_refused_leaves_nothing(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("the loop cannot be seen idle")

    with monkeypatch.context() as patch:
        patch.setattr(_clock, "whenever_idle", refuse)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="cannot be seen idle"):
                await clock.sleep(1.0)
    await clock.sleep(5.0)

    assert clock.now() == 5.0
    assert clock._sleepers == {}
