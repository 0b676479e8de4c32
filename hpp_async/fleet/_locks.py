"""
Who owns which shard: advisory locks of PostgreSQL, on one direct connection per worker.

A worker holds a lock on each of its shards, and shares one lock with all workers, so that the lock manager knows all
workers and all owners. One worker at a time can hold the lock on a shard. The lock is free again when the worker's
connection ends:

- a worker that is killed: its operating system closes the connection, and the locks are free at once;
- a worker that is frozen or cut off: ``idle_session_timeout`` ends its session, which is the lease.

Any error on the connection, and a ping without an answer, ends the ownership of all shards. Nothing is waited for then:
the connection is cut from this side, which makes whatever waits for it fail at once. (A cancelled query would first be
cancelled at the server, which on a connection without network takes as long as TCP does.)
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import tuple_row

from hpp_async import ConfigurationError
from hpp_async.fleet._division import Survey
from hpp_async.fleet._lease import Lease
from hpp_async.fleet._store import OwnershipLostError

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]

MIGRATION: Final = 2**31 - 2
_WORKERS: Final = 2**31 - 1
"""The number of the lock that all workers share; shards have the numbers from 0."""

_PROBES: Final = 3
_PATIENCE: Final = 2.0
"""Seconds for all probes."""

_SURVEY: Final = """\
SELECT pg_backend_pid(), objid::bigint, pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = %s::bigint::oid
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT pg_backend_pid(), NULL, NULL
"""
_LABELS: Final = """\
SELECT DISTINCT pid, application_name FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = %s::bigint::oid AND objid <> %s::bigint::oid
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def key_of(schema: str) -> int:
    """Return the first number of the fleet's locks, which tells fleets in one database apart."""
    return int.from_bytes(hashlib.sha256(f"hpp_async.fleet:{schema}".encode()).digest()[:4]) >> 1


async def survey_of(connection: Connection, key: int) -> Survey:
    """Return what the lock manager says of the fleet with this *key*."""
    cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
    await cursor.execute(_SURVEY, (key,))
    rows = await cursor.fetchall()
    return Survey(
        me=rows[0][0],
        workers=frozenset(pid for _, number, pid in rows if number == _WORKERS),
        owners={number: pid for _, number, pid in rows if number is not None and number < MIGRATION},
    )


async def labels_of(connection: Connection, key: int) -> dict[int, str | None]:
    """Return the name of each worker's connection, by the process id of its backend."""
    cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
    await cursor.execute(_LABELS, (key, MIGRATION))
    return dict(await cursor.fetchall())


def hang_up(connection: Connection) -> None:
    """Cut a connection from this side. What waits for it fails at once; the server ends its session when it notices."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


async def check_is_direct(connection: Connection, connect: Callable[[], Awaitable[Connection]]) -> None:
    """
    Check that the connection keeps its session from one transaction to the next.

    A pooler that shares sessions gives itself away: while another connection holds a transaction, either that one has
    the session of this one, or this one gets another session for its next transaction.

    Raises:
        ConfigurationError: it does not: there is a pooler in transaction or statement mode in between.
    """
    first = await _session_of(connection)
    if first == connection.info.backend_pid:
        return  # nobody in between: a pooler makes up the number that it gives at the beginning
    other = await connect()
    # With one session for all, this connection would wait for the transaction of the other one.
    patience = asyncio.get_running_loop().call_later(_PATIENCE, hang_up, connection)
    try:
        for _ in range(_PROBES):
            async with other.transaction():
                theirs, now = await _session_of(other), await _session_of(connection)
            if theirs == first or now != first:
                raise ConfigurationError(
                    "a connection pooler in transaction mode is between this process and PostgreSQL, and gives each "
                    "transaction another session: locks and LISTEN need one that stays. Give the fleet the address of "
                    "the database itself, or of a pool in session mode"
                )
    except psycopg.Error as error:
        raise ConfigurationError(
            "a connection pooler is between this process and PostgreSQL, and does not let a second connection hold a "
            "transaction: give the fleet the address of the database itself"
        ) from error
    finally:
        patience.cancel()
        await other.close()


async def _session_of(connection: Connection) -> int:
    cursor = await connection.execute("SELECT pg_backend_pid()")
    row = await cursor.fetchone()
    assert row is not None, "it is one row"
    return int(row[0])


class Locks:
    """
    The locks of one worker. *lost* is called, once, when they may not be its own any more.

    It is told by how many seconds this came late: the process was frozen, or something kept the event loop busy.
    """

    def __init__(
        self, connection: Connection, *, key: int, channel: str, lease: Lease, lost: Callable[[float], object]
    ) -> None:
        self._connection = connection
        self._key = key
        self._channel = channel
        self._lease = lease
        self._lost = lost
        self._is_over = False
        self._alarm: asyncio.TimerHandle | None = None

    async def enter(self) -> None:
        """Begin the lease, and count among the workers."""
        if self._connection.info.server_version < 140_000:
            raise ConfigurationError("PostgreSQL 14 or later is needed: before, it has no idle_session_timeout")
        self._renew(self._lease.believed_until(asyncio.get_running_loop().time()))
        limit = str(self._lease.milliseconds)
        await self._ask("SELECT set_config('idle_session_timeout', %s, false)", limit)
        await self._ask("SELECT pg_advisory_lock_shared(%s, %s)", self._key, _WORKERS)
        await self._ask("SELECT pg_notify(%s, 'workers')", self._channel)

    async def publish(self, label: str) -> None:
        """Let `labels_of` show this text beside the worker: it is the name of the connection."""
        await self._ask("SELECT set_config('application_name', %s, false)", label)

    async def leave(self) -> None:
        """Count no longer among the workers; the shards stay owned until they are given back."""
        await self._ask("SELECT pg_advisory_unlock_shared(%s, %s)", self._key, _WORKERS)

    async def survey(self) -> Survey:
        """Ping the database, and return all workers and the owners of all shards."""
        return await self._pinged(survey_of(self._connection, self._key))

    async def take(self, shard: int) -> bool:
        """Take a shard, if it is free; return whether this worker owns it now."""
        return bool(await self._ask("SELECT pg_try_advisory_lock(%s, %s)", self._key, shard))

    async def give_back(self, shard: int) -> None:
        """Give up a shard, and tell the other workers."""
        await self._ask("SELECT pg_advisory_unlock(%s, %s), pg_notify(%s, 'workers')", self._key, shard, self._channel)

    def close(self) -> None:
        """End the lease from this side."""
        self._is_over = True
        if self._alarm is not None:
            self._alarm.cancel()

    async def _ask(self, sql: str, *parameters: object) -> object:
        async def ask() -> object:
            cursor = await self._connection.execute(sql.encode(), parameters)
            row = await cursor.fetchone()
            assert row is not None, "it is one row"
            return row[0]

        return await self._pinged(ask())

    async def _pinged(self, asking: Awaitable[T]) -> T:
        sent_at = asyncio.get_running_loop().time()
        try:
            answer = await asking
        except psycopg.Error as error:
            self._lose()
            raise OwnershipLostError(f"the connection with the locks broke ({type(error).__name__})") from error
        if self._is_over:
            raise OwnershipLostError("the database was silent for as long as the lease")
        self._renew(self._lease.believed_until(sent_at))
        return answer

    def _renew(self, until: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(until, self._expire, until)

    def _expire(self, due: float) -> None:
        self._lose(late_by=asyncio.get_running_loop().time() - due)

    def _lose(self, *, late_by: float = 0.0) -> None:
        if not self._is_over:
            self.close()
            hang_up(self._connection)
            self._lost(late_by)
