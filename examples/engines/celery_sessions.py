"""
Sessions followed by Celery: a task takes a step, and enqueues the next task with a countdown.

    pip install celery[redis]
    celery --app celery_sessions worker --beat     # in examples/engines; HPP_USERNAME, … in the environment

Celery has no single writer for a session, and repeats a task whose worker it believes lost. The shop's own database is
the fence: see queue_store.py.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from celery import Celery  # type: ignore[import-untyped] # it has no types
from plain_steps import take_step
from queue_store import add, is_current, keep, open_store, overdue, stored_token

from hpp_async import AnyOutcome, HPPClient, Transition

LONGEST_COUNTDOWN: Final = 600.0
"""
Seconds: far below the visibility timeout, which is 1 hour with Redis and 30 minutes with SQS if you do not change it.

A worker gets a task at once, and keeps it until its countdown is over. If that takes longer than the visibility
timeout, the broker gives the same task to another worker, again and again. Delays of the default schedule are up to 15
minutes. A task that comes earlier than the next read is due reads nothing.
"""


class Task(Protocol):
    """What is used of a Celery task."""

    def apply_async(self, args: tuple[object, ...] = (), *, countdown: float = 0.0) -> object: ...


def tasks(
    app: Celery, client: HPPClient, path: str, *, now: Callable[[], float] = time.time
) -> tuple[Callable[[str], None], Callable[[str], None]]:
    """
    Register the tasks, and return what the shop calls when it has created a session, and for a status callback.

    The client is made once in a process, and each task runs an event loop of its own. With ``--pool threads``, make a
    client for each thread.
    """

    def follow(session_id: str, since: str | None = None, is_called_back: bool = False) -> None:
        news = list[Transition | AnyOutcome]()

        async def take_note(item: Transition | AnyOutcome) -> None:
            news.append(item)

        with open_store(path) as store:
            if not is_current(store, session_id, since):
                return
            # A step of one read, as a worker process does one task at a time.
            step = asyncio.run(take_step(client, session_id, since, take_note, hold=0.0, is_called_back=is_called_back))
            if keep(store, session_id, since, step, news, now=now()):
                countdown = min(step["resume_in"], LONGEST_COUNTDOWN)
                task.apply_async((session_id, step["token"]), countdown=countdown)

    # Acknowledged late: the task of a worker that dies is repeated.
    register: Callable[..., Any] = app.task
    task: Task = register(follow, name="follow", shared=False, acks_late=True, reject_on_worker_lost=True)

    # A worker may die between storing a step and enqueueing the next task, and a broker may lose what it has.
    def sweep() -> None:
        with open_store(path) as store:
            for session_id, token in overdue(store, now=now()):
                task.apply_async((session_id, token))

    register(sweep, name="sweep", shared=False)
    app.conf.beat_schedule = {"sweep": {"task": "sweep", "schedule": 60.0}}

    def created(session: str) -> None:
        session_id = client.session_id(session)
        with open_store(path) as store:
            add(store, session_id, now=now())
        task.apply_async((session_id,))

    def called_back(session: str) -> None:
        session_id = client.session_id(session)
        with open_store(path) as store:
            task.apply_async((session_id, stored_token(store, session_id), True))

    return created, called_back


def __getattr__(name: str) -> Any:
    """Make the app when the command above asks for it, and not when a test imports this module."""
    if name != "app":
        raise AttributeError(name)
    app = Celery("shop", broker=os.environ.get("BROKER_URL", "redis://localhost"))
    tasks(app, HPPClient.from_env(), os.environ.get("SHOP_DATABASE", "shop.db"))
    return app
