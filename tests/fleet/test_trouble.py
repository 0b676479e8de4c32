"""A database that fails at the wrong moment, on SQLite with faults in it; tests/fleet/processes has the real ones."""

from __future__ import annotations

import asyncio
import importlib
import pydoc
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from shops import Shop, eventually, is_let_go, shop, until

import hpp_async.fleet
from hpp_async import Completed, ConfigurationError, WatchEvent
from hpp_async.fleet import Fleet, SQLiteStore, SQLiteTransaction, _sqlite
from hpp_async.fleet._lease import Lease
from hpp_async.fleet._shard import ShardWork
from hpp_async.fleet._sqlite import _Alone, _version
from hpp_async.fleet._work import Work
from hpp_async.fleet._worker import Worker
from hpp_async.testing import Script, ScriptedProvider, opens, pays

pytestmark = pytest.mark.anyio

PAID = Script(opens(after=5), pays(after=20))
LOCKED = sqlite3.OperationalError("database is locked")
FULL = sqlite3.OperationalError("database or disk is full")


@pytest.fixture
async def here(provider: ScriptedProvider, tmp_path: Path) -> AsyncGenerator[Shop]:
    async with shop(provider, SQLiteStore(tmp_path / "shop.db"), shards=2, lease=2) as here:
        yield here


@pytest.fixture
def fails(here: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets a statement of the fleet's fail so many times."""
    run, left = here.store.run, dict[str, tuple[int, Exception]]()

    async def failing(tx: Any, name: str, *parameters: object) -> Any:
        count, error = left.get(name, (0, Exception()))
        if count:
            left[name] = (count - 1, error)
            raise error
        return await run(tx, name, *parameters)

    monkeypatch.setattr(here.store, "run", failing)

    def let_fail(name: str, times: int = 1, error: Exception = LOCKED) -> None:
        left[name] = (times, error)

    return let_fail


async def paid(here: Shop) -> str:
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    return session


@pytest.mark.parametrize("error", [LOCKED, FULL])
@pytest.mark.parametrize("statement", ["next_epoch", "load", "row", "lock", "store", "news"])
async def test_a_database_that_cannot_be_used_for_a_while_is_tried_again(
    here: Shop, fails: Callable[..., None], monkeypatch: pytest.MonkeyPatch, statement: str, error: Exception
) -> None:
    monkeypatch.setattr("hpp_async.fleet._failing._LATER", 1)
    fails(statement, times=2, error=error)
    async with here.working():
        await eventually(lambda: owned(here))
        session = await paid(here)
        await here.fleet.wait_for_outcome(session)

    assert await here.booked() == [session]
    assert all(item.failures == 0 for item in await here.fleet.sessions())


async def owned(here: Shop) -> bool:
    return all(shard.owner is not None for shard in await here.fleet.shards())


@pytest.mark.parametrize("error", [LOCKED, FULL])
@pytest.mark.parametrize("statement", ["fail", "limit"])
async def test_what_fails_beside_a_failure_is_made_up_for(
    here: Shop, fails: Callable[..., None], monkeypatch: pytest.MonkeyPatch, statement: str, error: Exception
) -> None:
    monkeypatch.setattr("hpp_async.fleet._failing._LATER", 1)
    fails(statement, error=error)
    tries = 0

    async def trouble(_: WatchEvent) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ZeroDivisionError

    here.trouble = trouble
    session = await paid(here)
    async with here.working():
        await here.fleet.wait_for_outcome(session)

    assert await here.booked() == [session]


@pytest.mark.parametrize("statement", ["load", "row", "fail"])
async def test_an_error_of_the_fleets_own_statements_ends_the_work(
    here: Shop, fails: Callable[..., None], statement: str
) -> None:
    async def trouble(_: WatchEvent) -> None:
        if statement == "fail":
            raise ZeroDivisionError

    here.trouble = trouble
    fails(statement, times=100, error=sqlite3.OperationalError("no such column"))
    async with here.working() as working:
        # A session that is added before its shard is taken is loaded with it, and never looked up by itself.
        await eventually(lambda: asyncio.sleep(0, working.done()) if statement == "load" else owned(here))
        await paid(here)
        with pytest.raises(sqlite3.OperationalError):
            await working


async def test_a_shard_with_nobody_to_wait_for_is_handed_over_at_once(here: Shop, fails: Callable[..., None]) -> None:
    fails("next_epoch", times=1000)
    async with here.working():
        await eventually(lambda: owned(here))

    assert here.events == []


async def test_an_event_under_way_is_dealt_with_before_its_shard_is_handed_over(here: Shop) -> None:
    is_dealing, may_end = asyncio.Event(), asyncio.Event()

    async def trouble(_: WatchEvent) -> None:
        is_dealing.set()
        await may_end.wait()

    here.trouble = trouble
    await here.fleet.add(here.provider.add())
    async with here.working() as working:
        await is_dealing.wait()
        working.cancel()
        asyncio.get_running_loop().call_later(0.05, may_end.set)

    assert [item.status for item in await here.fleet.sessions()] == ["WAITING"]


async def test_an_event_that_takes_longer_than_the_lease_is_given_up_at_a_hand_over_and_comes_again(here: Shop) -> None:
    async def trouble(_: WatchEvent) -> None:
        await asyncio.Event().wait()

    here.trouble = trouble
    session = await paid(here)
    async with here.working():
        await until(lambda: here.events)
    here.trouble = None
    async with here.working():
        await here.fleet.wait_for_outcome(session)

    assert await here.booked() == [session]


def losing_of(here: Shop, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[float], object]]:
    """Return the functions that say to each worker, one after another, that it has lost its shards."""
    losing: list[Callable[[float], object]] = []

    @asynccontextmanager
    async def own(shards: int, _: object, lost: Callable[[float], object]) -> AsyncGenerator[_Alone]:
        losing.append(lost)
        yield _Alone(shards)

    monkeypatch.setattr(here.store, "own", own)
    return losing


async def test_nothing_is_read_and_stored_once_ownership_is_in_doubt(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing = losing_of(here, monkeypatch)

    async def trouble(event: WatchEvent) -> None:
        if len(losing) == 1 and isinstance(event.news, Completed):
            losing[0](0.0)  # in the middle of the transaction
            await asyncio.Event().wait()

    here.trouble = trouble
    session = await paid(here)
    async with here.working():
        await here.fleet.wait_for_outcome(session)

    assert len(losing) == 2
    assert await here.booked() == [session]


async def test_an_event_that_lets_every_worker_stand_still_until_it_has_lost_its_shards_is_parked(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing = losing_of(here, monkeypatch)
    here.fleet._pause = lambda failures, _: None if failures >= 3 else 0.0
    bad = await paid(here)

    async def trouble(event: WatchEvent) -> None:
        if event.session_id == bad:
            losing[-1](1.0)
            await asyncio.Event().wait()

    here.trouble = trouble
    async with here.working():
        await eventually(lambda: here.fleet.sessions(only_parked=True))
        good = await paid(here)
        await here.fleet.wait_for_outcome(good)
    [parked] = await here.fleet.sessions()

    assert (parked.session_id, parked.failures, parked.error) == (bad, 3, "DealOverdueError")
    assert len(here.statuses(bad)) == 3
    assert await here.booked() == [good]


async def test_an_event_that_another_worker_has_dealt_with_meanwhile_has_not_failed(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing = losing_of(here, monkeypatch)
    here.fleet._pause = lambda *_: None
    session = await paid(here)
    settle = Worker._settle

    async def trouble(_: WatchEvent) -> None:
        if len(losing) == 1:
            losing[-1](1.0)
            await asyncio.Event().wait()

    async def deal_meanwhile(worker: Worker[Any]) -> None:
        await settle(worker)
        if len(losing) == 1:
            async with here.store.transaction() as tx:
                await here.store.run(tx, "store", f"hpp1:0:-:-:{session}:WAITING", None, "{}", None, False, session)

    monkeypatch.setattr(Worker, "_settle", deal_meanwhile)
    here.trouble = trouble
    async with here.working():
        assert (await here.fleet.wait_for_outcome(session)).ending == "Completed"


async def test_a_pause_outlives_its_worker(provider: ScriptedProvider, tmp_path: Path) -> None:
    def pause(*_: object) -> float:
        return 3600.0

    async with shop(provider, SQLiteStore(tmp_path / "shop.db"), shards=1, pause=pause) as here:
        bad = here.client.session_id(here.provider.add())

        async def trouble(event: WatchEvent) -> None:
            if event.session_id == bad:
                raise ZeroDivisionError

        here.trouble = trouble
        await here.fleet.add(bad)
        for _ in range(2):
            async with here.working():
                await here.fleet.wait_for_outcome(await paid(here))
                here.store.channels.catch_up()
                await here.fleet.wait_for_outcome(await paid(here))
        [item] = await here.fleet.sessions()
        async with here.working():
            await here.fleet.wait_for_outcome(await paid(here))
            await here.fleet.discard(bad)
            await here.fleet.wait_for_outcome(await paid(here))

    assert (item.failures, item.error, item.is_parked, len(here.statuses(bad))) == (1, "ZeroDivisionError", False, 1)
    assert provider.clock.now() < 3600


async def test_a_shard_that_another_worker_took_stores_no_tokens(here: Shop) -> None:
    session = here.client.session_id(here.provider.add())
    await here.fleet.add(session)
    async with here.working():
        await until(lambda: here.events)
        async with here.store.transaction() as tx:
            await here.store.run(tx, "store", None, None, "{}", None, False, session)
            await tx.execute("UPDATE hpp_session SET token = NULL")
            await tx.execute("UPDATE hpp_shard SET epoch = epoch + 1")
    async with here.store.transaction() as tx:
        cursor = await tx.execute("SELECT token FROM hpp_session")
        assert await cursor.fetchone() == (None,)
        assert await cursor.fetchone() is None


@pytest.mark.parametrize(("is_committed", "stored"), [(False, []), (True, [(1, 1)])])
async def test_a_take_over_that_ends_at_its_commit_is_handed_over_if_it_was_committed(
    here: Shop,
    is_committed: bool,
    stored: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def interrupt(tx: SQLiteTransaction, _: str) -> None:
        """Cancel the take-over at its next await, which is the commit; or leave it nothing to commit."""
        task = asyncio.current_task()
        assert task is not None
        if is_committed:
            task.cancel()
        else:
            tx._database.rollback()

    monkeypatch.setattr(here.store, "tell_waits", interrupt)
    work = Work(client=here.client, store=here.store, shards=1, lease=Lease(2), stop_on=(), deal_with=here.deal_with)
    shard = ShardWork(0, work)
    await asyncio.wait(shard.tasks)
    await shard.close()
    async with here.store.transaction() as tx:
        cursor = await tx.execute("SELECT epoch, handed_over FROM hpp_shard")
        found = await cursor.fetchall()

    assert shard.task.cancelled() is is_committed
    assert found == stored
    assert caplog.messages == []


async def test_an_event_of_a_session_that_was_discarded_or_deleted_meanwhile_is_dropped(here: Shop) -> None:
    for sql in ("UPDATE hpp_session SET ended_at = 1, ending = 'Discarded'", "DELETE FROM hpp_session"):
        session = here.client.session_id(here.provider.add())
        await here.fleet.add(session)
        async with here.working():
            await until(lambda session=session: here.statuses(session))  # type: ignore[misc]  # mypy infers no lambda with a default
            async with here.store.transaction() as tx:
                await tx.execute(sql)
            here.provider.model.change(session, "COMPLETED")
            await here.fleet.notify(session)
            await is_let_go(here, session)

        assert session not in await here.booked()
        here.events.clear()


async def test_a_session_that_is_added_again_while_it_is_looked_up_is_followed(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = here.client.session_id(here.provider.add())
    look = ShardWork[Any]._row
    is_added_again = False

    async def slow(shard: ShardWork[Any], session_id: str) -> Any:
        nonlocal is_added_again
        rows = await look(shard, session_id)
        if not rows[0][1] and not is_added_again:
            is_added_again = True
            await here.fleet.add(session)  # what was found out before is out of date now
        return rows

    monkeypatch.setattr(ShardWork, "_row", slow)
    await here.fleet.add(session)
    async with here.working():
        await until(lambda: here.events)
        await here.fleet.discard(session)
        await until(lambda: is_added_again)
        here.provider.model.change(session, "CANCELLED")
        assert (await here.fleet.wait_for_outcome(session)).ending == "Cancelled"


async def test_what_is_not_there_can_be_discarded(here: Shop) -> None:
    await here.fleet.discard("nowhere")
    async with here.working():
        await eventually(lambda: owned(here))
        here.store.channels.tell_workers("workers")
        here.store.channels.tell_workers("add:of-another-worker")
        here.store.channels.tell_waits("nobody-waits")

    assert "hpp_session" in here.store.migration
    assert repr(here.fleet.wait_for_outcome("abc")) == "<FleetWait for session abc: not seen>"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"conninfo": "no conninfo"}, "give postgresql://USER"),
        ({"conninfo": "postgresql://shop:p@not-a-secret@127.0.0.1/shop"}, "write %40 for @"),
        ({"conninfo": "postgresql://shop:p@not/a-secret@127.0.0.1/shop"}, "write .* %2F for /"),
        ({"conninfo": "postgresql://shop:p:not-a-secret@127.0.0.1:x/shop"}, "write .* %25 for %"),
        ({"conninfo": "", "schema": ""}, "give a name of up to 48 bytes"),
        ({"conninfo": "", "schema": "x" * 49}, "give a name of up to 48 bytes"),
        ({"conninfo": "", "schema": "a\0b"}, "give a name of up to 48 bytes"),
        ({"conninfo": "", "schema": "pg_mine"}, "names that begin with pg_"),
    ],
)
async def test_what_postgres_would_refuse_is_refused_at_once(arguments: dict[str, Any], says: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ConfigurationError, match=says) as caught:
        hpp_async.fleet.PostgresStore(**arguments)
    assert "secret" not in str(caught.value)


async def test_a_postgres_store_shows_no_password() -> None:
    pytest.importorskip("psycopg")
    store = hpp_async.fleet.PostgresStore("postgresql://shop:not-a-secret@127.0.0.1/x", schema='we"ird')

    assert repr(store) == "<PostgresStore, schema 'we\"ird'>"
    assert 'CREATE TABLE IF NOT EXISTS "we""ird".session' in store.migration
    assert store.is_unreachable(OSError())
    assert not store.is_unreachable(ZeroDivisionError())


@pytest.mark.parametrize(
    "sql", ["UPDATE hpp_session SET ended_at = 1, ending = 'Discarded'", "DELETE FROM hpp_session"]
)
async def test_an_event_of_a_session_that_ended_at_the_last_moment_is_dropped(
    here: Shop, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    run = here.store.run

    async def late(tx: Any, name: str, *parameters: object) -> Any:
        if name == "lock":
            await tx.execute(sql)
        return await run(tx, name, *parameters)

    monkeypatch.setattr(here.store, "run", late)
    session = await paid(here)
    async with here.working():
        await until(lambda: here.provider.requests)
        await is_let_go(here, session)

    assert here.events == []


async def test_a_transition_that_another_worker_has_stored_is_not_dealt_with(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = here.store.run
    session = await paid(here)

    async def late(tx: Any, name: str, *parameters: object) -> Any:
        if name == "lock":
            await tx.execute("UPDATE hpp_session SET token = ?", (f"hpp1:9:-:-:{session}:COMPLETED",))
        return await run(tx, name, *parameters)

    monkeypatch.setattr(here.store, "run", late)
    async with here.working():
        await here.fleet.wait_for_outcome(session)

    assert here.statuses(session) == ["Completed"]


async def test_a_session_that_is_discarded_while_its_event_fails_is_let_go(here: Shop) -> None:
    session = here.client.session_id(here.provider.add())

    async def trouble(_: WatchEvent) -> None:
        discarding.append(asyncio.create_task(here.fleet.discard(session)))
        for _turn in range(10):
            await asyncio.sleep(0)
        raise ZeroDivisionError

    discarding: list[asyncio.Task[None]] = []
    here.trouble = trouble
    await here.fleet.add(session)
    async with here.working():
        await until(lambda: here.events)
        await is_let_go(here, session)
        assert (await here.fleet.wait_for_outcome(session)).ending == "Discarded"


async def test_a_hand_over_that_fails_is_logged_and_the_caller_is_cancelled(
    here: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(_Alone):
        async def take(self, shard: int) -> bool:
            return shard == 0 and await super().take(shard)

        async def leave(self) -> None:
            raise ZeroDivisionError

    @asynccontextmanager
    async def own(shards: int, *_: object) -> AsyncGenerator[Broken]:
        yield Broken(shards)
        pytest.fail("it is left by an error")

    monkeypatch.setattr(here.store, "own", own)
    async with here.working() as working:
        await eventually(lambda: asyncio.sleep(0, here.client.budget.reads_per_second == 6.25))
        here.store.channels.tell_workers("add:b")
        here.store.channels.tell_workers("add:c")

    assert working.cancelled()
    assert "not handed over in order (ZeroDivisionError)" in caplog.text


async def test_tokens_that_cannot_be_stored_at_a_hand_over_are_no_reason_to_stay(
    here: Shop, fails: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    await here.fleet.add(here.provider.add())
    async with here.working() as working:
        await until(lambda: here.events)
        fails("hand_over", times=10)

    assert working.cancelled()
    assert "the tokens of shard 0 could not be stored (OperationalError)" in caplog.text


async def test_a_token_of_a_later_version_is_not_an_end(provider: ScriptedProvider, tmp_path: Path) -> None:
    # A worker of an earlier version may get the shard in a rolling deploy.
    async with shop(provider, SQLiteStore(tmp_path / "shop.db"), pause=lambda *_: 0.0) as here:
        session = await paid(here)
        async with here.store.transaction() as tx:
            await tx.execute("UPDATE hpp_session SET token = 'hpp9:of-a-later-version'")

        async def has_failed() -> bool:
            return any(item.failures for item in await here.fleet.sessions())

        async with here.working():
            await eventually(has_failed)
            [item] = await here.fleet.sessions()
            async with here.store.transaction() as tx:
                await tx.execute("UPDATE hpp_session SET token = NULL")
            await here.fleet.wait_for_outcome(session)

        assert item.error == "ConfigurationError"
        assert await here.booked() == [session]


async def test_several_wait_for_one_session_in_memory(provider: ScriptedProvider) -> None:
    await SQLiteStore(":memory:").aclose()
    async with shop(provider, SQLiteStore(":memory:"), shards=1) as here:
        session = await paid(here)
        wait = here.fleet.wait_for_outcome(session)
        tasks = [asyncio.create_task(wait), asyncio.create_task(wait)]
        others = [asyncio.create_task(here.fleet.wait_for_outcome(session)) for _ in range(2)]
        with pytest.raises(RuntimeError, match="another task"):
            await tasks[1]
        others[0].cancel()
        here.store.channels.catch_up()
        async with here.working():
            assert (await tasks[0]).is_last
            assert (await others[1]).is_last


async def test_a_transaction_that_cannot_begin_is_no_transaction(here: Shop, tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "shop.db") as other:
        async with other.transaction() as tx:
            await tx.execute("SELECT 1")
        other._database.execute("PRAGMA busy_timeout = 0")  # type: ignore[union-attr]  # it is open now
        async with here.store.transaction():
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                await Fleet(here.client, other, shards=2).notify("abc")


async def test_a_second_process_on_a_file_is_refused(here: Shop, tmp_path: Path) -> None:
    async with here.working(), SQLiteStore(tmp_path / "shop.db") as other:
        await eventually(lambda: owned(here))
        with pytest.raises(ConfigurationError, match="another worker works on"):
            await Fleet(here.client, other, shards=2).work(here.deal_with)

    assert repr(other).startswith("<SQLiteStore ")


async def test_looks_at_a_file_that_nobody_else_changes_tell_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, told = list[int](), list[None]()

    def version(database: sqlite3.Connection) -> int:
        looks.append(_version(database))
        return looks[-1]

    monkeypatch.setattr(_sqlite, "_PAUSE", 0.0)
    monkeypatch.setattr(_sqlite, "_version", version)
    async with SQLiteStore(tmp_path / "shop.db") as store:
        monkeypatch.setattr(store.channels, "catch_up", lambda: told.append(None))
        await store.listen()
        await store.listen()
        await store.migrate()
        await until(lambda: len(looks) >= 5)
        by_looks = list(told)

    assert len(set(looks)) == 1
    assert by_looks == [None]  # by the first look, which cannot know what came before it


def test_without_psycopg_there_is_sqlite_and_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for name in ("_postgres", "_locks"):
        monkeypatch.delitem(sys.modules, f"hpp_async.fleet.{name}", raising=False)
        monkeypatch.delattr(hpp_async.fleet, name, raising=False)

    assert importlib.import_module("hpp_async.fleet").SQLiteStore is SQLiteStore
    with pytest.raises(ImportError, match=r"PostgresStore needs psycopg, .* hpp-async with the extra 'postgres'"):
        hpp_async.fleet.PostgresStore  # noqa: B018 - looking has an effect
    assert "PostgresStore" not in dir(hpp_async.fleet)
    with pytest.raises(AttributeError, match="no attribute 'MySQLStore'"):
        hpp_async.fleet.MySQLStore  # type: ignore[attr-defined]  # noqa: B018 - there is none


def test_the_help_shows_what_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    shown = pydoc.plain(pydoc.render_doc(hpp_async.fleet))

    assert "class PostgresStore(" in shown
    assert "_pause" not in shown

    monkeypatch.delattr(hpp_async.fleet, "_postgres", raising=False)
    monkeypatch.setitem(sys.modules, "hpp_async.fleet._postgres", None)
    with pytest.raises(ModuleNotFoundError, match=r"^import of hpp_async\.fleet\._postgres halted"):
        hpp_async.fleet.PostgresStore  # noqa: B018 - looking has an effect
