"""
Sessions followed by Temporal: one workflow a session, whose id is that of the session, and an activity for each step.

    pip install temporalio
    python examples/engines/temporal_sessions.py localhost:7233     # HPP_USERNAME, … in the environment

The shop starts a workflow with the id of the session when it has created one, and signals it for a status callback.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Final

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from plain_steps import HOLD, DealWith, Step, take_step

    from hpp_async import AnyOutcome, HPPClient, Transition

QUEUE: Final = "sessions"
HEARTBEAT: Final = 10.0
LONGEST_STEP: Final = timedelta(minutes=15)
"""With ``HOLD``, a step lasts for five minutes at most."""


class Steps:
    """The activity, which has the client of its worker."""

    def __init__(self, client: HPPClient, deal_with: DealWith, *, hold: float = HOLD) -> None:
        self._client = client
        self._deal_with = deal_with
        self._hold = hold

    @activity.defn(name="step")
    async def step(self, session_id: str, since: str | None, is_called_back: bool) -> Step:
        """Take a step. If its worker dies, the heartbeats end, and another worker takes the step again."""
        async with heartbeats():
            return await take_step(
                self._client, session_id, since, self._deal_with, hold=self._hold, is_called_back=is_called_back
            )


@contextlib.asynccontextmanager
async def heartbeats() -> AsyncGenerator[None]:
    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            activity.heartbeat()

    activity.heartbeat()
    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


@workflow.defn
class Follow:
    """The workflow: the time between two steps is a timer of the server's."""

    def __init__(self) -> None:
        self._is_called_back = False

    @workflow.signal
    def called_back(self) -> None:
        """End the timer between two steps."""
        self._is_called_back = True

    @workflow.run
    async def run(self, session_id: str) -> str:
        """Follow the session to its end, and return how it ended."""
        token: str | None = None
        while True:
            is_called_back, self._is_called_back = self._is_called_back, False
            step: Step = await workflow.execute_activity_method(
                Steps.step,
                args=[session_id, token, is_called_back],
                start_to_close_timeout=LONGEST_STEP,
                heartbeat_timeout=timedelta(seconds=3 * HEARTBEAT),
                # What a step raises is about our credentials: it is tried again until they are mended.
                retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
            )
            if step["ending"] is not None:
                return step["ending"]
            token = step["token"]
            if step["resume_in"]:
                with contextlib.suppress(asyncio.TimeoutError):
                    await workflow.wait_condition(
                        lambda: self._is_called_back, timeout=timedelta(seconds=step["resume_in"])
                    )


async def start(server: Client, session_id: str) -> WorkflowHandle[Follow, str]:
    """Start to follow the session; a second call is refused with an error, also after the end."""
    return await server.start_workflow(
        Follow.run,
        session_id,
        id=session_id,
        task_queue=QUEUE,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
    )


async def show(news: Transition | AnyOutcome) -> None:
    """Show the news: here the shop books a payment, so that it can be done twice."""
    print(news, flush=True)


async def main(server: str) -> None:
    connected = await Client.connect(server)
    async with HPPClient.from_env() as client:
        steps = Steps(client, show)
        await Worker(connected, task_queue=QUEUE, workflows=[Follow], activities=[steps.step]).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
