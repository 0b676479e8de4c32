"""The cancel scopes of exchanges, on real event loops. Nothing here is asserted about how late a scope may end."""

from __future__ import annotations

import anyio
import pytest

from hpp_async._http.scopes import Scopes

SECONDS = 0.03


async def seconds_in(scopes: Scopes) -> float:
    """Return how long a scope lets a task sleep that would sleep for ever."""
    began_at = anyio.current_time()
    scope = scopes.begin()
    with scope:
        await anyio.sleep_forever()
    scopes.end(scope)
    return anyio.current_time() - began_at


@pytest.mark.anyio
async def test_every_scope_is_cancelled_and_none_before_its_time() -> None:
    scopes = Scopes(SECONDS)
    lasted: list[float] = []

    async def sleep() -> None:
        lasted.append(await seconds_in(scopes))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(sleep)
                await seconds_in(Scopes(SECONDS / 3))

    assert len(lasted) == 4
    assert min(lasted) >= SECONDS * 0.99  # uvloop counts in whole milliseconds


@pytest.mark.anyio
async def test_a_timer_that_was_set_for_a_scope_that_is_over_cancels_the_next_one_in_its_own_time() -> None:
    scopes = Scopes(SECONDS)
    scopes.end(scopes.begin())
    await seconds_in(Scopes(SECONDS / 3))

    with anyio.fail_after(10):
        assert await seconds_in(scopes) >= SECONDS * 0.9
        assert await seconds_in(scopes) >= SECONDS * 0.9


@pytest.mark.anyio
async def test_a_cancelled_task_may_clean_up_for_longer_than_the_timer_runs() -> None:
    scopes, lasted = Scopes(SECONDS), 0.0
    scope = scopes.begin()
    with anyio.fail_after(10):
        with scope:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    lasted = await seconds_in(scopes)
        scopes.end(scope)

    assert scope.cancelled_caught
    assert lasted >= SECONDS * 0.9


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [3600.0, float("inf")])
async def test_all_scopes_under_way_are_cancelled_at_once(seconds: float) -> None:
    scopes = Scopes(seconds)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(seconds_in, scopes)
            await anyio.wait_all_tasks_blocked()
            scopes.cancel_all()


def test_scopes_are_timed_in_the_next_event_loop() -> None:
    scopes = Scopes(SECONDS)

    async def leave_one_behind() -> float:
        lasted = await seconds_in(scopes)
        scopes.begin()  # it is lost with its event loop, as its timer is
        return lasted

    for backend in ("asyncio", "trio", "asyncio"):
        assert anyio.run(leave_one_behind, backend=backend) >= SECONDS * 0.9
        scopes.forget()
