"""
What a fleet needs of a database, and the statements, which both databases have in common.

The statements are written once. `Dialect` holds what PostgreSQL and SQLite call differently.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import attrs

from hpp_async import ConfigurationError
from hpp_async.fleet._channels import Channels
from hpp_async.fleet._division import Survey
from hpp_async.fleet._lease import Lease
from hpp_async.fleet._lifetime import Lifetime

Tx = TypeVar("Tx")
Row = tuple[Any, ...]


ENDS_TRANSACTION: Final = re.compile(
    r"(?is)(\s|--[^\n]*\n|/\*.*?\*/)*(COMMIT|END|ABORT|ROLLBACK(?!\s+((WORK|TRANSACTION)\s+)?TO\b))\b"
)
"""Matches a statement that ends the transaction. A savepoint may be rolled back to."""


class OwnershipLostError(Exception):
    """The connection that holds the locks is gone, or was silent for as long as the lease: nothing is owned."""


class FencedError(Exception):
    """Another worker has taken the shard meanwhile, so this worker may not store anything of it."""


@attrs.frozen(kw_only=True)
class Dialect:
    """
    What the two databases call differently.

    Attributes:
        prefix: what stands before the name of a table.
        now: the database's time.
        ago: seconds since the time in a column, as a format.
        later: a time so many seconds from now, for a parameter.
        lock: what locks the rows of a session and of its shard, for a transaction that stores an event.
        limits: an expression with a parameter in milliseconds: a transaction that is idle for longer is ended by the
            server, and a statement that waits for a lock for longer fails.
        idle_limit: the same for idle transactions only: statements wait for locks.
    """

    prefix: str
    now: str
    ago: str
    later: str
    lock: str
    limits: str
    idle_limit: str


_STATEMENTS: Final = {
    "settle_shards": (
        "INSERT INTO {p}setting (name, value) VALUES ('shards', %s) ON CONFLICT (name) DO UPDATE SET value = "
        "{p}setting.value RETURNING value"
    ),
    "shards": "SELECT value FROM {p}setting WHERE name = 'shards'",
    "add": (
        "INSERT INTO {p}session AS s (id, bucket, added_at) VALUES (%s, %s, {now}) ON CONFLICT (id) DO UPDATE SET "
        "parked_at = NULL, failures = 0, error = NULL, retry_at = NULL, ended_at = NULL, ending = NULL "
        "WHERE s.parked_at IS NOT NULL OR s.ending = 'Discarded' RETURNING id"
    ),
    "discard": (
        "UPDATE {p}session SET ended_at = {now}, ending = 'Discarded', parked_at = NULL, retry_at = NULL "
        "WHERE id = %s AND ended_at IS NULL RETURNING id"
    ),
    "next_epoch": (
        "INSERT INTO {p}shard AS h (number, epoch) VALUES (%s, 1) ON CONFLICT (number) DO UPDATE SET "
        "epoch = h.epoch + 1 RETURNING epoch, handed_over"
    ),
    "hand_over": "UPDATE {p}shard SET handed_over = epoch WHERE number = %s AND epoch = %s RETURNING number",
    "load": (
        "SELECT id, token, {retry_in} FROM {p}session WHERE ended_at IS NULL AND parked_at IS NULL "
        "AND bucket %% %s = %s ORDER BY added_at"
    ),
    "row": "SELECT token, ended_at IS NULL AND parked_at IS NULL, {retry_in} FROM {p}session WHERE id = %s",
    "lock": (
        "SELECT s.token, s.ended_at IS NULL AND s.parked_at IS NULL, s.failures, {limits} "
        "FROM {p}shard h, {p}session s WHERE h.number = %s AND h.epoch = %s AND s.id = %s{lock}"
    ),
    "limit": "SELECT {limits}",
    "idle_limit": "SELECT {idle_limit}",
    "epoch": "SELECT epoch FROM {p}shard WHERE number = %s",
    "store": (
        "UPDATE {p}session SET token = COALESCE(%s, token), status = COALESCE(%s, status), news = %s, news_at = {now}, "
        "ending = COALESCE(%s, ending), ended_at = CASE WHEN %s THEN {now} ELSE ended_at END, "
        "failures = 0, error = NULL, retry_at = NULL "
        "WHERE id = %s"
    ),
    "fail": (
        "UPDATE {p}session SET failures = failures + 1, error = %s WHERE id = %s AND ended_at IS NULL "
        "AND EXISTS (SELECT 1 FROM {p}shard WHERE number = %s AND epoch = %s) RETURNING failures"
    ),
    "fail_overdue": (  # by a worker that has lost the shard: only if nobody has dealt with the event meanwhile
        "UPDATE {p}session SET failures = failures + 1, error = %s WHERE id = %s AND ended_at IS NULL "
        "AND parked_at IS NULL AND COALESCE(token, '') = %s RETURNING failures"
    ),
    "retry": "UPDATE {p}session SET retry_at = {later} WHERE id = %s",
    "park": "UPDATE {p}session SET parked_at = {now}, retry_at = NULL WHERE id = %s",
    "lock_tokens": (
        "SELECT s.id, s.token FROM {p}shard h, {p}session s WHERE h.number = %s AND h.epoch = %s "
        "AND s.bucket %% %s = %s AND s.ended_at IS NULL{lock}"
    ),
    "replace_tokens": (  # in PostgreSQL only
        "UPDATE {p}session AS s SET token = t.token FROM unnest(%s::text[], %s::text[]) AS t (id, token) "
        "WHERE s.id = t.id"
    ),
    "news": ("SELECT status, ending, news, {news_ago}, parked_at IS NOT NULL, bucket FROM {p}session WHERE id = %s"),
    "overview": (
        "SELECT id, bucket, status, {parked_ago}, failures, error, {added_ago} FROM {p}session "
        "WHERE ended_at IS NULL ORDER BY added_at, id"
    ),
    "parked": (
        "SELECT id, bucket, status, {parked_ago}, failures, error, {added_ago} FROM {p}session "
        "WHERE ended_at IS NULL AND parked_at IS NOT NULL ORDER BY parked_at, id"
    ),
    "count": (
        "SELECT bucket %% %s, COUNT(*), COUNT(parked_at), COUNT(*) FILTER (WHERE failures > 0 AND parked_at IS NULL), "
        "COUNT(*) FILTER (WHERE {unread}), MAX({added_ago}) FILTER (WHERE {unread}) "
        "FROM {p}session WHERE ended_at IS NULL GROUP BY 1"
    ),
}


def statements(dialect: Dialect) -> dict[str, str]:
    """Return the fleet's statements in *dialect*, by name, with ``%s`` for each parameter."""
    words = {
        "p": dialect.prefix,
        "now": dialect.now,
        "later": dialect.later,
        "lock": dialect.lock,
        "limits": dialect.limits,
        "idle_limit": dialect.idle_limit,
        "retry_in": f"-({dialect.ago.format('retry_at')})",
        "news_ago": dialect.ago.format("news_at"),
        "added_ago": dialect.ago.format("added_at"),
        "unread": "status IS NULL AND failures = 0 AND parked_at IS NULL",
        "parked_ago": dialect.ago.format("parked_at"),
    }
    return {name: text.format(**words) for name, text in _STATEMENTS.items()}


class Cursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed or found."""
        ...

    async def fetchone(self) -> Row | None:
        """Return the next row; ``None`` after the last one."""
        ...

    async def fetchall(self) -> list[Row]:
        """Return all rows that are left."""
        ...


class Ownership(Protocol):
    """
    The locks of one worker, on a connection of its own.

    Every call raises `OwnershipLostError` once the connection is gone. *lost* in `Store.own` is called at that moment,
    also between two calls.
    """

    async def survey(self) -> Survey:
        """Ping the database, and return all workers and the owners of all shards."""
        ...

    async def take(self, shard: int) -> bool:
        """Take a shard, if it is free; return whether this worker owns it now."""
        ...

    async def give_back(self, shard: int) -> None:
        """Give up a shard."""
        ...

    async def publish(self, label: str) -> None:
        """Let `Store.workers` show this text beside the worker, until there is another one."""
        ...

    async def leave(self) -> None:
        """Count no longer among the workers; the shards stay owned until they are given back."""
        ...


class EventTransaction(ABC, Generic[Tx]):
    """The transaction of one event: `lock`, then what ``deal_with`` does with `tx`, then `store`."""

    @property
    @abstractmethod
    def tx(self) -> Tx:
        """The transaction. It may be another one after `lock`."""
        ...

    @abstractmethod
    async def lock(self, *parameters: object) -> list[Row]:
        """Run the statement ``lock``, the first one."""
        ...

    @abstractmethod
    async def store(self, session_id: str, *parameters: object) -> None:
        """Run the statement ``store``, the last one, and wake those who wait for the session when it is committed."""
        ...


class Store(ABC, Generic[Tx]):
    """
    Where a fleet keeps its sessions: a `PostgresStore` or a `SQLiteStore`.

    Use it as ``async with``, or call `aclose` at the end: what is still working or waiting then, and every later use,
    gets a `StoreClosedError`. A store is used in one event loop at a time, of asyncio. When that loop is gone (a second
    ``asyncio.run``, a test with a loop of its own), it can be used in the next one.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._sql = statements(dialect)
        self.life: Lifetime = Lifetime(self, self._moved)
        self.channels: Channels = Channels()

    def _moved(self, is_forked: bool) -> None:
        self.channels = Channels()
        self._drop(is_forked=is_forked)

    @abstractmethod
    def _drop(self, *, is_forked: bool) -> None:
        """Drop what belonged to an event loop that is gone. After a fork, connections are the parent's: leave them."""
        ...

    # -- for users ----------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def migration(self) -> str:
        """The statements that `migrate` runs, for those who run migrations of their own. They can be run again."""
        ...

    @abstractmethod
    async def migrate(self) -> None:
        """Make the tables, where they are missing. It can be called at each start, and by several processes at once."""
        ...

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[Tx]:
        """
        Begin a transaction, for statements of yours and for ``tx=`` of `Fleet.add`, `Fleet.discard`, `Fleet.notify`.

        It is committed at the end of the ``async with`` block, and rolled back if the block raises.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections. Calling this again is harmless."""
        self.life.move()
        if not self.life.is_closed:
            self.life.is_closed = True
            self.channels.catch_up()  # whoever works or waits finds out
        await self._close()

    @abstractmethod
    async def _close(self) -> None:
        """Close all connections."""
        ...

    async def __aenter__(self) -> Self:
        self.life.enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # -- for the fleet ------------------------------------------------------------------------------------------------

    def own_transaction(self) -> AbstractAsyncContextManager[Tx]:
        """Begin a transaction for the fleet's own statements, whatever the database does with those of others."""
        return self.transaction()

    async def run(self, tx: Tx, name: str, *parameters: object) -> list[Row]:
        """
        Run one of the fleet's statements, and return its rows.

        Raises:
            ConfigurationError: the database has no tables of the fleet, or they cannot be used.
        """
        try:
            return await self._run(tx, self._sql[name], parameters)
        except Exception as error:
            refusal = self.refusal(error)
            if refusal is None:
                raise
            raise ConfigurationError(refusal) from error

    @abstractmethod
    def refusal(self, error: Exception) -> str | None:
        """Return what to change in the database if *error* says that the fleet's tables cannot be used there."""
        ...

    @abstractmethod
    async def _run(self, tx: Tx, sql: str, parameters: Sequence[object]) -> list[Row]: ...

    @abstractmethod
    async def replace_tokens(self, tx: Tx, tokens: Iterable[tuple[str, str]]) -> None:
        """Store tokens, each with its session's id."""
        ...

    @abstractmethod
    async def tell_workers(self, tx: Tx, message: str) -> None:
        """Send a message to all workers, when the transaction commits."""
        ...

    @abstractmethod
    async def tell_waits(self, tx: Tx, message: str) -> None:
        """Pass on a session's id, or ``news_of`` a shard, to the waits of all processes, when *tx* commits."""
        ...

    def event(self) -> AbstractAsyncContextManager[EventTransaction[Tx]]:
        """Prepare a transaction for an event. What it has not stored at the end of the context is rolled back."""
        return self._event()

    @asynccontextmanager
    async def _event(self) -> AsyncGenerator[EventTransaction[Tx]]:
        async with self.transaction() as tx:
            yield _PlainEvent(self, tx)

    @abstractmethod
    async def listen(self) -> None:
        """Make sure that messages of other processes reach ``channels``; return once none is missed any more."""
        ...

    @abstractmethod
    def own(self, shards: int, lease: Lease, lost: Callable[[float], object]) -> AbstractAsyncContextManager[Ownership]:
        """
        Enter the fleet as a worker: a context in which shards can be owned.

        *lost* is called once none is owned, and is told by how many seconds this came late.
        """
        ...

    @abstractmethod
    async def owners(self, tx: Tx) -> dict[int, int]:
        """Return the owner of each shard that has one."""
        ...

    @abstractmethod
    async def workers(self, tx: Tx) -> dict[int, str | None]:
        """Return the label that each worker has published last; ``None`` if that is not known."""
        ...

    @abstractmethod
    def is_unreachable(self, error: Exception) -> bool:
        """Tell whether *error* says that the database could not be reached, or that the connection broke."""
        ...

    @abstractmethod
    def is_cut(self, tx: Tx) -> bool:
        """Tell whether the connection of the transaction is gone."""
        ...

    @abstractmethod
    def is_passing(self, error: Exception) -> bool:
        """
        Tell whether a statement of the fleet's own may succeed later.

        It may if the database was not reached, was busy, or `takes_no_writes`.
        """
        ...

    @abstractmethod
    def takes_no_writes(self, error: Exception) -> bool:
        """Tell whether *error* says that nothing can be stored for now, whoever tries."""
        ...

    @abstractmethod
    def hang_up(self, tx: Tx) -> None:
        """Cut the connection of a transaction: what it waits for fails at once, and nothing of it is stored."""
        ...


class _PlainEvent(EventTransaction[Tx]):
    """Runs its statements one after another."""

    def __init__(self, store: Store[Tx], tx: Tx) -> None:
        self._store = store
        self._tx = tx

    @property
    def tx(self) -> Tx:
        return self._tx

    async def lock(self, *parameters: object) -> list[Row]:
        return await self._store.run(self.tx, "lock", *parameters)

    async def store(self, session_id: str, *parameters: object) -> None:
        await self._store.run(self.tx, "store", *parameters, session_id)
        await self._store.tell_waits(self.tx, session_id)
