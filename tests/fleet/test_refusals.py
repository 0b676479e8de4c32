"""What a fleet refuses: at once, naming what to change, and without the error of another library."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import traceback
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from postgres import Cluster, free_port
from shops import Shop, eventually, shop, until

import hpp_async.fleet
from hpp_async import ConfigurationError, WatchEvent
from hpp_async.fleet import Fleet, SQLiteStore, Store
from hpp_async.fleet._dealing import check_deal_with, failure_of
from hpp_async.testing import Script, ScriptedProvider, opens, pays

pytestmark = pytest.mark.anyio

PAID = Script(opens(after=5), pays(after=20))


@pytest.fixture
async def here(provider: ScriptedProvider, tmp_path: Path) -> AsyncGenerator[Shop]:
    async with shop(provider, SQLiteStore(tmp_path / "shop.db"), shards=4) as here:
        yield here


# -- deal_with --------------------------------------------------------------------------------------------------------


async def deals(event: object, tx: object, shop: object = None) -> None:
    """Deal with an event."""


def plain(event: object, tx: object) -> None:
    """Do it without await."""


def returns_an_awaitable(event: object, tx: object) -> Awaitable[None]:
    return deals(event, tx)


@functools.wraps(deals)
def wrapped(*arguments: Any) -> Any:
    return deals(*arguments)


class Dealer:
    async def __call__(self, event: object, tx: object) -> None:
        """Deal with an event."""

    async def method(self, event: object, tx: object) -> None:
        """Deal with an event."""

    def plain(self, event: object, tx: object) -> None:
        """Do it without await."""


class PlainDealer:
    def __call__(self, event: object, tx: object) -> None:
        """Do it without await."""


@pytest.mark.parametrize(
    "deal_with",
    [
        deals,
        functools.partial(deals, shop="shop"),
        functools.partial(functools.partial(Dealer()), tx=1),
        returns_an_awaitable,
        wrapped,
        Dealer(),
        Dealer().method,
        lambda event, tx: deals(event, tx),  # noqa: PLW0108 - it is about lambdas
        min,  # of C: nothing can be told
    ],
)
async def test_what_may_return_an_awaitable_is_taken(deal_with: Any) -> None:
    if isinstance(deal_with, functools.partial) and deal_with.keywords == {"tx": 1}:
        deal_with = deal_with.func
    check_deal_with(deal_with)


async def generates(event: object, tx: object) -> AsyncGenerator[None]:
    yield


async def takes_one(event: object) -> None:
    """Deal with an event."""


@pytest.mark.parametrize(
    ("deal_with", "says"),
    [
        (None, "is no function"),
        (plain, "is not async"),
        (functools.partial(plain), "is not async"),
        (Dealer().plain, "is not async"),
        (PlainDealer(), "is not async"),
        (generates, "is not async"),
        (takes_one, "does not take two arguments"),
    ],
)
async def test_what_cannot_deal_with_events_is_refused_before_anything_is_read(
    here: Shop, deal_with: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"deal_with {says}.*: give an async function of two arguments"):
        await here.fleet.work(deal_with)


async def test_what_returns_no_awaitable_ends_the_work_at_the_first_event_and_nothing_is_lost(here: Shop) -> None:
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    deal_with: Callable[..., Any] = lambda event, tx: None  # noqa: E731 - of a plain function it would be told before
    with pytest.raises(ConfigurationError, match="deal_with returned a NoneType, which cannot be awaited"):
        await here.fleet.work(deal_with)

    [item] = await here.fleet.sessions()
    assert (item.status, item.failures) == (None, 0)
    async with here.working():
        assert (await here.fleet.wait_for_outcome(session)).ending == "Completed"


async def test_the_log_says_where_deal_with_failed_and_not_why(here: Shop, caplog: pytest.LogCaptureFixture) -> None:
    async def trouble(_: WatchEvent) -> None:
        int("a secret")  # the innermost function is not ours, nor is its message shown

    here.trouble = trouble
    here.fleet._pause = lambda failures, _: None if failures > 1 else 0.0
    await here.fleet.add(here.provider.add())
    async with here.working():
        await eventually(lambda: has_parked(here))
    [item] = await here.fleet.sessions()

    line = trouble.__code__.co_firstlineno + 1
    assert (item.error, item.raised_at) == ("ValueError", f"fleet/test_refusals.py:{line}")
    assert f"deal_with failed with ValueError at fleet/test_refusals.py:{line}; its event comes again" in caplog.text
    assert f"the last time with ValueError at fleet/test_refusals.py:{line}" in caplog.text
    assert "secret" not in caplog.text


async def has_parked(here: Shop) -> bool:
    return any(item.is_parked for item in await here.fleet.sessions())


def test_an_error_that_was_raised_elsewhere_has_no_place() -> None:
    assert failure_of(ZeroDivisionError()) == "ZeroDivisionError"
    with pytest.raises(ZeroDivisionError) as caught:
        raise ZeroDivisionError
    assert failure_of(caught.value) == "ZeroDivisionError"


# -- another number of shards -----------------------------------------------------------------------------------------


async def test_another_number_of_shards_is_refused_where_it_is_learnt_first(here: Shop) -> None:
    session = here.client.session_id(here.provider.add())
    other = Fleet(here.client, here.store, shards=5)
    await other.add(session)  # there was no worker yet
    async with here.working():
        await until(lambda: here.events)

    for call in (
        lambda: other.add(session),
        lambda: other.discard(session),
        lambda: other.notify(session),
        lambda: other.wait_for_outcome(session),
        lambda: other.work(deals),
    ):
        with pytest.raises(ConfigurationError, match="this fleet has 4 shards in its store, and shards=5 here"):
            await call()
    assert len(await other.shards()) == 4
    await here.fleet.add(session)


# -- arguments of stores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "sqlite:///shop.db", None, 7])
def test_what_is_no_file_is_refused(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="path: give the name of a file"):
        SQLiteStore(path)


@pytest.mark.parametrize("arguments", [{"conninfo": None}, {"conninfo": "", "max_connections": 0}])
def test_what_psycopg_would_stumble_over_is_refused(arguments: Any) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ConfigurationError, match=r"^(conninfo|max_connections)"):
        hpp_async.fleet.PostgresStore(**arguments)


async def test_what_is_no_store_is_refused(here: Shop) -> None:
    no_store: Any = "shop.db"
    with pytest.raises(ConfigurationError, match="store: give a PostgresStore or a SQLiteStore"):
        Fleet(here.client, no_store)


# -- databases that cannot be used ------------------------------------------------------------------------------------


async def refusals(client: Any, store: Store[Any]) -> set[str]:
    """Return what all methods of a fleet say."""
    fleet = Fleet(client, store)
    said = set[str]()
    async with store:
        for call in (
            lambda: fleet.add("abc"),
            lambda: fleet.discard("abc"),
            lambda: fleet.notify("abc"),
            lambda: fleet.wait_for_outcome("abc"),
            fleet.sessions,
            fleet.shards,
            lambda: fleet.work(deals),
        ):
            with pytest.raises(ConfigurationError) as caught:
                await call()
            said.add(str(caught.value))
    return said


async def test_a_file_without_a_fleet_is_refused(here: Shop, tmp_path: Path) -> None:
    said = await refusals(here.client, SQLiteStore(tmp_path / "empty.db"))

    assert said == {f"there is no fleet in the file {tmp_path}/empty.db: await store.migrate() makes it"}


async def test_a_file_with_other_tables_is_refused(here: Shop, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        for name in ("setting", "session", "shard"):
            old.execute(f"CREATE TABLE hpp_{name} (other TEXT)")
    said = await refusals(here.client, SQLiteStore(tmp_path / "old.db"))

    assert said == {f"the tables in the file {tmp_path}/old.db are not those of this version of hpp_async"}


async def test_a_file_that_is_no_database_is_refused(here: Shop, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be taken for the head of one" * 3, "utf-8")
    for path, says in (("text", "not a database"), ("no/such/directory", "unable to open database file")):
        store = SQLiteStore(tmp_path / path)
        with pytest.raises(ConfigurationError, match=f"{path} cannot be used as a SQLite database: .*{says}"):
            await store.migrate()
        with pytest.raises(ConfigurationError, match="cannot be used"):
            await Fleet(here.client, store).add("abc")
        await store.aclose()


async def test_a_worker_that_cannot_lock_its_file_says_why(here: Shop, tmp_path: Path) -> None:
    lock = tmp_path / "shop.db-worker"
    lock.write_text("no database, but long enough to be taken for the head of one" * 3, "utf-8")
    with pytest.raises(ConfigurationError, match="cannot be used as a SQLite database: not a database"):
        await here.fleet.work(deals)
    lock.unlink()
    lock.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be used as a SQLite database: unable to open"):
        await here.fleet.work(deals)


async def test_a_schema_without_a_fleet_is_refused(here: Shop, database: Cluster) -> None:
    said = await refusals(here.client, hpp_async.fleet.PostgresStore(database.conninfo, schema="nowhere"))

    assert said == {"there is no fleet in the schema 'nowhere' of this database: await store.migrate() makes it"}


async def test_a_schema_with_other_tables_or_without_rights_is_refused(here: Shop, database: Cluster) -> None:
    name = f"u{uuid.uuid4().hex}"
    async with hpp_async.fleet.PostgresStore(database.conninfo) as store, store.transaction() as tx:
        await tx.execute(f"CREATE SCHEMA {name}".encode())
        for table in ("setting", "session", "shard"):
            await tx.execute(f"CREATE TABLE {name}.{table} (other text)".encode())
        await tx.execute(f"CREATE USER {name}".encode())
    other = await refusals(here.client, hpp_async.fleet.PostgresStore(database.conninfo, schema=name))
    conninfo = database.conninfo.replace("user=fleet", f"user={name}")
    stranger = await refusals(here.client, hpp_async.fleet.PostgresStore(conninfo, schema=name))
    async with hpp_async.fleet.PostgresStore(conninfo, schema="another") as store:
        with pytest.raises(ConfigurationError, match="may not make the fleet's tables in the schema 'another'"):
            await store.migrate()

    assert other == {f"the tables in the schema '{name}' are not those of this version of hpp_async"}
    assert stranger == {f"the database's user may not use the fleet's tables in the schema '{name}': grant it that"}


# -- databases that cannot be reached ---------------------------------------------------------------------------------


async def test_a_connection_that_cannot_be_made_says_why_without_the_password(
    here: Shop, database: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg_pool  # noqa: PLC0415 - an extra

    monkeypatch.setattr("hpp_async.fleet._postgres._GIVEN_UP_AFTER", 0.5)
    port = free_port()
    for url, says in (
        (f"postgresql://fleet:hunter2@127.0.0.1:{port}/postgres", f"127.0.0.1:{port} for .* refused"),
        (f"postgresql://fleet:hunter2@127.0.0.1:{database.port}/nowhere", 'database "nowhere" does not exist'),
        (f"postgresql://fleet:nowhere@127.0.0.1:{database.port}/nowhere", r'database "\*\*\*" does not exist'),
    ):
        async with hpp_async.fleet.PostgresStore(url) as store:
            with pytest.raises(psycopg_pool.PoolTimeout, match=says) as caught:
                await Fleet(here.client, store).add("abc")
        assert "hunter2" not in str(caught.value)


async def test_a_password_is_in_no_local_of_a_frame_that_raises() -> None:
    store = hpp_async.fleet.PostgresStore(f"postgresql://fleet:hunter2@127.0.0.1:{free_port()}/postgres")
    with pytest.raises(Exception, match="refused") as caught:
        await store._connecting.connect()

    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)

    assert "hunter2" not in "".join(shown.format())


async def test_a_pool_that_is_in_use_says_so(here: Shop, database: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg_pool  # noqa: PLC0415 - an extra

    monkeypatch.setattr("hpp_async.fleet._postgres._GIVEN_UP_AFTER", 0.1)
    async with hpp_async.fleet.PostgresStore(database.conninfo, max_connections=1) as store, store.transaction():
        with pytest.raises(psycopg_pool.PoolTimeout, match=r"all 1 connections .* were in use .* max_connections"):
            await Fleet(here.client, store).add("abc")


async def test_a_wait_that_cannot_look_says_so_once(
    here: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    left = 3

    async def locked() -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(here.store, "listen", locked)
    waiting = asyncio.create_task(here.fleet.wait_for_outcome(session))
    await until(lambda: left < 0)
    async with here.working():
        assert (await waiting).is_last

    said = [record.getMessage() for record in caplog.records]
    assert said == ["waits cannot look at the database, and go on trying: database is locked"]


# -- other event loops ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["enter", "migrate", "transaction", "add", "wait", "sessions", "work", "close"])
def test_trio_is_refused_at_the_first_use(provider: ScriptedProvider, name: str) -> None:
    async def use() -> None:
        async with provider.client() as client:
            store = SQLiteStore(":memory:")
            fleet = Fleet(client, store)
            uses: dict[str, Callable[[], Awaitable[object]]] = {
                "enter": store.__aenter__,
                "migrate": store.migrate,
                "transaction": store.transaction().__aenter__,
                "add": lambda: fleet.add("abc"),
                "wait": lambda: fleet.wait_for_outcome("abc"),
                "sessions": fleet.sessions,
                "work": lambda: fleet.work(deals),
                "close": store.aclose,
            }
            await uses[name]()

    with pytest.raises(RuntimeError, match=r"^hpp_async\.fleet runs on asyncio only, and this is another event loop"):
        trio.run(use)
