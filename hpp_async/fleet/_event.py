"""
The transaction of one event in PostgreSQL: two round trips beside those of ``deal_with``.

``BEGIN`` travels with the statement that locks the rows, and ``COMMIT`` with the one that stores the token. A query of
several statements ends at the first one that fails: what was not stored is not committed. The server has both
statements prepared. psycopg prepares no part of such a query, so it is done here, once for each connection.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, LiteralString, Self, cast

import attrs
import psycopg

from hpp_async.fleet._outbox import Outbox
from hpp_async.fleet._store import EventTransaction, Row

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

    def _refuse(self, what: str) -> None:
        if self.is_in_event:
            raise psycopg.ProgrammingError(f"{what} is refused in deal_with: the fleet ends the transaction after it")


@attrs.frozen
class EventStatements:
    """
    What an event's transaction runs.

    Attributes:
        prepare: prepares the statements, once for each connection.
        begin: begins, and locks.
        commit: stores, and commits.
    """

    prepare: LiteralString
    begin: LiteralString
    commit: LiteralString

    @classmethod
    def of(cls, sql: Mapping[str, str]) -> Self:
        """Return them for the statements of a store: *sql* has ``lock`` and ``store``."""
        lock, lock_places = _to_prepare(sql["lock"])
        store, store_places = _to_prepare(sql["store"])
        texts = (
            f"PREPARE hpp_lock AS {lock}; PREPARE hpp_store AS {store}",
            f"BEGIN; EXECUTE hpp_lock({lock_places})",
            f"EXECUTE hpp_store({store_places}); COMMIT",
        )
        return cls(*cast("tuple[LiteralString, ...]", texts))


def _to_prepare(sql: str) -> tuple[str, str]:
    """Return a statement as the server writes it, with ``$1`` for the first parameter, and psycopg's places for all."""
    number = itertools.count(1)
    text = re.sub("%[%s]", lambda found: f"${next(number)}" if found[0] == "%s" else "%", sql)
    return text, ", ".join(["%s"] * (next(number) - 1))


class PreparedEvent(EventTransaction[psycopg.AsyncConnection[Row]]):
    """
    See `EventTransaction`.

    Args:
        checkout: enters the context of a connection of the pool, and returns the connection.
        tries: how many connections are tried if they turn out to be dead: after a restart of the database all may be.
        statements: what it runs.
        channel: where news is sent.
        outbox: takes the news that this transaction does not send.
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
        cursor = psycopg.AsyncClientCursor(self._connection)
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
