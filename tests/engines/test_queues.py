"""The recipes for task queues, in virtual time: tasks that are lost, repeated and doubled, and what a queue sees."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import arq_sessions
import attrs
import celery_sessions
import pytest
from celery import Celery, Task  # type: ignore[import-untyped] # it has no types
from kombu.transport.redis import Channel
from plain_steps import take_step
from queue_store import PATIENCE, add, keep, open_store
from support.watching import PAYS, RETRIES

from hpp_async import FINAL, AnyOutcome, Authorization, Completed, PollSchedule, Transition
from hpp_async.testing import ScriptedProvider, VirtualClock

PUNCTUAL: Final = PollSchedule(jitter=0.0)


def reads_of_one_wait(life: Sequence[tuple[float, str]]) -> int:
    """Return how many reads a wait makes of a session with this life."""
    provider = ScriptedProvider(VirtualClock())
    session = provider.add(life)

    async def wait() -> None:
        async with provider.client(schedule=PUNCTUAL) as client:
            await client.wait_for_outcome(session, stop_on=FINAL)

    asyncio.run(wait())
    return len(provider.requests)


# -- Celery ---------------------------------------------------------------------------------------------------------


def rows(path: str, query: str) -> list[tuple[Any, ...]]:
    with open_store(path) as store:
        return store.execute(query).fetchall()


@attrs.define
class Shop:
    """A shop with a Celery worker in virtual time. Its queue is a heap of tasks by the time that they are due."""

    path: str
    provider: ScriptedProvider
    created: Callable[[str], None] = attrs.field(init=False)
    called_back: Callable[[str], None] = attrs.field(init=False)
    app: Celery = attrs.field(init=False)
    queue: list[tuple[float, int, Task, tuple[Any, ...]]] = attrs.field(init=False, factory=list)
    taken: int = attrs.field(init=False, default=0)
    countdowns: list[float] = attrs.field(init=False, factory=list[float])
    _order: Iterator[int] = attrs.field(init=False, factory=itertools.count)

    def __attrs_post_init__(self) -> None:
        shop = self

        class Queued(Task):  # type: ignore[misc] # see above
            def apply_async(
                self, args: Any = (), kwargs: Any = None, *_: Any, countdown: float = 0.0, **__: Any
            ) -> None:
                shop.countdowns.append(countdown)
                heapq.heappush(shop.queue, (shop.now() + countdown, next(shop._order), self, args))

        self.app = Celery("shop", task_cls=Queued, set_as_current=False)
        client = self.provider.client(schedule=PUNCTUAL)
        self.created, self.called_back = celery_sessions.tasks(self.app, client, self.path, now=self.now)

    def now(self) -> float:
        return self.provider.clock.provider_time().timestamp()

    def take(self, *, times: int = 1) -> None:
        """Run the next task when it is due; *times*: the broker repeats it."""
        due, _, task, args = heapq.heappop(self.queue)
        self.pass_until(due)
        self.taken += 1
        for _ in range(times):
            task(*args)

    def pass_until(self, due: float) -> None:
        if due > self.now():
            asyncio.run(self.provider.clock.sleep(due - self.now()))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return rows(self.path, query)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(str(tmp_path / "shop.db"), ScriptedProvider(VirtualClock()))


@pytest.mark.parametrize("times", [1, 2], ids=["once", "repeated"])
@pytest.mark.parametrize("life", [PAYS, RETRIES], ids=["pays", "retries"])
def test_a_chain_of_celery_tasks_is_as_one_wait(shop: Shop, life: Sequence[tuple[float, str]], times: int) -> None:
    shop.created(shop.provider.add(life, session_id="one"))
    while shop.queue:
        shop.take(times=times)

    assert len(shop.provider.requests) == reads_of_one_wait(life) + 1
    statuses = ["WAITING", *[status for _, status in life]]
    assert shop.rows("SELECT status FROM news") == [(status,) for status in statuses]
    assert shop.rows("SELECT session_id FROM payment") == [("one",)]
    assert shop.rows("SELECT ending FROM session") == [("Completed",)]


def test_a_callback_takes_over_the_chain_and_forks_nothing(shop: Shop) -> None:
    shop.created(shop.provider.add(PAYS, session_id="one"))
    while shop.provider.clock.now() < 50.0:
        shop.take()
    for _ in range(4):  # as the provider does
        shop.called_back("one")
    most = len(shop.queue)
    while shop.queue:
        shop.take()

    assert most == 5
    assert shop.rows("SELECT status FROM news") == [("WAITING",), ("IN_PROGRESS",), ("COMPLETED",)]
    assert len(shop.provider.requests) <= reads_of_one_wait(PAYS) + 1 + 2  # two reads sooner than without callbacks


def test_a_task_that_was_lost_is_swept_up(shop: Shop) -> None:
    shop.created(shop.provider.add(PAYS, session_id="one"))
    shop.take()
    shop.queue.clear()
    sweep = shop.app.tasks["sweep"]
    sweep()
    assert shop.queue == []  # it may still come
    shop.pass_until(shop.now() + PATIENCE + 15.0)
    sweep()
    while shop.queue:
        shop.take()

    assert shop.rows("SELECT session_id FROM payment") == [("one",)]


def test_a_countdown_is_cut_short_of_the_visibility_timeout_and_the_task_in_between_reads_nothing(shop: Shop) -> None:
    session_id = shop.provider.add([(0.0, "IN_PROGRESS")], session_id="one")
    shop.pass_until(shop.now() + 80_000)  # the consumer left the page open: the delay is over 13 minutes by now
    shop.created(session_id)
    while shop.countdowns[-1] < celery_sessions.LONGEST_COUNTDOWN:
        shop.take()
    reads = len(shop.provider.requests)
    shop.take()

    assert len(shop.provider.requests) == reads
    assert 0.0 < shop.countdowns[-1] < 600.0
    assert PollSchedule().active.maximum == 900.0
    assert Channel.visibility_timeout == 3600


def test_what_goes_to_the_broker_is_json_with_a_time_and_without_secrets(tmp_path: Path) -> None:
    provider = ScriptedProvider(VirtualClock())
    app = Celery("shop", broker="memory://", set_as_current=False)
    created, _ = celery_sessions.tasks(app, provider.client(), str(tmp_path / "shop.db"))
    created(provider.add(session_id="one"))
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("celery")
        messages = [queue.get(block=False)]
        while messages[-1].headers["eta"] is None:
            app.tasks["follow"](*messages[-1].payload[0])
            messages.append(queue.get(block=False))

    assert {message.content_type for message in messages} == {"application/json"}
    session_id, token = messages[-1].payload[0]
    assert session_id == "one"
    assert token.startswith("hpp2:")


@pytest.mark.asyncio
async def test_only_news_replace_a_token_that_another_task_has_stored_meanwhile(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(VirtualClock())
    provider.add([(15.0, "IN_PROGRESS")], session_id="one")

    async def nothing(_: Transition | AnyOutcome) -> None: ...

    async with provider.client(schedule=PUNCTUAL) as client:
        first = await take_step(client, "one", None, nothing, hold=0.0)
        await provider.clock.sleep(10.0)
        parked = await take_step(client, "one", first["token"], nothing, hold=0.0)
        await provider.clock.sleep(10.0)
        change = await take_step(client, "one", first["token"], nothing, hold=0.0)
    with open_store(str(tmp_path / "shop.db")) as store:
        add(store, "one", now=0.0)
        kept = [
            keep(store, "one", since, step, (), now=0.0)
            for since, step in (
                (None, first),
                (first["token"], parked),
                (first["token"], parked),  # by a second task
                (first["token"], change),
                (parked["token"], change),  # by the chain that was parked
            )
        ]

    assert parked["resume_in"] > 0.0
    assert kept == [True, True, False, True, False]


# -- arq ------------------------------------------------------------------------------------------------------------


@attrs.define
class Jobs:
    """What is enqueued."""

    deferred: list[tuple[float, tuple[Any, ...]]] = attrs.field(factory=list)

    async def enqueue_job(self, function: str, *args: Any, _defer_by: timedelta | None = None) -> None:
        assert function == "follow"
        self.deferred.append(((_defer_by or timedelta()).total_seconds(), args))


async def arq_context(provider: ScriptedProvider, tmp_path: Path) -> tuple[Jobs, arq_sessions.Context]:
    jobs, path = Jobs(), str(tmp_path / "shop.db")
    await arq_sessions.create(jobs, path, "one")
    return jobs, {"redis": jobs, "client": provider.client(schedule=PUNCTUAL), "path": path}


@pytest.mark.asyncio
async def test_a_chain_of_arq_jobs_is_as_one_wait(tmp_path: Path) -> None:
    provider = ScriptedProvider(VirtualClock())
    provider.add(PAYS, session_id="one")
    jobs, ctx = await arq_context(provider, tmp_path)
    while jobs.deferred:
        [(seconds, args)] = jobs.deferred
        jobs.deferred.clear()
        await provider.clock.sleep(seconds)
        await arq_sessions.follow(ctx, *args)

    assert len(provider.requests) == await asyncio.to_thread(reads_of_one_wait, PAYS) + 1
    assert rows(ctx["path"], "SELECT ending FROM session") == [("Completed",)]


@pytest.mark.asyncio
async def test_of_two_arq_jobs_that_take_one_step_at_once_one_goes_on(tmp_path: Path) -> None:
    provider = ScriptedProvider(VirtualClock())
    provider.add([(5.0, "COMPLETED")], session_id="one")
    jobs, ctx = await arq_context(provider, tmp_path)
    most = 0
    while jobs.deferred:
        most = max(most, len(jobs.deferred))
        due = [args for _, args in jobs.deferred]
        await provider.clock.sleep(max(seconds for seconds, _ in jobs.deferred))
        jobs.deferred.clear()
        if provider.clock.now() > 0:
            await arq_sessions.call_back(jobs, ctx["path"], "one")
            due += [args for _, args in jobs.deferred]
            jobs.deferred.clear()
        await asyncio.gather(*[arq_sessions.follow(ctx, *args) for args in due])

    assert most == 1
    assert rows(ctx["path"], "SELECT status FROM news") == [("WAITING",), ("COMPLETED",)]
    assert rows(ctx["path"], "SELECT session_id FROM payment") == [("one",)]


# -- what is stored where ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_pickled_outcome_holds_the_authorization_token_and_a_step_does_not() -> None:
    provider = ScriptedProvider(VirtualClock())
    session = provider.add([(0, "COMPLETED", {"authorization_token": "a-secret-token"})])
    outcomes = list[Transition | AnyOutcome]()

    async def take_note(news: Transition | AnyOutcome) -> None:
        outcomes.append(news)

    async with provider.client() as client:
        outcome = await client.wait_for_outcome(session)
        step = await take_step(client, session, None, take_note)

    assert isinstance(outcome, Completed)
    assert isinstance(outcome.payment, Authorization)
    assert b"a-secret-token" in pickle.dumps(outcome)
    assert b"a-secret-token" in pickle.dumps(outcomes[0])  # a transition has its reading, too
    assert "a-secret-token" not in json.dumps(outcome.to_dict())
    assert b"a-secret-token" not in pickle.dumps(step)
