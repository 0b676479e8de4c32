"""A wait that is cancelled at any await raises the cancellation and loses nothing, and its client stays usable."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
from support.interruptions import ENOUGH, calling
from support.servers import request_of, run, serve, wire

from hpp_async import FINAL, Completed, HPPClient, Outcome, OutcomeWait
from hpp_async.testing import Provider, ScriptedProvider, VirtualClock

RETRIES = [(4, "IN_PROGRESS"), (9, "FAILED"), (12, "IN_PROGRESS"), (20, "COMPLETED")]
STATUSES = ["WAITING", "IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED"]


class Steps:
    """Steps of one wait, which are cancelled at await number *at*, and then go on."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.provider = ScriptedProvider(VirtualClock())
        self.wait: OutcomeWait = self.provider.client(schedule=_Often()).wait_for_outcome(
            self.provider.add(RETRIES), stop_on=FINAL
        )
        self.seen: list[str] = []
        self.was_cancelled = False

    async def follow(self) -> None:
        async for transition in self.wait:
            self.seen.append(transition.status)

    def assert_nothing_lost(self) -> None:
        assert isinstance(self.wait.outcome, Completed)
        assert self.seen == STATUSES
        assert [transition.status for transition in self.wait.outcome.transitions] == STATUSES


class _Often:
    def delay(self, session: object, *, age: float, draw: float) -> float:
        return 1.0


def every_await(run: Callable[[Steps], bool]) -> int:
    """Cancel at the first await of a wait, then at the second, and so on; return how many there were."""
    for at in range(ENOUGH):
        steps = Steps(at)
        if not run(steps):
            return at
        steps.assert_nothing_lost()
    raise AssertionError("the wait never ends")


def test_a_task_cancelled_at_any_await_loses_nothing() -> None:
    async def main(steps: Steps) -> bool:
        task = asyncio.create_task(calling(steps.follow(), steps.at, lambda: task.cancel()))  # noqa: PLW0108 - there is no task yet
        try:
            return await task
        except asyncio.CancelledError:
            assert task.cancelled()
        await asyncio.create_task(steps.follow())
        return True

    assert every_await(lambda steps: asyncio.run(main(steps))) > 20


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_scope_cancelled_at_any_await_loses_nothing(backend: str) -> None:
    async def main(steps: Steps) -> bool:
        was_reached = False
        with anyio.CancelScope() as scope:
            was_reached = await calling(steps.follow(), steps.at, scope.cancel)
        if scope.cancelled_caught:
            await steps.follow()
            return True
        return was_reached

    assert every_await(lambda steps: anyio.run(main, steps, backend=backend)) > 20


def test_a_trio_scope_cancelled_at_any_await_loses_nothing() -> None:
    async def main(steps: Steps) -> bool:
        was_reached = False
        with trio.CancelScope() as scope:
            was_reached = await calling(steps.follow(), steps.at, scope.cancel)
        if scope.cancelled_caught:
            await steps.follow()
            return True
        return was_reached

    assert every_await(lambda steps: trio.run(main, steps)) > 20


def test_awaiting_after_a_cancelled_await_gives_every_transition() -> None:
    async def main(steps: Steps) -> bool:
        async def finish() -> None:
            await steps.wait

        with anyio.CancelScope() as scope:
            was_reached = await calling(finish(), steps.at, scope.cancel)
            if not scope.cancel_called:
                return was_reached
        outcome = await steps.wait
        steps.seen = [transition.status for transition in outcome.transitions]
        return True

    assert every_await(lambda steps: anyio.run(main, steps)) > 20


@pytest.mark.asyncio
async def test_asyncio_timeout_and_wait_for_end_the_step_and_not_the_wait(provider: ScriptedProvider) -> None:
    wait = provider.client().wait_for_outcome(provider.add(RETRIES), stop_on=FINAL)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await wait
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait, 0)

    assert isinstance(await wait, Completed)


@pytest.mark.anyio
async def test_a_cancelled_caller_leaves_the_read_in_flight_for_the_others(provider: ScriptedProvider) -> None:
    provider.latency = 5.0
    client = provider.client()
    session = provider.add([(0, "COMPLETED")])
    outcomes: list[Outcome] = []
    scope = anyio.CancelScope()

    async def stays() -> None:
        outcomes.append(await client.wait_for_outcome(session))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stays)
        with scope:
            tasks.start_soon(_cancel_after, provider.clock, 2.0, scope)
            await client.wait_for_outcome(session)

    assert scope.cancelled_caught
    assert [type(outcome) for outcome in outcomes] == [Completed]
    assert len(provider.requests) == 1


async def _cancel_after(clock: VirtualClock, seconds: float, scope: anyio.CancelScope) -> None:
    await clock.sleep(seconds)
    scope.cancel()


@pytest.mark.anyio
async def test_five_waits_on_one_session_send_as_many_requests_as_one(
    provider: ScriptedProvider, clock: VirtualClock
) -> None:
    session = provider.add(lifetime=timedelta(hours=12))
    client = provider.client()
    alone = client.wait_for_outcome(provider.add(lifetime=timedelta(hours=12)))
    await alone
    cost = len(provider.requests)
    session = provider.add(lifetime=timedelta(hours=12))
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            wait = client.wait_for_outcome(session)
            tasks.start_soon(run, wait)

    assert len(provider.requests) - cost <= cost * 1.15


@pytest.mark.anyio
async def test_closing_the_client_during_reads_ends_all_waits(provider: ScriptedProvider) -> None:
    provider.latency = 60.0
    client = provider.client()
    ended: list[type[BaseException]] = []

    async def wait() -> None:
        try:
            await client.wait_for_outcome(provider.add())
        except BaseException as error:
            ended.append(type(error))
            if not isinstance(error, Exception):
                raise

    async with anyio.create_task_group() as tasks:
        for _ in range(15):
            tasks.start_soon(wait)
        await provider.clock.sleep(1)
        await client.aclose()

    assert [error.__name__ for error in ended] == ["ClientClosedError"] * 15


@pytest.mark.parametrize("use_uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_a_client_survives_two_thousand_native_cancels_of_real_requests(use_uvloop: bool) -> None:
    draw = random.Random(20_261_123)

    async def main() -> None:
        model = Provider(now=_now, quota=None)

        async def handle(head: bytes, _: object) -> bytes:
            for _ in range(draw.randrange(4)):
                await anyio.lowlevel.checkpoint()
            return wire(model.answer(*request_of(head)))

        async with serve(handle) as url, HPPClient(auth=("user", "secret"), endpoint=url) as client:
            sessions = [model.create() for _ in range(8)]
            cancels = 0
            while cancels < 2000:
                tasks = [asyncio.create_task(client.read_session(draw.choice(sessions))) for _ in range(8)]
                for _ in range(draw.randrange(30)):
                    await asyncio.sleep(0)
                for task in tasks:
                    cancels += task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            readings = [await client.read_session(session) for session in sessions]

            assert [reading.status for reading in readings] == ["WAITING"] * 8
            assert _requests_in_pool(client) == 0

    anyio.run(main, backend_options={"use_uvloop": use_uvloop})


def _now() -> Any:
    return VirtualClock().provider_time()


def _requests_in_pool(client: HPPClient) -> int:
    # httpx has no public access to its pool, and nothing else shows whether a request was left behind in it.
    pools = [one.via._pool for one in client._connections._open]  # type: ignore[attr-defined]
    return sum(len(pool._requests) + sum(not one.is_idle() for one in pool.connections) for pool in pools)
