"""A chain of steps in a DBOS workflow on SQLite: the reads, the news and the ending of one wait, killed or not."""

from __future__ import annotations

import sqlite3
import sys
from asyncio import create_task, gather
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import attrs
import pytest
from dbos import DBOSClient, WorkflowHandleAsync
from engine_scene import AWAY, NOWHERE, ON_THE_PAGE, PAYS, RETRIES, Scene, Worker, chain, one_wait, scene

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < (3, 42),
        reason="DBOS needs SQLite 3.42 on Python 3.12 and newer",
    ),
]

PROGRAM: Final = Path(__file__).with_name("dbos_worker.py")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@attrs.frozen
class Engine:
    """A worker, and the database of DBOS as another process sees it: a shop's, for one."""

    worker: Worker
    client: DBOSClient

    async def ending(self, session_id: str) -> str:
        """Wait until the session's workflow is over, and return the ending that it found."""
        handle: WorkflowHandleAsync[str] = await self.client.retrieve_workflow_async(session_id)
        return await handle.get_result(polling_interval_sec=0.05)

    async def call_back(self, session_id: str) -> None:
        await self.client.send_async(session_id, True, "callback")


@asynccontextmanager
async def following(here: Scene, session_ids: Sequence[str], pace: str = "fast") -> AsyncGenerator[Engine]:
    """Run a worker that follows the sessions."""
    url = f"sqlite:///{here.home}/dbos.sqlite"
    worker = here.worker(PROGRAM, pace, url, *session_ids)
    await worker.start()
    await here.has_asked_for(session_ids)
    client = DBOSClient(system_database_url=url)
    try:
        yield Engine(worker, client)
    finally:
        client.destroy()


async def test_chains_of_steps_are_as_waits_and_a_second_start_forks_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        pays, retries = here.add(PAYS), here.add(RETRIES)
        async with following(here, [pays, retries, NOWHERE, pays]) as engine:
            waits = gather(one_wait(here, PAYS), one_wait(here, RETRIES))
            endings = [await engine.ending(session_id) for session_id in (pays, retries, NOWHERE)]
            one, other = await waits

        assert chain(here, pays, endings[0]) == one.with_one_more_read()
        assert chain(here, retries, endings[1]) == other.with_one_more_read()
        assert endings[2] == "needs a person: SessionNotFoundError"


async def test_a_killed_worker_costs_a_read_a_session_and_loses_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        away, on_the_page = here.add(AWAY), here.add(ON_THE_PAGE)
        async with following(here, [away, on_the_page]) as engine:
            waits = [create_task(one_wait(here, life)) for life in (AWAY, ON_THE_PAGE)]
            await gather(here.has_read(away, 3), here.has_read(on_the_page, 2))
            await engine.worker.is_replaced()
            for session_id, waiting in zip((away, on_the_page), waits, strict=True):
                followed = chain(here, session_id, await engine.ending(session_id))
                here.is_as_after_a_crash(session_id, followed, await waiting)


async def test_a_callback_takes_a_step_early_and_forks_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        session_id = here.add([("IN_PROGRESS", 1)])
        async with following(here, [session_id], "slow") as engine:
            here.sessions[session_id].life = [("COMPLETED", 1)]
            await gather(*[engine.call_back(session_id) for _ in range(3)])
            followed = chain(here, session_id, await engine.ending(session_id))

        assert followed.news == ["IN_PROGRESS", "COMPLETED", "Completed"]
        assert followed.reads == 3
