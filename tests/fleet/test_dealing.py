"""Whatever goes wrong in ``deal_with``, an event counts as dealt with only if its effects are stored."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from shops import Shop, eventually, is_let_go, shop

from hpp_async import Completed, HPPClient, ReadBudget, WatchEvent
from hpp_async.fleet import SQLiteStore, Store
from hpp_async.fleet._dealing import call, failure_of
from hpp_async.fleet._lease import Lease
from hpp_async.fleet._shard import ShardWork
from hpp_async.fleet._store import ENDS_TRANSACTION, Ownership
from hpp_async.fleet._work import Work
from hpp_async.fleet._worker import Worker
from hpp_async.testing import Script, ScriptedProvider, opens, pays

pytestmark = pytest.mark.anyio

PAID = Script(opens(after=5), pays(after=20))


@pytest.fixture
async def here(provider: ScriptedProvider, store: Store[Any]) -> AsyncGenerator[Shop]:
    def pause(failures: int, draw: float) -> float | None:
        del draw
        return None if failures >= 3 else 0.0

    async with shop(provider, store, shards=1, pause=pause) as here:
        yield here


async def added(here: Shop) -> str:
    """Add a session that is paid, and return its id."""
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    return session


@contextlib.asynccontextmanager
async def working(here: Shop, deal_with: Callable[[WatchEvent, Any], Any]) -> AsyncGenerator[None]:
    task = asyncio.create_task(here.fleet.work(deal_with))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def is_parked(here: Shop) -> object:
    return await here.fleet.sessions(only_parked=True)


# -- errors of every class --------------------------------------------------------------------------------------------


async def test_a_cancellation_of_what_it_waits_for_is_a_failure_of_that_event(here: Shop) -> None:
    sessions = sorted([await added(here), await added(here)])
    failures = list[WatchEvent]()

    async def trouble(event: WatchEvent) -> None:
        if not failures:
            failures.append(event)
            shared = asyncio.create_task(asyncio.sleep(0))  # such as the refresh of a token that several wait for
            shared.cancel()
            await shared

    here.trouble = trouble
    async with here.working():
        for session in sessions:
            await here.fleet.wait_for_outcome(session)

    assert len(failures) == 1
    assert await here.booked() == sessions


async def test_a_shard_whose_task_was_cancelled_is_taken_anew(here: Shop) -> None:
    session = await added(here)

    async def trouble(_: WatchEvent) -> None:
        if len(here.events) == 1:
            [task] = [task for task in asyncio.all_tasks() if task.get_name() == "hpp_async.fleet shard 0"]
            task.cancel()

    here.trouble = trouble
    async with here.working():
        await here.fleet.wait_for_outcome(session)

    assert await here.booked() == [session]


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("the mail server is silent"),
        ConnectionResetError(),
        FileNotFoundError("template"),
        psycopg.InterfaceError("of the shop's own connection"),
        psycopg.errors.QueryCanceled("statement timeout"),
        sqlite3.OperationalError("database is locked"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_of_any_class_counts_where_the_database_is_there(here: Shop, error: Exception) -> None:
    session = await added(here)

    async def deal_with(event: WatchEvent, tx: Any) -> None:
        raise error

    async with working(here, deal_with):
        await eventually(lambda: is_parked(here))
    [parked] = await here.fleet.sessions()

    assert (parked.session_id, parked.failures, parked.error) == (session, 3, type(error).__name__)


async def test_a_generator_exit_of_the_users_ends_the_work_with_an_error_and_no_shard_goes_on(here: Shop) -> None:
    async def trouble(_: WatchEvent) -> None:
        raise GeneratorExit

    here.trouble = trouble
    session = await added(here)
    other = here.client.session_id(here.provider.add())
    await here.fleet.add(other)
    with pytest.raises(RuntimeError, match="deal_with raised GeneratorExit"):
        await here.fleet.work(here.deal_with)

    assert not any(map(here.client.notify, (session, other)))


async def test_a_database_that_is_not_reached_is_no_failure_of_the_event(
    here: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session, event, failures = await added(here), here.store.event, list[Exception]()

    def begin() -> AbstractAsyncContextManager[Any]:
        if not failures:
            is_file = isinstance(here.store, SQLiteStore)
            failures.append(sqlite3.OperationalError("database is locked") if is_file else psycopg.OperationalError())
            raise failures[0]
        return event()

    monkeypatch.setattr(here.store, "event", begin)
    async with here.working():
        await here.fleet.wait_for_outcome(session)

    assert await here.booked() == [session]
    assert f"session {session}: the database could not be used (OperationalError)" in caplog.text


@pytest.mark.parametrize("file", ["/srv/caf\udce9/shop.py", "/srv/shop.py\nERROR forged", "/srv/" + 10_000 * "x"])
async def test_the_place_of_a_failure_is_one_short_line(file: str) -> None:
    names: dict[str, Any] = {}
    exec(compile("async def deal_with(event, tx):\n    raise ValueError", file, "exec"), names)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - it has no message
        await call(names["deal_with"], cast("WatchEvent", None), None)

    failure = failure_of(caught.value)

    assert failure.startswith("ValueError at ")
    assert failure.endswith(":2")
    assert failure.isprintable()
    assert len(failure.encode()) < 120


# -- the transaction --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "ends"),
    [
        ("COMMIT", True),
        ("  -- at last\n end;", True),
        ("/* so\nfar */ RollBack", True),
        ("ABORT", True),
        ("ROLLBACK TO mark", False),
        ("rollback transaction to savepoint mark", False),
        ("ENDING", False),
        ("INSERT INTO booked VALUES ('COMMIT')", False),
    ],
)
def test_a_statement_that_ends_the_transaction_is_known(sql: str, ends: bool) -> None:
    assert bool(ENDS_TRANSACTION.match(sql)) is ends


@pytest.mark.parametrize("sql", ["COMMIT", " rollback"])
async def test_it_cannot_end_the_transaction_by_a_statement(here: Shop, sql: str) -> None:
    session = await added(here)
    refused = list[str]()

    async def deal_with(event: WatchEvent, tx: Any) -> None:
        await here.deal_with(event, tx)
        try:
            await tx.execute(sql)
        except (sqlite3.Error, psycopg.Error) as error:
            refused.append(str(error))

    async with working(here, deal_with):
        await here.fleet.wait_for_outcome(session)

    assert await here.booked() == [session]
    assert all("transaction" in message for message in refused)
    assert len(refused) == len(here.events)


async def test_what_was_rolled_back_behind_the_fleets_back_is_not_dealt_with(here: Shop) -> None:
    session = await added(here)

    async def deal_with(event: WatchEvent, tx: Any) -> None:
        await here.deal_with(event, tx)
        if not isinstance(event.news, Completed):
            return
        if isinstance(here.store, SQLiteStore):  # as SQLite does by itself if the disk is full
            await tx.execute("CREATE TABLE once (x INTEGER UNIQUE)")
            with contextlib.suppress(sqlite3.IntegrityError):
                for _ in range(2):
                    await tx.execute("INSERT OR ROLLBACK INTO once VALUES (1)")
            with pytest.raises(sqlite3.ProgrammingError, match="the transaction is over"):
                await tx.executemany("INSERT INTO booked VALUES (?)", [(session,)])
        else:
            await tx.cursor().execute("ROLLBACK")

    async with working(here, deal_with):
        await eventually(lambda: is_parked(here))
    [parked] = await here.fleet.sessions()

    assert (parked.is_parked, parked.failures) == (True, 3)
    assert await here.booked() == []


async def test_between_two_calls_in_one_transaction_the_idle_time_begins_anew(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await added(here)
    done = list[str]()
    limit = ShardWork._limit

    async def limited(shard: ShardWork[Any], tx: Any) -> None:
        done.append("limit")
        await limit(shard, tx)

    async def trouble(event: WatchEvent) -> None:
        done.append(type(event.news).__name__)

    here.trouble = trouble
    monkeypatch.setattr(ShardWork, "_limit", limited)
    async with here.working():
        await here.fleet.wait_for_outcome(session)
        outcome = done.index("Completed")

    assert done[outcome - 2 : outcome] == ["Transition", "limit"]


async def test_a_session_that_it_discards_is_not_followed_on(here: Shop) -> None:
    session = await added(here)

    async def deal_with(event: WatchEvent, tx: Any) -> None:
        await here.deal_with(event, tx)
        await here.fleet.discard(session, tx=tx)

    async with working(here, deal_with):
        await here.fleet.wait_for_outcome(session)
        await is_let_go(here, session)

    assert here.statuses(session) == ["WAITING"]


async def test_a_failed_event_has_left_the_watch_before_its_failure_is_noted(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is in the watch at a hand-over is stored as dealt with, and noting may take longer than the lease.
    session = await added(here)
    followed = list[bool]()
    failed = ShardWork._failed

    async def note(shard: ShardWork[Any], session_id: str, error: Exception, **options: Any) -> float:
        assert shard._watch is not None
        followed.append(session_id in shard._watch.tokens())
        return await failed(shard, session_id, error, **options)

    async def deal_with(event: WatchEvent, tx: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ShardWork, "_failed", note)
    async with working(here, deal_with):
        await eventually(lambda: is_parked(here))

    assert followed == [False] * 3
    assert [parked.session_id for parked in await here.fleet.sessions()] == [session]


# -- what is left of a loop that is gone ------------------------------------------------------------------------------


def test_a_transaction_of_a_loop_that_is_gone_does_not_touch_the_one_of_the_next(tmp_path: Path) -> None:
    # The garbage collector ended it, and rolled back the booking of the next loop.
    store = SQLiteStore(tmp_path / "shop.db")

    async def begin() -> AbstractAsyncContextManager[Any]:
        await store.migrate()
        begun = store.transaction()
        await (await begun.__aenter__()).execute("CREATE TABLE booked (session_id TEXT)")
        return begun

    async def book(begun: AbstractAsyncContextManager[Any]) -> list[tuple[Any, ...]]:
        async with store:
            async with store.transaction() as tx:
                await tx.execute("CREATE TABLE booked (session_id TEXT)")
                await tx.execute("INSERT INTO booked VALUES ('here')")
                with pytest.raises(RuntimeError, match="not holding this lock") as caught:
                    await begun.__aexit__(None, None, None)
                assert str(caught.value.__context__) == "the transaction is over: its event loop is gone"
            async with store.transaction() as tx:
                return await (await tx.execute("SELECT session_id FROM booked")).fetchall()

    loop = asyncio.new_event_loop()
    begun = loop.run_until_complete(begin())
    loop.close()

    assert asyncio.run(book(begun)) == [("here",)]


async def test_a_worker_of_a_loop_that_is_gone_leaves_the_client_alone(
    provider: ScriptedProvider, tmp_path: Path
) -> None:
    class Silent:
        async def survey(self) -> object:
            return await asyncio.get_running_loop().create_future()

    async with provider.client() as client, SQLiteStore(tmp_path / "shop.db") as store:
        work = worker_of(client, store)
        running = Worker(work, ReadBudget(7)).run(cast("Ownership", Silent()))
        running.send(None)
        running.close()  # as the garbage collector does

        assert client.budget != ReadBudget(7)
        assert client.budget.reads_per_second > 1


def worker_of(client: HPPClient, store: Store[Any]) -> Work[Any]:
    async def deal_with(event: WatchEvent, tx: Any) -> None: ...

    return Work(client=client, store=store, shards=2, lease=Lease(5), stop_on=(), deal_with=deal_with)


async def test_a_second_transaction_of_one_task_is_refused_in_our_words(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "shop.db") as store:
        await store.migrate()
        async with store.transaction():
            with pytest.raises(RuntimeError, match="pass it, with tx="):
                async with store.transaction():
                    pass
