"""A store in a SQLite file, for one process: nothing to install, the same API."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import attrs

from hpp_async import ConfigurationError
from hpp_async.fleet._division import Survey
from hpp_async.fleet._lease import Lease
from hpp_async.fleet._lifetime import StoreClosedError
from hpp_async.fleet._store import ENDS_TRANSACTION, Dialect, Ownership, Row, Store
from hpp_async.fleet._tasks import end

_NOW: Final = "((julianday('now') - 2440587.5) * 86400.0)"
_DIALECT: Final = Dialect(
    prefix="hpp_",
    now=_NOW,
    ago=f"{_NOW} - {{}}",
    later=f"{_NOW} + %s",
    lock="",
    limits="%s",
    idle_limit="%s",
)
_SCHEMA: Final = """\
CREATE TABLE IF NOT EXISTS hpp_setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS hpp_shard (number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, handed_over INTEGER);
CREATE TABLE IF NOT EXISTS hpp_message (message TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS hpp_session (
    id TEXT PRIMARY KEY,
    bucket INTEGER NOT NULL,
    token TEXT,
    status TEXT,
    news TEXT,
    news_at REAL,
    failures INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    retry_at REAL,
    parked_at REAL,
    ending TEXT,
    ended_at REAL,
    added_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS hpp_session_open ON hpp_session (bucket) WHERE ended_at IS NULL;
"""

_PAUSE: Final = 1.0
"""Seconds between two looks at whether another process has changed the file."""

_UNUSABLE: Final = ("not a database", "unable to open database file", "readonly database", "is malformed")
"""What SQLite says of a file that is no database, or cannot be opened or written."""

_NO_WRITES: Final = ("disk is full", "disk I/O error")
"""What SQLite says if it cannot write."""

_INHERITED: Final = list[sqlite3.Connection]()
"""Connections of the parent process, after a fork: kept so that nobody closes them."""

T = TypeVar("T")


class SQLiteCursor:
    """The result of a statement: its rows are in memory already."""

    def __init__(self, rows: list[Row], rowcount: int) -> None:
        self._rows = rows
        self.rowcount: int = rowcount

    async def fetchone(self) -> Row | None:
        """Return the next row; ``None`` after the last one."""
        return self._rows.pop(0) if self._rows else None

    async def fetchall(self) -> list[Row]:
        """Return all rows that are left."""
        rows, self._rows = self._rows, []
        return rows


class SQLiteTransaction:
    """
    A transaction on a `SQLiteStore`; ``execute`` runs your own statements, with ``?`` for each parameter.

    The store begins and ends it. SQLite itself may roll it back, as when the disk is full: then each later statement
    fails, so that nothing of it is stored alone.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.messages: list[tuple[Callable[[str], object], str]] = []
        """What to pass on after the commit: to whom, and the message."""

    async def execute(self, sql: str, parameters: Sequence[object] = ()) -> SQLiteCursor:
        """
        Run a statement in a worker thread, and return its result.

        Raises:
            sqlite3.ProgrammingError: the transaction is over, or the statement would begin or end one.
            sqlite3.Error: the statement failed.
        """
        self.check(sql)

        def execute() -> SQLiteCursor:
            cursor = self._database.execute(sql, tuple(parameters))
            return SQLiteCursor(cursor.fetchall(), cursor.rowcount)

        return await _in_thread(execute)

    async def executemany(self, sql: str, parameters: Iterable[Sequence[object]]) -> None:
        """Run a statement once for each of the *parameters*, in a worker thread. It raises what `execute` raises."""
        self.check(sql)
        rows = [tuple(row) for row in parameters]
        await _in_thread(lambda: self._database.executemany(sql, rows))

    def check(self, sql: str = "") -> None:
        """
        See that the transaction goes on, and that a statement does not end it.

        Raises:
            sqlite3.ProgrammingError: it is over, or would be.
        """
        if not self._database.in_transaction:
            raise sqlite3.ProgrammingError("the transaction is over: SQLite has rolled it back")
        if ENDS_TRANSACTION.match(sql):
            raise sqlite3.ProgrammingError("the store begins and ends the transaction: raise an error to undo it")


class SQLiteStore(Store[SQLiteTransaction]):
    """
    Keeps a fleet's sessions in a SQLite file, for development and for shops that run as one process.

    Statements run in worker threads, one transaction at a time. Only one process may work on a file at a time. What
    other processes add, discard or store is noticed within a second, and so are their calls of `Fleet.notify`. For
    several workers use `PostgresStore`.

    Args:
        path: the file. Beside it, a file with ``-worker`` at the end of its name is locked by the worker.
    """

    def __init__(self, path: str | Path) -> None:
        given: object = path
        if not isinstance(given, str | Path) or not str(path) or "://" in str(path):
            raise ConfigurationError("path: give the name of a file, such as 'shop.db', and no URL")
        super().__init__(_DIALECT)
        self._path = str(path)
        self._database: sqlite3.Connection | None = None
        self._lock: sqlite3.Connection | None = None
        """What keeps other workers from the file."""
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._turn = anyio.Lock()
        self._worker: _Alone | None = None
        self._listener: asyncio.Task[None] | None = None

    def _drop(self, *, is_forked: bool) -> None:
        self._begin_anew()
        lock, self._lock = self._lock, None
        if is_forked:  # SQLite's connections must not be used in a child, nor closed there
            _INHERITED.extend(filter(None, (self._database, lock)))
            self._database = None
            return
        if lock is not None:
            lock.close()
        if self._database is not None and self._database.in_transaction:
            self._database.rollback()

    def __repr__(self) -> str:
        return f"<SQLiteStore {self._path}>"

    @property
    def migration(self) -> str:
        """The statements that `migrate` runs."""
        return _SCHEMA

    async def migrate(self) -> None:
        """Make the tables, where they are missing."""
        self.life.enter()
        async with self._turn:
            database = await self._open()
            with self._explaining():
                await _in_thread(lambda: database.executescript(_SCHEMA))

    async def _open(self) -> sqlite3.Connection:
        if self._database is None:
            with self._explaining():
                self._database = await _in_thread(lambda: _connect(self._path))
        return self._database

    @contextmanager
    def _explaining(self) -> Generator[None]:
        """Say what to change if the file cannot be used."""
        try:
            yield
        except sqlite3.Error as error:
            refusal = self.refusal(error)
            if refusal is None:
                raise
            raise ConfigurationError(refusal) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[SQLiteTransaction]:
        """Begin a transaction; see `Store.transaction`. The others of this process wait until it is over."""
        self.life.enter()
        turn = self._turn
        if turn.statistics().owner == anyio.get_current_task():
            raise RuntimeError("this task has a transaction of the store already: pass it, with tx=")
        async with turn:
            database = await self._open()
            tx = SQLiteTransaction(database)
            is_done = False
            try:
                with self._explaining():
                    await _in_thread(lambda: database.execute("BEGIN IMMEDIATE"))
                yield tx
                if self._turn is not turn:
                    raise RuntimeError("the transaction is over: its event loop is gone")
                tx.check()
                is_done = True
                await _in_thread(database.commit)
            finally:
                if self._turn is not turn:
                    pass  # its event loop is gone, and what is under way is a transaction of the next one
                elif database.in_transaction:
                    await _in_thread(database.rollback)
                elif is_done:  # also if it was cancelled while it was committed
                    for tell, message in tx.messages:
                        tell(message)

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await end([listener])
        async with self._turn:
            database, self._database = self._database, None
            if database is not None:
                await _in_thread(database.close)

    async def _run(self, tx: SQLiteTransaction, sql: str, parameters: Sequence[object]) -> list[Row]:
        cursor = await tx.execute(sql.replace("%s", "?").replace("%%", "%"), parameters)
        return await cursor.fetchall()

    async def replace_tokens(self, tx: SQLiteTransaction, tokens: Iterable[tuple[str, str]]) -> None:
        """Store tokens, each with its session's id."""
        await tx.executemany(
            "UPDATE hpp_session SET token = ? WHERE id = ?", ((token, session_id) for session_id, token in tokens)
        )

    async def tell_workers(self, tx: SQLiteTransaction, message: str) -> None:
        """
        Pass on a message for workers, once the transaction is committed.

        A worker in another process finds in its tables what was added or discarded. Anything else is left there for it.
        """
        tx.messages.append((self.channels.tell_workers, message))
        if message.startswith("notify:") and self._worker is None and await self._is_locked():
            with self._explaining():
                await tx.execute("INSERT INTO hpp_message VALUES (?) ON CONFLICT DO NOTHING", (message,))

    async def tell_waits(self, tx: SQLiteTransaction, message: str) -> None:
        """Wake the waits that the message is for, once the transaction is committed."""
        tx.messages.append((self.channels.tell_waits, message))

    async def listen(self) -> None:
        """Begin to look, once a second, whether another process has changed the file."""
        self.life.enter()
        if self._listener is None:
            self._listener = asyncio.create_task(self._look(), name="hpp_async.fleet listener")

    async def _look(self) -> None:
        known = None  # so that the first look finds what came before it
        while True:
            await asyncio.sleep(_PAUSE)
            with suppress(sqlite3.Error, StoreClosedError):  # the next look tells
                async with self._turn:
                    now = self._worker, await _in_thread(partial(_version, await self._open()))
                if now != known:
                    self.channels.catch_up()
                    for message in await self._take_messages():
                        self.channels.tell_workers(message)
                    known = now

    async def _take_messages(self) -> list[str]:
        """Remove and return the messages that other processes left for the worker, if that is here."""
        if self._worker is None:
            return []
        async with self.transaction() as tx:
            cursor = await tx.execute("DELETE FROM hpp_message RETURNING message")
            return [message for (message,) in await cursor.fetchall()]

    def own(self, shards: int, lease: Lease, lost: Callable[[float], object]) -> AbstractAsyncContextManager[Ownership]:
        """Lock the file against a second worker; everything is owned until the context ends."""
        self.life.enter()
        return self._own(shards)

    @asynccontextmanager
    async def _own(self, shards: int) -> AsyncGenerator[Ownership]:
        with self._explaining():
            lock = self._lock = await _in_thread(lambda: _lock(self._path))
        worker = self._worker = _Alone(shards)
        try:
            yield worker
        finally:
            if self._worker is worker:  # else it was dropped with its event loop
                self._worker = self._lock = None
            if lock is not None:
                lock.close()

    async def owners(self, tx: SQLiteTransaction) -> dict[int, int]:
        """Return the worker as the owner of each shard that it has taken; if it is in another process, of every one."""
        if self._worker is not None:
            return self._worker.owners()
        rows = await self.run(tx, "shards")
        return dict.fromkeys(range(rows[0][0]), 0) if rows and await self._is_locked() else {}

    async def workers(self, tx: SQLiteTransaction) -> dict[int, str | None]:
        """Return the label that the worker has published last; ``None`` if it is in another process."""
        if self._worker is not None:
            return {0: self._worker.label}
        return {0: None} if await self._is_locked() else {}

    async def _is_locked(self) -> bool:
        return await _in_thread(lambda: _is_locked(self._path))

    def refusal(self, error: Exception) -> str | None:
        """Return what to change if *error* says that the fleet's tables cannot be used in this file."""
        said = str(error)
        if not isinstance(error, sqlite3.DatabaseError) or self.is_unreachable(error):
            return None
        if "no such table: hpp_" in said:
            return f"there is no fleet in the file {self._path}: await store.migrate() makes it"
        if "no such column" in said or "has no column" in said:
            return f"the tables in the file {self._path} are not those of this version of hpp_async"
        found = next((words for words in _UNUSABLE if words in said), None)
        return None if found is None else f"the file {self._path} cannot be used as a SQLite database: {found}"

    def is_unreachable(self, error: Exception) -> bool:
        """Tell whether the file was locked by another process for too long."""
        return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)

    def is_cut(self, tx: SQLiteTransaction) -> bool:
        """Return ``False``: a transaction that has begun has its file."""
        del tx
        return False

    def is_passing(self, error: Exception) -> bool:
        """Tell whether a statement of the fleet's own may succeed later; see `Store.is_passing`."""
        return self.is_unreachable(error) or self.takes_no_writes(error)

    def takes_no_writes(self, error: Exception) -> bool:
        """Tell whether *error* says that the disk is full or fails."""
        return isinstance(error, sqlite3.OperationalError) and any(words in str(error) for words in _NO_WRITES)

    def hang_up(self, tx: SQLiteTransaction) -> None:
        """Do nothing: a statement in a thread cannot be cut, and ends by itself."""


@attrs.define
class _Alone:
    """The ownership of the only worker."""

    _shards: int
    _mine: set[int] = attrs.field(init=False, factory=set[int])
    label: str | None = attrs.field(init=False, default=None)

    async def survey(self) -> Survey:
        return Survey(me=0, workers=frozenset({0}), owners=self.owners())

    def owners(self) -> dict[int, int]:
        return dict.fromkeys(self._mine, 0)

    async def take(self, shard: int) -> bool:
        self._mine.add(shard)
        return True

    async def give_back(self, shard: int) -> None:
        self._mine.discard(shard)

    async def publish(self, label: str) -> None:
        self.label = label

    async def leave(self) -> None:
        pass


async def _in_thread(do: Callable[[], T]) -> T:
    """Return what *do* returns in a worker thread. A caller that is cancelled waits for the end: it uses the file."""
    task = asyncio.ensure_future(anyio.to_thread.run_sync(do))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _version(database: sqlite3.Connection) -> int:
    """Return a number that changes when another connection changes the file."""
    return int(database.execute("PRAGMA data_version").fetchone()[0])


def _lock(path: str) -> sqlite3.Connection | None:
    """Lock a file beside *path*, until the connection that is returned is closed or the process ends."""
    if path == ":memory:":
        return None
    # Another process that looks whether there is a worker has the file for a moment.
    lock = sqlite3.connect(f"{path}-worker", isolation_level=None, check_same_thread=False, timeout=1.0)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        if "locked" not in str(error):
            raise
        raise ConfigurationError(
            f"another worker works on {path}: a SQLite file has one at a time; use a PostgresStore for several"
        ) from error
    return lock


def _is_locked(path: str) -> bool:
    """Tell whether a worker has locked the file beside *path*."""
    file = Path(f"{path}-worker")
    if path == ":memory:" or not file.exists():
        return False
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as lock:
        try:
            lock.execute("SELECT 1 FROM sqlite_master")
        except sqlite3.OperationalError:
            return True
        return False
