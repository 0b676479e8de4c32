"""
Sessions followed by DBOS: one workflow a session, whose id is that of the session, with SQLite or PostgreSQL as store.

    pip install dbos
    python examples/engines/dbos_sessions.py sqlite:///shop.sqlite SESSION_ID…

It takes HPP_USERNAME, HPP_PASSWORD and HPP_ENDPOINT from the environment. Started again after a crash, it goes on with
all sessions that it had not finished.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowHandleAsync
from plain_steps import HOLD, DealWith, Step, take_step

from hpp_async import AnyOutcome, AuthenticationError, HPPClient, Transition

CALLBACK: Final = "callback"
"""The topic of the messages that end the sleep between two steps: ``DBOS.send(session_id, True, CALLBACK)``."""

Follow = Callable[[str], Coroutine[Any, Any, str]]


def workflow(client: HPPClient, deal_with: DealWith, *, hold: float = HOLD) -> Follow:
    """Return the workflow. DBOS must know it before it is launched."""

    def is_to_be_retried(error: BaseException) -> bool:
        return isinstance(error, AuthenticationError)

    # DBOS stores what a step returns, and also what it raises: without retries, that is how the workflow ends.
    @DBOS.step(
        name="step",
        retries_allowed=True,
        should_retry=is_to_be_retried,
        interval_seconds=60.0,
        backoff_rate=1.0,
        max_attempts=48 * 60,  # for as long as a session lives
    )
    async def step(session_id: str, since: str | None, is_called_back: bool) -> Step:
        return await take_step(client, session_id, since, deal_with, hold=hold, is_called_back=is_called_back)

    @DBOS.workflow(name="follow")
    async def follow(session_id: str) -> str:
        token: str | None = None
        is_called_back = False
        while True:
            taken = await step(session_id, token, is_called_back)
            if taken["ending"] is not None:
                return taken["ending"]
            token, is_called_back = taken["token"], False
            if taken["resume_in"]:
                is_called_back = await DBOS.recv_async(CALLBACK, timeout_seconds=taken["resume_in"]) is not None

    return follow


async def start(follow: Follow, session_id: str) -> WorkflowHandleAsync[str]:
    """Start to follow the session, unless it has been started before; return a handle to its only workflow."""
    with SetWorkflowID(session_id):
        return await DBOS.start_workflow_async(follow, session_id)


def launch(database_url: str) -> None:
    """
    Launch DBOS in the running event loop, where it then runs all workflows, those that it recovers included.

    Without a running loop it has one of its own in a thread, and a client is for one loop at a time.
    """
    asyncio.get_running_loop()
    config = DBOSConfig(name="shop", system_database_url=database_url)
    DBOS(config=config)
    DBOS.launch()


async def show(news: Transition | AnyOutcome) -> None:
    """Show the news: here the shop books a payment, so that it can be done twice."""
    print(news, flush=True)


async def main(database_url: str, *session_ids: str) -> None:
    async with HPPClient.from_env() as client:
        follow = workflow(client, show)
        launch(database_url)
        handles = [await start(follow, session_id) for session_id in session_ids]
        for handle in handles:
            print(handle.get_workflow_id(), await handle.get_result(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
