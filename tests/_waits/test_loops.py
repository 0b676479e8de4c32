"""A client outlives its event loop, is used in one loop at a time, and can be notified from any thread."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hpp_async import Completed, HPPClient, PollSchedule, ReadBudget, ReadFailed, Transition
from hpp_async._loop import LoopClock, running_loop, running_task
from hpp_async.testing import ScriptedProvider, VirtualClock

Main = Callable[[], Coroutine[Any, Any, Any]]
RUNS: dict[str, Callable[[Main], Any]] = {"asyncio": lambda main: asyncio.run(main()), "trio": trio.run}


class Line(httpx.AsyncBaseTransport):
    """Answers requests at once, but never answers the requests that come while ``is_held``."""

    def __init__(self) -> None:
        self.statuses = {"paid": "COMPLETED", "open": "WAITING"}
        self.is_held = False
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.is_held:
            await anyio.sleep_forever()
        session = request.url.path.rpartition("/")[2]
        return httpx.Response(200, json={"session_id": session, "status": self.statuses[session]})


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def client(line: Line) -> HPPClient:
    provider = ScriptedProvider(VirtualClock())
    http_client = httpx.AsyncClient(transport=line)
    return provider.client(http_client=http_client, clock=LoopClock(), schedule=PollSchedule.every(3600))


@contextmanager
def a_loop_that_is_closed_half_way() -> Generator[asyncio.AbstractEventLoop]:
    """Yield a loop that is closed afterwards although tasks still run in it."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's complaint is expected
        loop.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until *condition* holds."""
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


# -- one loop after the other ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_each_read_can_have_a_loop_of_its_own(client: HPPClient, run: Callable[[Main], Any]) -> None:
    async def main() -> object:
        return type(await client.wait_for_outcome("paid"))

    assert [run(main) for _ in range(4)] == [Completed] * 4


def test_a_client_moves_between_loops_of_two_kinds(client: HPPClient) -> None:
    async def main() -> object:
        return str((await client.read_session("open")).status)

    assert [RUNS[kind](main) for kind in ("asyncio", "trio", "asyncio", "trio")] == ["WAITING"] * 4


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette")  # httpx2 is no dependency of ours
@pytest.mark.parametrize("run", RUNS)
def test_a_client_serves_the_requests_of_a_test_client(client: HPPClient, run: str) -> None:
    from starlette.testclient import TestClient  # noqa: PLC0415 - the import itself warns

    async def show(_: Request) -> PlainTextResponse:
        return PlainTextResponse((await client.wait_for_outcome("paid")).status)

    browser = TestClient(Starlette(routes=[Route("/", show)]), backend=run)  # type: ignore[arg-type]  # one of its two
    each_in_a_loop_of_its_own = [browser.get("/").text for _ in range(2)]
    with browser:
        in_one_loop = [browser.get("/").text for _ in range(2)]

    assert each_in_a_loop_of_its_own == in_one_loop == ["COMPLETED"] * 2


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_wait_and_a_watch_go_on_in_the_next_loop(client: HPPClient, line: Line, run: Callable[[Main], Any]) -> None:
    wait, seen = client.wait_for_outcome("open"), list[object]()

    async def begin() -> None:
        await anext(wait)

    async def go_on() -> None:
        line.statuses["open"] = "COMPLETED"
        assert client.notify("open")
        seen.append(type(await wait))
        async with client.watch(["paid"]) as watch:
            seen.extend([type(event.news) async for event in watch])

    run(begin)
    run(go_on)

    assert seen == [Completed, Transition, Completed]


def test_a_read_that_was_lost_with_its_loop_is_repeated(client: HPPClient, line: Line) -> None:
    wait = client.wait_for_outcome("paid")
    with a_loop_that_is_closed_half_way() as loop:

        async def begin() -> None:
            line.is_held = True
            asyncio.ensure_future(wait)  # noqa: RUF006 - it is to be lost
            await until(lambda: line.requests == 1)

        loop.run_until_complete(begin())
    assert "1 in flight" in repr(client)
    line.is_held = False

    async def go_on() -> object:
        with anyio.fail_after(10):
            reading = await client.read_session("paid")
            return str(reading.status), type(await wait)

    assert asyncio.run(go_on()) == ("COMPLETED", Completed)
    assert "in flight" not in repr(client)
    gc.collect()  # the lost step is collected here, and must raise and warn of nothing


def test_a_watch_whose_turn_was_lost_with_its_loop_queues_again(line: Line) -> None:
    provider = ScriptedProvider(VirtualClock())
    budget = ReadBudget(1000, max_in_flight=1)
    http_client = httpx.AsyncClient(transport=line)
    client = provider.client(http_client=http_client, clock=LoopClock(), budget=budget)
    watch = client.watch()
    line.is_held = True

    async def begin() -> None:
        await watch.__aenter__()
        watch.add("paid")
        asyncio.ensure_future(client.read_session("open"))  # noqa: RUF006 - it is to be lost
        await until(lambda: line.requests == 1)
        asyncio.ensure_future(anext(watch))  # noqa: RUF006 - it is to be lost, while it queues behind that read
        for _ in range(10):
            await anyio.lowlevel.checkpoint()

    async def go_on() -> list[object]:
        with anyio.fail_after(10):
            return [type(event.news) async for event in watch]

    with a_loop_that_is_closed_half_way() as loop:
        loop.run_until_complete(begin())
    line.is_held = False

    assert asyncio.run(go_on()) == [Transition, Completed]
    gc.collect()  # the lost step is collected here, and must raise and warn of nothing


def test_a_watch_repeats_reads_that_were_lost_with_their_loop(client: HPPClient, line: Line) -> None:
    watch = client.watch()

    async def begin() -> None:
        line.is_held = True
        await watch.__aenter__()
        watch.add("paid")
        asyncio.ensure_future(anext(watch))  # noqa: RUF006 - it is to be lost
        await until(lambda: line.requests == 1)

    with a_loop_that_is_closed_half_way() as loop:
        loop.run_until_complete(begin())
    line.is_held = False

    async def go_on() -> object:
        with anyio.fail_after(10):
            return [type(event.news) async for event in watch]

    assert asyncio.run(go_on()) == [Transition, Completed]


def test_a_turn_that_was_lost_with_its_loop_blocks_no_other(line: Line) -> None:
    provider = ScriptedProvider(VirtualClock())
    http_client = httpx.AsyncClient(transport=line)
    client = provider.client(http_client=http_client, clock=LoopClock())

    async def begin() -> None:
        line.is_held = True
        for number in range(50):  # more than may be in flight
            line.statuses[f"open-{number}"] = "WAITING"
            asyncio.ensure_future(client.read_session(f"open-{number}"))  # noqa: RUF006 - it is to be lost
        await until(lambda: line.requests > 0)

    with a_loop_that_is_closed_half_way() as loop:
        loop.run_until_complete(begin())
    line.is_held = False

    async def go_on() -> object:
        with anyio.fail_after(10):
            return str((await client.read_session("paid")).status)

    assert asyncio.run(go_on()) == "COMPLETED"


def test_reads_in_a_loop_that_is_paused_end_when_it_runs_again(client: HPPClient, line: Line) -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def begin() -> asyncio.Task[Any]:
        line.is_held = True
        task = asyncio.ensure_future(client.read_session("paid"))
        await until(lambda: line.requests == 1)
        return task

    async def read() -> object:
        return str((await client.read_session("paid")).status)

    task = first.run_until_complete(begin())
    line.is_held = False
    assert second.run_until_complete(read()) == "COMPLETED"
    assert str(first.run_until_complete(task).status) == "COMPLETED"
    first.run_until_complete(client.aclose())
    for loop in (first, second):
        for left in asyncio.all_tasks(loop):
            left.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_a_lost_read_is_no_event(line: Line) -> None:
    events: list[object] = []
    provider = ScriptedProvider(VirtualClock())
    client = provider.client(
        http_client=httpx.AsyncClient(transport=line), clock=LoopClock(), observers=[events.append]
    )

    async def begin() -> None:
        line.is_held = True
        asyncio.ensure_future(client.read_session("paid"))  # noqa: RUF006 - it is to be lost
        await until(lambda: line.requests == 1)

    with a_loop_that_is_closed_half_way() as loop:
        loop.run_until_complete(begin())
    asyncio.run(client.aclose())

    assert not [event for event in events if isinstance(event, ReadFailed)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_client_can_be_used_after_a_fork(client: HPPClient) -> None:
    async def read() -> object:
        return str((await client.read_session("paid")).status)

    def in_the_child() -> int:
        results: list[object] = []
        thread = threading.Thread(target=lambda: results.append(asyncio.run(read())))  # this one's loop is the parent's
        thread.start()
        thread.join(10)
        return 0 if results == ["COMPLETED"] else 1

    async def main() -> int:
        await read()
        child = os.fork()
        if child == 0:
            os._exit(in_the_child())
        return child

    _, status = os.waitpid(asyncio.run(main()), 0)
    assert os.waitstatus_to_exitcode(status) == 0


# -- two loops at once -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_two_running_loops_at_once_are_refused(client: HPPClient) -> None:
    await client.read_session("open")

    def elsewhere() -> str:
        with pytest.raises(RuntimeError) as caught:
            asyncio.run(client.wait_for_outcome("paid"))
        return str(caught.value)

    assert "another event loop, which is running" in await anyio.to_thread.run_sync(elsewhere)
    assert str((await client.read_session("open")).status) == "WAITING"


# -- notifications from any thread -------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_notification_from_a_thread_wakes_a_wait(client: HPPClient, line: Line) -> None:
    wait = client.wait_for_outcome("open")
    await anext(wait)
    line.statuses["open"] = "COMPLETED"
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_of, wait)
            await anyio.lowlevel.checkpoint()

            assert await anyio.to_thread.run_sync(client.notify, "open")

    assert isinstance(wait.outcome, Completed)
    assert not await anyio.to_thread.run_sync(client.notify, "open")
    assert not await anyio.to_thread.run_sync(client.notify, "somebody-else")


async def _end_of(wait: Any) -> None:
    await wait


@pytest.mark.anyio
async def test_a_notification_from_a_thread_wakes_a_watch(client: HPPClient, line: Line) -> None:
    seen: list[object] = []
    async with client.watch(["open"]) as watch:
        await anext(watch)
        line.statuses["open"] = "COMPLETED"

        async def follow() -> None:
            seen.extend([type(event.news) async for event in watch])

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                await anyio.lowlevel.checkpoint()

                assert await anyio.to_thread.run_sync(client.notify, "open")

    assert seen == [Transition, Completed]


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_notification_outside_of_any_loop_is_kept_for_the_next_loop(
    client: HPPClient, line: Line, run: Callable[[Main], Any]
) -> None:
    wait = client.wait_for_outcome("open")

    async def begin() -> None:
        await anext(wait)

    async def go_on() -> object:
        with anyio.fail_after(10):
            return type(await wait)

    assert not client.notify("open")  # nobody has begun to wait
    run(begin)
    line.statuses["open"] = "COMPLETED"
    for _ in range(3):
        assert client.notify("open")

    assert run(go_on) is Completed
    assert line.requests == 2


def test_outside_of_any_loop_nothing_runs() -> None:
    assert running_loop() is None
    assert running_task() is None


@pytest.mark.anyio
async def test_a_clock_that_no_client_has_entered_finds_the_loop_by_itself() -> None:
    clock = LoopClock()

    assert abs(clock.now() - monotonic()) < 60.0  # by the same zero, whichever loop it is


def test_a_clock_has_no_time_where_no_loop_runs_and_has_it_later() -> None:
    clock = LoopClock()
    with pytest.raises(RuntimeError):
        clock.now()

    async def now() -> float:
        return clock.now()

    assert abs(asyncio.run(now()) - monotonic()) < 60.0
