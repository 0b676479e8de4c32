"""
The transaction of one event in PostgreSQL: two round trips beside those of ``deal_with``.

``BEGIN`` is sent in one query with the statement that locks the rows, and ``COMMIT`` in one query with the statement
that stores the token. A query of several statements ends at the first one that fails, so nothing is committed if the
token could not be stored. Both statements are prepared on the server. psycopg does not prepare parts of a query, so
this module prepares them, once for each connection.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, LiteralString, Self, cast

import attrs
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from hpp_async.fleet._outbox import Outbox
from hpp_async.fleet._store import ENDS_TRANSACTION, EventTransaction, Row

TELL: Final = "SELECT pg_notify(%s, id) FROM unnest(%s::text[]) AS news (id)"
"""Sends news, on a channel."""


class PoolConnection(psycopg.AsyncConnection[Row]):
    """
    A connection of the pool.

    Attributes:
        is_in_event: whether it holds the transaction of an event. Then ``commit`` and ``rollback`` are refused, as in
            psycopg's own transactions.
        is_prepared: whether the statements of an event are prepared.
    """

    is_in_event: bool = False
    is_prepared: bool = False

    async def commit(self) -> None:
        self._refuse("commit")
        await super().commit()

    async def rollback(self) -> None:
        self._refuse("rollback")
        await super().rollback()

    async def execute(self, query: Any, *args: Any, **options: Any) -> psycopg.AsyncCursor[Row]:
        text: object = query
        if self.is_in_event and isinstance(text, str) and ENDS_TRANSACTION.match(text):
            self._refuse("a statement that ends the transaction")
        return await super().execute(query, *args, **options)

    def _refuse(self, what: str) -> None:
        if self.is_in_event:
            raise psycopg.ProgrammingError(f"{what} is refused in deal_with: the fleet ends the transaction after it")


@attrs.frozen
class EventStatements:
    """
    The statements of an event's transaction.

    Attributes:
        prepare: prepares the statements, once for each connection.
        begin: begins the transaction, and locks the rows.
        commit: stores the token, and commits.
    """

    prepare: LiteralString
    begin: LiteralString
    commit: LiteralString

    @classmethod
    def of(cls, sql: Mapping[str, str]) -> Self:
        """Return the statements for an event, made of two of a store's: ``lock`` and ``store`` in *sql*."""
        lock, lock_places = _to_prepare(sql["lock"])
        store, store_places = _to_prepare(sql["store"])
        texts = (
            f"PREPARE hpp_lock AS {lock}; PREPARE hpp_store AS {store}",
            f"BEGIN; EXECUTE hpp_lock({lock_places})",
            f"EXECUTE hpp_store({store_places}); COMMIT",
        )
        return cls(*cast("tuple[LiteralString, ...]", texts))


def _to_prepare(sql: str) -> tuple[str, str]:
    """Return the text to prepare, with ``$1``, ``$2`` … for the parameters, and as many placeholders for psycopg."""
    number = itertools.count(1)
    text = re.sub("%[%s]", lambda found: f"${next(number)}" if found[0] == "%s" else "%", sql)
    return text, ", ".join(["%s"] * (next(number) - 1))


class PreparedEvent(EventTransaction[psycopg.AsyncConnection[Row]]):
    """
    The transaction of one event; see `EventTransaction`.

    Args:
        checkout: takes a connection from the pool, and returns it; the exit stack gives it back.
        tries: how many connections are tried if they are found dead: all may be, after a restart of the database.
        statements: the statements that it runs.
        channel: the channel that news is sent to.
        outbox: keeps the news that this transaction does not send.
    """

    def __init__(
        self,
        checkout: Callable[[AsyncExitStack], Awaitable[PoolConnection]],
        *,
        tries: int,
        statements: EventStatements,
        channel: str,
        outbox: Outbox,
    ) -> None:
        self._checkout = checkout
        self._tries = tries
        self._statements = statements
        self._channel = channel
        self._outbox = outbox
        self._stack = AsyncExitStack()

    @property
    def tx(self) -> PoolConnection:
        return self._connection

    async def __aenter__(self) -> Self:
        self._connection = await self._checkout(self._stack)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.is_in_event = False
        await self._stack.__aexit__(exc_type, exc_value, traceback)  # the pool rolls back what is not committed

    async def lock(self, *parameters: object) -> list[Row]:
        """Begin the transaction, and lock the rows of the shard and of the session."""
        while True:
            try:
                return await self._begin(parameters)
            except psycopg.errors.InvalidSqlStatementName:  # deal_with, or a rollback of psycopg's, deallocated them
                self._connection.is_prepared = False
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self._tries -= 1
                if not self._connection.closed or not self._tries:
                    raise
            await self.__aexit__(None, None, None)
            await self.__aenter__()

    async def _begin(self, parameters: tuple[object, ...]) -> list[Row]:
        if not self._connection.is_prepared:
            await self._prepare()
        cursor = psycopg.AsyncClientCursor(self._connection, row_factory=tuple_row)
        self._connection.is_in_event = True
        await cursor.execute(self._statements.begin, parameters)
        cursor.nextset()
        return await cursor.fetchall()

    async def _prepare(self) -> None:
        try:
            await self._connection.execute(self._statements.prepare)
        except BaseException:
            await self._connection.close()  # one of them may be prepared
            raise
        self._connection.is_prepared = True

    async def store(self, session_id: str, *parameters: object) -> None:
        """Store the news, commit, and let the waits know."""
        if self._connection.pgconn.transaction_status != TransactionStatus.INTRANS:
            raise psycopg.ProgrammingError("the transaction was ended in deal_with: the fleet ends it afterwards")
        cursor, news = psycopg.AsyncClientCursor(self._connection), self._outbox.take(session_id)
        stored = (*parameters, session_id)
        try:
            if news:
                await cursor.execute(f"{TELL}; {self._statements.commit}", (self._channel, news, *stored))
            else:
                await cursor.execute(self._statements.commit, stored)
        except BaseException:
            self._outbox.leave(news[1:])
            raise
        if not news:
            self._outbox.leave([session_id])
