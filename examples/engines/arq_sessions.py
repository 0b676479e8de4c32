"""
Sessions followed by arq: a job takes a step, and enqueues the next job, deferred.

    pip install arq
    arq arq_sessions.WorkerSettings                # in examples/engines; HPP_USERNAME, … in the environment

arq may run a job more than once, and has no single writer for a session. The shop's own database is the fence: see
queue_store.py.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Any, ClassVar, Protocol

from arq import cron
from plain_steps import take_step
from queue_store import add, is_current, keep, open_store, overdue, stored_token

from hpp_async import AnyOutcome, HPPClient, Transition

Context = dict[Any, Any]
"""What arq gives to a job: ``redis``, and what `start` puts there."""


class Queue(Protocol):
    """What is used of `arq.ArqRedis`, which is ``ctx["redis"]`` in a job."""

    async def enqueue_job(self, function: str, *args: Any, _defer_by: timedelta | None = None) -> object: ...


async def follow(ctx: Context, session_id: str, since: str | None = None, is_called_back: bool = False) -> None:
    """
    Take a step. Its arguments are pickled, and so is what it returns: it takes a token, and returns nothing.

    The next job has an id of its own: with that of the session, arq would ignore it as long as this one runs.
    """
    queue: Queue = ctx["redis"]
    client: HPPClient = ctx["client"]
    news = list[Transition | AnyOutcome]()

    async def take_note(item: Transition | AnyOutcome) -> None:
        news.append(item)

    with open_store(ctx["path"]) as store:
        if not is_current(store, session_id, since):
            return
        # A step of one read, as arq cancels a job after ``job_timeout``, which is five minutes if you do not change it.
        step = await take_step(client, session_id, since, take_note, hold=0.0, is_called_back=is_called_back)
        if keep(store, session_id, since, step, news, now=time.time()):
            later = timedelta(seconds=step["resume_in"])
            await queue.enqueue_job("follow", session_id, step["token"], _defer_by=later)


async def create(queue: Queue, path: str, session_id: str) -> None:
    """Follow the session: what the shop calls when it has created one."""
    with open_store(path) as store:
        add(store, session_id, now=time.time())
    await queue.enqueue_job("follow", session_id)


async def call_back(queue: Queue, path: str, session_id: str) -> None:
    """Let a step be taken now: what the shop calls for a status callback."""
    with open_store(path) as store:
        token = stored_token(store, session_id)
    await queue.enqueue_job("follow", session_id, token, True)


async def sweep(ctx: Context) -> None:
    """Enqueue what was lost between storing a step and enqueueing the next job."""
    queue: Queue = ctx["redis"]
    with open_store(ctx["path"]) as store:
        for session_id, token in overdue(store, now=time.time()):
            await queue.enqueue_job("follow", session_id, token)


async def start(ctx: Context) -> None:
    ctx["client"], ctx["path"] = HPPClient.from_env(), os.environ.get("SHOP_DATABASE", "shop.db")


async def stop(ctx: Context) -> None:
    await ctx["client"].aclose()


class WorkerSettings:
    functions: ClassVar = [follow]
    cron_jobs: ClassVar = [cron(sweep, second=0)]
    on_startup = start
    on_shutdown = stop
