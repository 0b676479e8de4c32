"""A chain of steps in a real Restate server: the reads, the news and the ending of one wait, killed workers or not."""

from __future__ import annotations

from asyncio import create_task, gather
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from engine_scene import AWAY, NOWHERE, ON_THE_PAGE, PAYS, RETRIES, Scene, Worker, chain, one_wait, scene
from restate_server import Server, restate_server
from support.sittings import free_port

pytestmark = pytest.mark.anyio

PROGRAM: Final = Path(__file__).with_name("restate_worker.py")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with restate_server() as running:
        yield running


@asynccontextmanager
async def worker(server: Server, home: Path, pace: str = "fast") -> AsyncGenerator[tuple[Scene, Worker]]:
    """Run the provider, and a worker that the server knows."""
    async with scene(home) as here:
        port = free_port()
        worker = here.worker(PROGRAM, port, pace)
        await worker.start()
        await server.register(port)
        yield here, worker


async def test_chains_of_steps_are_as_waits_and_a_second_call_forks_nothing(server: Server, tmp_path: Path) -> None:
    async with worker(server, tmp_path) as (here, _):
        pays, retries = here.add(PAYS), here.add(RETRIES)
        waits = gather(one_wait(here, PAYS), one_wait(here, RETRIES))
        endings = await gather(*[server.follow(session_id) for session_id in (pays, retries, NOWHERE, pays)])
        one, other = await waits

        assert chain(here, pays, endings[0]) == one.with_one_more_read()
        assert chain(here, retries, endings[1]) == other.with_one_more_read()
        assert endings[2:] == ["needs a person: SessionNotFoundError", endings[0]]


async def test_a_killed_worker_costs_a_read_a_session_and_loses_nothing(server: Server, tmp_path: Path) -> None:
    async with worker(server, tmp_path) as (here, killed):
        away, on_the_page = here.add(AWAY), here.add(ON_THE_PAGE)
        waits = gather(one_wait(here, AWAY), one_wait(here, ON_THE_PAGE))
        endings = gather(server.follow(away), server.follow(on_the_page))
        await gather(here.has_read(away, 3), here.has_read(on_the_page, 2))
        await killed.is_replaced()
        for session_id, ending, wait in zip((away, on_the_page), await endings, await waits, strict=True):
            here.is_as_after_a_crash(session_id, chain(here, session_id, ending), wait)


async def test_a_step_that_outlasts_the_timeouts_of_the_server_is_taken_again_and_loses_nothing(tmp_path: Path) -> None:
    timeouts = {"INACTIVITY_TIMEOUT": "300ms", "ABORT_TIMEOUT": "300ms"}
    settings = {f"RESTATE_WORKER__INVOKER__{name}": value for name, value in timeouts.items()}
    with restate_server(settings) as server:
        async with worker(server, tmp_path) as (here, _):
            session_id = here.add([("WAITING", 15), ("COMPLETED", 1)])  # all of them within one step
            followed = chain(here, session_id, await server.follow(session_id))

            assert followed.distinct_news == ["WAITING", "COMPLETED", "Completed"]
            assert here.sessions[session_id].due == 16


async def test_a_callback_takes_a_step_early_and_forks_nothing(server: Server, tmp_path: Path) -> None:
    async with worker(server, tmp_path, "slow") as (here, _):
        session_id = here.add([("IN_PROGRESS", 1)])
        following = create_task(server.follow(session_id))
        await here.has_read(session_id, 1)
        here.sessions[session_id].life = [("COMPLETED", 1)]
        await gather(*[server.call_back(session_id) for _ in range(3)])
        followed = chain(here, session_id, await following)

        assert followed.news == ["IN_PROGRESS", "COMPLETED", "Completed"]
        assert followed.reads == 3
