"""A store in PostgreSQL, for as many processes as there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, LiteralString, cast

import psycopg
from psycopg.rows import tuple_row
from psycopg_pool import PoolTimeout

from hpp_async import ConfigurationError
from hpp_async.fleet import _trouble
from hpp_async.fleet._connecting import Connecting, Pool, let_the_server_notice, settings_in
from hpp_async.fleet._event import TELL, EventStatements, PoolConnection, PreparedEvent
from hpp_async.fleet._lease import Lease, reconnect_after
from hpp_async.fleet._locks import MIGRATION, Locks, check_is_direct, hang_up, key_of, labels_of, survey_of
from hpp_async.fleet._outbox import Outbox
from hpp_async.fleet._store import Dialect, EventTransaction, Ownership, Row, Store
from hpp_async.fleet._tasks import end

logger: Final = logging.getLogger("hpp_async.fleet")

PostgresTransaction = psycopg.AsyncConnection[Row]
"""A transaction on a `PostgresStore`: psycopg's connection, whose ``execute`` runs your own statements."""

_NAME_MAXIMUM: Final = 48
"""Bytes: PostgreSQL cuts names after 63, and the channels' names are longer than the schema's."""

_PATIENT: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq's settings, unless yours say otherwise: a connection that was cut is given up sooner than TCP gives it up."""

_RECONNECTS_FOR: Final = 5.0
"""
Seconds for which the pool tries to replace a connection. It pauses twice as long after each try that fails.

With its own limit of 300 seconds, a pool has no connections after a long outage for as long again as the outage took.
When it has given up, the next transaction makes it try at once.
"""

_GIVEN_UP_AFTER: Final = 5.0
"""Seconds that a transaction waits for a connection of the pool."""

_PING: Final = 5.0
"""Seconds between two pings on the connection that listens."""

_SCHEMA: Final = """\
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {p}setting (name text PRIMARY KEY, value integer NOT NULL);
CREATE TABLE IF NOT EXISTS {p}shard (number integer PRIMARY KEY, epoch bigint NOT NULL, handed_over bigint);
CREATE TABLE IF NOT EXISTS {p}session (
    id text PRIMARY KEY,
    bucket integer NOT NULL,
    token text,
    status text,
    news text,
    news_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    error text,
    retry_at timestamptz,
    parked_at timestamptz,
    ending text,
    ended_at timestamptz,
    added_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS session_open ON {p}session (bucket) WHERE ended_at IS NULL;
"""


_TABLES: Final = ("setting", "shard", "session", "session_open")
"""What `PostgresStore.migrate` makes; the last one is an index."""

_MADE: Final = """\
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = ANY(%s)
"""

_MIGRATION_IDLES_FOR: Final = 5.0
"""Seconds after which the server ends the migration of a process that is frozen in it: others wait for its lock."""


class PostgresStore(Store[PostgresTransaction]):
    """
    Keeps a fleet's sessions in PostgreSQL 14 or later.

    It opens connections when they are needed: a pool for transactions, one that listens, and in a worker one that holds
    its locks. They have to be direct ones: pgbouncer in transaction mode is refused, as locks and LISTEN need sessions.

    Args:
        conninfo: the database, as for libpq: a URL, or ``host=… dbname=…``. It is not shown by ``repr``.
        schema: the schema for the fleet's tables, which `migrate` makes. Two fleets in one database need two.
        max_connections: how many transactions may run at once.

    Raises:
        ConfigurationError: an argument is refused.
    """

    def __init__(self, conninfo: str, *, schema: str = "hpp", max_connections: int = 10) -> None:
        if not isinstance(max_connections, int) or max_connections < 1:
            raise ConfigurationError(f"max_connections={max_connections!r}: give a whole number of at least 1")
        if not schema or len(schema.encode()) > _NAME_MAXIMUM or not schema.isprintable():
            raise ConfigurationError(f"schema={schema!r}: give a name of up to {_NAME_MAXIMUM} bytes")
        if schema.startswith("pg_"):
            raise ConfigurationError(f"schema={schema!r}: PostgreSQL keeps names that begin with pg_ for itself")
        self._schema = schema
        self._quoted = '"' + schema.replace('"', '""') + '"'
        super().__init__(_dialect(self._quoted.replace("%", "%%")))
        given = settings_in(conninfo)
        if given is None:
            del conninfo  # a frame that raises must have no secrets among its locals
            raise ConfigurationError(
                "conninfo: give postgresql://USER:PASSWORD@HOST:PORT/NAME, or text such as 'host=… dbname=…'. In the "
                "password of a URL, write %40 for @, %2F for /, %3A for : and %25 for %"
            )
        settings: dict[str, Any] = {
            **{name: value for name, value in _PATIENT.items() if name not in given},
            # From a database without an encoding of its own (SQL_ASCII), psycopg returns text as bytes otherwise.
            **({} if "client_encoding" in given else {"client_encoding": "UTF8"}),
            "autocommit": True,  # transactions are explicit
            "prepare_threshold": None,  # pools of connections that some have in between know no prepared statements
        }
        self._connecting = Connecting(conninfo, settings)
        self._new_pool = partial(
            Pool,
            conninfo,
            connection_class=self._connecting.connection_class,
            kwargs=settings,
            configure=let_the_server_notice,
            min_size=1,
            max_size=max_connections,
            open=False,
            timeout=_GIVEN_UP_AFTER,
            reconnect_timeout=_RECONNECTS_FOR,
        )
        self._key = key_of(schema)
        self._event_statements = EventStatements.of(self._sql)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pool: Pool = self._new_pool()
        self._opening = asyncio.Lock()
        self._is_open = False
        self._listener: asyncio.Task[None] | None = None
        self._outbox = Outbox(self._send_news)

    def _drop(self, *, is_forked: bool) -> None:
        self._connecting.drop(is_forked=is_forked)
        self._begin_anew()

    def __repr__(self) -> str:
        return f"<PostgresStore, schema {self._schema!r}>"

    @property
    def migration(self) -> str:
        """The statements that `migrate` runs, for those who run migrations of their own. They can be run again."""
        return _SCHEMA.format(schema=self._quoted, p=f"{self._quoted}.")

    async def migrate(self) -> None:
        """Make the schema and its tables, where they are missing; several processes may do it at once."""
        async with self.own_transaction() as tx:
            await self.run(tx, "idle_limit", str(round(1000 * _MIGRATION_IDLES_FOR)))
            if await self._is_migrated(tx):
                return
            await tx.execute("SELECT pg_advisory_xact_lock(%s, %s)", (self._key, MIGRATION))
            if await self._is_migrated(tx):
                return
            try:
                await tx.execute(_own(self.migration))
            except psycopg.errors.InsufficientPrivilege as error:
                raise ConfigurationError(
                    f"the database's user may not make the fleet's tables in the schema {self._schema!r}: grant it "
                    "that, or run the statements of store.migration as another user"
                ) from error

    async def _is_migrated(self, tx: PostgresTransaction) -> bool:
        """
        Tell whether there is nothing to make.

        To make an index that is there already, PostgreSQL would still wait for all transactions that have written to
        the table, and would keep all others waiting meanwhile. And the user of a process that only works need not have
        the right to make tables.
        """
        [(count,)] = await self._run(tx, _MADE, (self._schema, list(_TABLES)))
        return bool(count == len(_TABLES))

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[PostgresTransaction]:
        """
        Begin a transaction; see `Store.transaction`. ``commit`` and ``rollback`` are refused inside.

        If no connection is made or free within 5 seconds, it raises a ``PoolTimeout`` of psycopg's, which says why.
        """
        self.life.enter()
        stack, connection = await self._begin(None)
        async with stack:
            yield connection

    @asynccontextmanager
    async def own_transaction(self) -> AsyncGenerator[PostgresTransaction]:
        """Begin a transaction for the fleet's own statements: they are written for READ COMMITTED."""
        self.life.enter()
        stack, connection = await self._begin(psycopg.IsolationLevel.READ_COMMITTED)
        async with stack:
            yield connection

    async def _begin(self, isolation: psycopg.IsolationLevel | None) -> tuple[AsyncExitStack, PostgresTransaction]:
        """
        Begin a transaction; without an *isolation*, at the database's own level.

        After a restart of the database, all connections of the pool may be dead.
        """
        for may_try_again in (*(True for _ in range(self._pool.max_size)), False):
            try:
                async with AsyncExitStack() as stack:
                    connection = await self._checkout(stack)
                    await connection.set_isolation_level(isolation)
                    await stack.enter_async_context(connection.transaction())
                    return stack.pop_all(), connection
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if isinstance(error, PoolTimeout) or not may_try_again:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _open(self) -> None:
        async with self._opening:
            if not self._is_open:
                await self._pool.open()
                self._is_open = True

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await end([listener])
        if self._is_open:
            await self._outbox.aclose()
            self._is_open = False
            await self._pool.close()

    # -- for the fleet ------------------------------------------------------------------------------------------------

    async def _run(self, tx: PostgresTransaction, sql: str, parameters: Sequence[object]) -> list[Row]:
        # Users may have set a row factory of their own, now or when the connection was in use before.
        cursor = psycopg.AsyncCursor(tx, row_factory=tuple_row)
        await cursor.execute(_own(sql), parameters)
        return await cursor.fetchall() if cursor.description else []

    async def replace_tokens(self, tx: PostgresTransaction, tokens: Iterable[tuple[str, str]]) -> None:
        """Store tokens, each with its session's id."""
        pairs = list(tokens)
        await self.run(tx, "replace_tokens", [pair[0] for pair in pairs], [pair[1] for pair in pairs])

    async def tell_workers(self, tx: PostgresTransaction, message: str) -> None:
        """Send a message to all workers, when the transaction commits."""
        await tx.execute("SELECT pg_notify(%s, %s)", (self._channel("workers"), message))

    async def tell_waits(self, tx: PostgresTransaction, message: str) -> None:
        """Wake the waits of all processes that the message is for, when the transaction commits."""
        await tx.execute("SELECT pg_notify(%s, %s)", (self._channel("news"), message))

    def event(self) -> AbstractAsyncContextManager[EventTransaction[PostgresTransaction]]:
        """Prepare a transaction for an event; see `hpp_async.fleet._event`."""
        self.life.enter()
        return PreparedEvent(
            self._checkout,
            tries=self._pool.max_size + 1,
            statements=self._event_statements,
            channel=self._channel("news"),
            outbox=self._outbox,
        )

    async def _checkout(self, stack: AsyncExitStack) -> PoolConnection:
        if not self._is_open:
            await self._open()
        try:
            return await stack.enter_async_context(self._pool.connection())
        except PoolTimeout as error:
            raise PoolTimeout(self._why_none()) from error

    def _why_none(self) -> str:
        refusal = self._connecting.refusal
        if refusal is None:
            return (
                f"all {self._pool.max_size} connections of {self!r} were in use for {_GIVEN_UP_AFTER:g} s: end "
                "transactions sooner, or give it more with max_connections"
            )
        return f"no connection to the database at {self._connecting.where} for {_GIVEN_UP_AFTER:g} s: {refusal}"

    async def _send_news(self, session_ids: Collection[str]) -> None:
        try:
            stack, tx = await self._begin(psycopg.IsolationLevel.READ_COMMITTED)  # also while the store is being closed
            async with stack:
                await tx.execute(TELL, (self._channel("news"), list(session_ids)))
        except (psycopg.Error, PoolTimeout, OSError) as error:
            logger.warning("the waits were not told of news (%s): they look for themselves", type(error).__name__)

    def _channel(self, name: str) -> str:
        return f"hpp_{name}:{self._schema}"

    async def listen(self) -> None:
        """
        Listen to messages of all processes on a connection of its own, until `Store.aclose`.

        A connection that breaks is made anew. Then every worker and every wait reads the database again.
        """
        self.life.enter()
        async with self._opening:
            if self._listener is None:
                connection = await self._listening()
                self._listener = asyncio.create_task(self._receive(connection), name="hpp_async.fleet listener")

    async def _listening(self) -> PostgresTransaction:
        connection = await self._connect()
        try:
            for name in ("workers", "news"):
                quoted = '"' + self._channel(name).replace('"', '""') + '"'
                await connection.execute(_own(f"LISTEN {quoted}"))
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _connect(self) -> PostgresTransaction:
        """Return a connection that nobody else has, and no pooler in transaction mode gives away."""
        connection = await self._new_connection()
        try:
            await check_is_direct(connection, self._new_connection)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _new_connection(self) -> PostgresTransaction:
        return await self._connecting.connect()

    async def _receive(self, connection: PostgresTransaction) -> None:
        failures = 0
        while True:
            try:
                if failures:
                    connection = await self._listening()
                    self.channels.catch_up()
                    failures = 0
                await self._pass_on(connection)
            except (psycopg.Error, OSError, ConfigurationError) as error:
                failures += 1
                logger.warning("the connection that listens broke, and is made anew: %s", self._connecting.said(error))
                await asyncio.sleep(reconnect_after(failures, 0.5))
            finally:
                await connection.close()

    async def _pass_on(self, connection: PostgresTransaction) -> None:
        loop = asyncio.get_running_loop()
        tell = {
            self._channel("workers"): self.channels.tell_workers,
            self._channel("news"): self.channels.tell_waits,
        }
        while True:
            async for message in connection.notifies(timeout=_PING):
                tell[message.channel](message.payload)
            watchdog = loop.call_later(_PING, hang_up, connection)
            try:
                await connection.execute("SELECT 1")
            finally:
                watchdog.cancel()

    def own(self, shards: int, lease: Lease, lost: Callable[[float], object]) -> AbstractAsyncContextManager[Ownership]:
        """Enter the fleet as a worker, on a connection of its own; see `hpp_async.fleet._locks`."""
        self.life.enter()
        return self._own(lease, lost)

    @asynccontextmanager
    async def _own(self, lease: Lease, lost: Callable[[float], object]) -> AsyncGenerator[Ownership]:
        connection = await self._connect()
        locks = Locks(connection, key=self._key, channel=self._channel("workers"), lease=lease, lost=lost)
        try:
            await locks.enter()
            yield locks
        finally:
            locks.close()
            await connection.close()

    async def owners(self, tx: PostgresTransaction) -> dict[int, int]:
        """Return the owner of each shard that has one: the process id of its backend."""
        return dict((await survey_of(tx, self._key)).owners)

    async def workers(self, tx: PostgresTransaction) -> dict[int, str | None]:
        """Return the label that each worker has published last: the name of its connection with the locks."""
        return await labels_of(tx, self._key)

    def refusal(self, error: Exception) -> str | None:
        """Return what to change in the database if *error* says that the fleet's tables cannot be used there."""
        return _trouble.refusal(error, self._schema)

    def is_unreachable(self, error: Exception) -> bool:
        """Tell whether *error* says that the database could not be reached, or that the connection broke."""
        return _trouble.is_unreachable(error)

    def is_cut(self, tx: PostgresTransaction) -> bool:
        """Tell whether the connection of the transaction is gone."""
        return tx.closed

    def is_passing(self, error: Exception) -> bool:
        """Tell whether a statement of the fleet's own may succeed later; see `Store.is_passing`."""
        return _trouble.is_passing(error)

    def takes_no_writes(self, error: Exception) -> bool:
        """Tell whether *error* says that the disk is full or fails, or that the database is read-only."""
        return _trouble.takes_no_writes(error)

    def hang_up(self, tx: PostgresTransaction) -> None:
        """Cut the connection of a transaction: what it waits for fails at once, and nothing of it is stored."""
        hang_up(tx)


def _dialect(schema: str) -> Dialect:
    now = "clock_timestamp()"
    return Dialect(
        prefix=f"{schema}.",
        now=now,
        ago=f"extract(epoch FROM {now} - {{}})::float8",
        later=f"{now} + make_interval(secs => %s)",
        lock=" FOR SHARE OF h FOR UPDATE OF s",
        idle_limit="set_config('idle_in_transaction_session_timeout', %s, true)",
        limits=(
            "(SELECT set_config('idle_in_transaction_session_timeout', t.milliseconds, true) "
            "|| set_config('lock_timeout', t.milliseconds, true) FROM (VALUES (%s::text)) AS t (milliseconds))"
        ),
    )


def _own(sql: str) -> LiteralString:
    """Return a statement of the fleet's as what psycopg takes: it is the fleet's own, but for the schema's name."""
    return cast("LiteralString", sql)  # type: ignore[redundant-cast]  # mypy takes both for one type, pyright does not
