"""The same behind a real nginx: what it does to connections, to reads that are too many, and while it is reloaded."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Unpack

import anyio
import pytest
from fault_server import always, drawn, nothing, scripted
from nginx import Nginx, nginx, path_of_nginx
from scene import IMPATIENT, PATIENT, Scene, by_turns, on_two_loops, scene, timeout_for
from wire_faults import BROKEN_OFF, FAULTS

from hpp_async import (
    BudgetPaused,
    RateLimitedError,
    ReadBudget,
    ReadFailed,
    ServerError,
)
from hpp_async._client import ClientOptions

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skip in time: what is skipped inside of an event loop is complained of in a later test."""
    path_of_nginx()


@asynccontextmanager
async def behind_nginx(
    caplog: pytest.LogCaptureFixture, home: Path, nginx_options: dict[str, str], **options: Unpack[ClientOptions]
) -> AsyncGenerator[tuple[Scene, Nginx]]:
    """Set the scene with an nginx between client and server."""
    started: list[Nginx] = []

    @asynccontextmanager
    async def front(upstream: str) -> AsyncGenerator[str]:
        async with nginx(upstream, home, **nginx_options) as running:
            started.append(running)
            yield running.url

    async with scene(caplog, front=front, **options) as here:
        yield here, started[0]


def failures(here: Scene) -> list[ReadFailed]:
    return [event for event in here.told.events if isinstance(event, ReadFailed)]


@on_two_loops
@pytest.mark.parametrize(("environ", "ending"), [({"CI": "true"}, pytest.fail.Exception), ({}, pytest.skip.Exception)])
async def test_without_nginx_these_are_skipped_but_never_in_ci(
    environ: dict[str, str], ending: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _, path: None)
    monkeypatch.delenv("CI", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ending, match="nginx is not on PATH"):
        path_of_nginx()


# -- connections ------------------------------------------------------------------------------------------------------


@on_two_loops
async def test_connections_of_three_requests_are_not_felt(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    settings = {"settings": "keepalive_requests 3;"}
    async with behind_nginx(caplog, tmp_path, settings, attempts=1) as (here, front):
        here.server.plan = here.life(nothing, every=10)
        outcome = await here.outcome()

        here.assert_right(outcome)
        assert failures(here) == []
        places = [place for _, place, _ in await front.connections()]
        assert places == [1, 2, 3] * 7


@on_two_loops
async def test_a_connection_that_was_closed_between_two_reads_is_not_felt(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    settings = {"settings": "keepalive_timeout 10ms;"}
    async with behind_nginx(caplog, tmp_path, settings, attempts=1) as (here, front):
        for _ in range(5):
            await here.client.read_session(here.session_id)
            while not here.is_hung_up_on():  # noqa: ASYNC110 - neither nginx nor httpx tells of it
                await anyio.sleep(0.001)

        assert failures(here) == []
        assert len({connection for connection, _, _ in await front.connections()}) == 5


@on_two_loops
async def test_connections_that_close_in_the_moment_of_reuse_are_not_felt(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    settings = {"settings": "keepalive_timeout 1ms;"}
    async with behind_nginx(caplog, tmp_path, settings, attempts=1) as (here, _):
        here.server.plan = here.life(nothing, every=60)
        outcome = await here.outcome()

        here.assert_right(outcome)
        assert failures(here) == []
        assert len(here.server.paths) == 121  # nothing was asked twice that had been answered


# -- reloads ----------------------------------------------------------------------------------------------------------


@on_two_loops
@pytest.mark.parametrize("grace", ["5s", "1ms"], ids=["in peace", "in haste"])
async def test_workers_that_are_replaced_during_reads_end_no_wait(
    grace: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async with behind_nginx(caplog, tmp_path, {"grace": grace}) as (here, front):
        reloads = 0

        async def think() -> None:
            nonlocal reloads
            if len(here.server.paths) % 4 == 0:
                reloads += 1
                await front.reload()  # the old worker has this very request in its hands

        here.server.think = think
        here.server.plan = here.life(nothing, every=10)
        outcome = await here.outcome()

        here.assert_right(outcome)
        assert reloads >= 5


@on_two_loops
async def test_workers_that_are_replaced_between_reads_are_not_felt(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async with behind_nginx(caplog, tmp_path, {}, attempts=1) as (here, front):
        for _ in range(5):
            await here.client.read_session(here.session_id)
            await front.reload()
            await here.client.read_session(here.session_id)

        assert failures(here) == []
        assert len(here.server.paths) == 10


# -- throttling -------------------------------------------------------------------------------------------------------


@on_two_loops
async def test_limit_req_is_waited_out_by_all_waits(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    settings = {"settings": "limit_req zone=merchant;", "rate": "20r/s"}
    async with behind_nginx(caplog, tmp_path, settings, budget=ReadBudget(10.0)) as (here, front):
        await here.crowd(5, opened=60, paid=300, every=10.0)

        statuses = [status for _, _, status in await front.connections()]
        pauses = [event for event in here.told.events if isinstance(event, BudgetPaused)]
        assert statuses.count(429) == len(pauses) > 0
        assert statuses.count(200) == len(here.server.paths)


@on_two_loops
async def test_limit_req_is_called_what_it_is(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    settings = {"settings": "limit_req zone=merchant;", "rate": "1r/m"}
    async with behind_nginx(caplog, tmp_path, settings, attempts=2) as (here, _):
        await here.client.read_session(here.session_id)
        error = await here.read_error()

        assert type(error) is RateLimitedError
        assert error.retry_after is None
        assert len(here.server.paths) == 1


# -- the upstream -----------------------------------------------------------------------------------------------------


@on_two_loops
async def test_an_upstream_that_is_gone_ends_no_wait(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    async with behind_nginx(caplog, tmp_path, {}) as (here, _):
        errors = await here.outages(3)

        assert [getattr(error, "status_code", None) for error in errors] == [502] * 3


@on_two_loops
async def test_an_upstream_that_stalls_is_a_504_and_ends_no_wait(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    stall = BROKEN_OFF["stalled before the answer"]
    async with behind_nginx(caplog, tmp_path, {"patience": "50ms"}, attempts=1) as (here, _):
        here.server.plan = always(stall)
        error = await here.read_error()
        here.server.plan = here.life(scripted(stall, None, stall))
        outcome = await here.outcome()

        assert isinstance(error, ServerError)
        assert error.status_code == 504
        here.assert_right(outcome)


RAW: Final = {"an SSH banner", "HTTP/0.9"}
"""What nginx takes for HTTP/0.9: it passes that on as it is, and hangs up on nobody."""


@by_turns(FAULTS)
async def test_a_wait_outlives_a_fault_behind_nginx(
    name: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    fault, timeout = FAULTS[name], IMPATIENT if name in RAW else timeout_for(name)
    async with behind_nginx(caplog, tmp_path, {"patience": "1s"}, timeout=timeout) as (here, _):
        more = nothing if timeout < PATIENT else drawn(7, 0.4, fault)
        here.server.plan = here.life(scripted(fault, None, fault, then=more), every=3)

        here.assert_right(await here.outcome())
        assert here.server.done[fault] >= 2
