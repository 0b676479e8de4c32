"""What is between a process and the model of the database: a network, connections as psycopg has them, and a store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, Final, Self, cast

import attrs
import psycopg
from psycopg.pq import TransactionStatus

from fleet_simulation.database import Backend, Database
from fleet_simulation.statements import begin_event, statement_of
from hpp_async.fleet import PostgresStore, PostgresTransaction

CONNECT_TIMEOUT: Final = 5.0
USER_TIMEOUT: Final = 10.0
"""Both as `hpp_async.fleet._postgres` sets them."""

_IN_ORDER: Final = 1e-6
"""Seconds between two messages in one direction: they arrive in the order in which they were sent."""


class Network:
    """The way of one process to the database. While it is cut, nothing arrives; it arrives afterwards."""

    def __init__(self, owner: str, database: Database, chance: Random, travel: float) -> None:
        self.owner = owner
        self.database = database
        self.connections: list[Connection] = []
        self.whole = asyncio.Event()
        self.whole.set()
        self.is_over = False
        """Whether the life is over: then nothing is waited for any more."""
        self._loop = asyncio.get_running_loop()
        self._chance = chance
        self._travel = travel
        self._cuts = 0
        self._held: list[Callable[[], object]] = []
        self._last = {True: 0.0, False: 0.0}
        self._context = Context()

    def send(self, do: Callable[[], object], *, is_answer: bool = False) -> None:
        """Let something happen at the other end, once it is reached."""
        at = max(self._loop.time() + self._chance.uniform(0.0, self._travel), self._last[is_answer] + _IN_ORDER)
        self._last[is_answer] = at
        self._loop.call_at(at, self._arrive, do, context=self._context)

    def _arrive(self, do: Callable[[], object]) -> None:
        if self.whole.is_set():
            do()
        else:
            self._held.append(do)

    def serve(self, work: Callable[[], Any]) -> None:
        """Run *work* at the server, which is on no machine that is frozen."""
        self._loop.create_task(work(), context=self._context.copy())

    def later(self, seconds: float, do: Callable[[], object]) -> asyncio.TimerHandle:
        """Let the operating system do something later; it is not frozen with the process."""
        return self._loop.call_later(seconds, do, context=self._context)

    def cut(self) -> None:
        self._cuts += 1
        self.whole.clear()

    def mend(self) -> None:
        self._cuts -= 1
        if self._cuts > 0:
            return
        self.whole.set()
        held, self._held = self._held, []
        for do in held:
            do()

    def close(self) -> None:
        """Close all connections, as the operating system does for a process that was killed."""
        for connection in self.connections:
            connection.end()

    def give_up(self) -> None:
        """End whatever waits: the life is over."""
        self.is_over, self._cuts = True, 1
        self.mend()
        for connection in self.connections:
            connection.hang_up()

    async def connect(self, sql: dict[str, str]) -> Connection:
        """Return a connection, as ``psycopg.AsyncConnection.connect`` does."""
        if self.is_over:
            raise psycopg.OperationalError("the life is over")
        connection = Connection(self, sql)
        connected: asyncio.Future[None] = self._loop.create_future()
        self.send(lambda: connection.begin(connected))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connected
        except BaseException as error:
            await connection.close()
            if isinstance(error, TimeoutError):
                raise psycopg.errors.ConnectionTimeout("connection timeout expired") from None
            raise
        self.connections.append(connection)
        return connection


class Cursor:
    """The result of a statement."""

    def __init__(self, rows: list[Any]) -> None:
        self.description = ("something",)
        self.rowcount = len(rows)
        self._rows = rows

    async def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows


@attrs.define
class _State:
    """What the pool asks a connection for."""

    transaction_status: TransactionStatus = TransactionStatus.IDLE


class Connection:
    """A connection as psycopg has it, as far as the fleet and psycopg's pool use one."""

    def __init__(self, network: Network, sql: dict[str, str]) -> None:
        self.pgconn = _State()
        self.is_in_event = self.is_prepared = False
        self.info = SimpleNamespace(server_version=160_000, backend_pid=0)
        self._network = network
        self._sql = sql
        self._loop = asyncio.get_running_loop()
        self._backend: Backend | None = None
        self._error: Exception | None = None
        """What the operating system knows of the connection's end; the process finds out when it uses it."""
        self._pending: asyncio.Future[Any] | None = None
        self._inbox = deque[SimpleNamespace]()
        self._has_mail: asyncio.Future[None] | None = None

    # -- at the server ------------------------------------------------------------------------------------------------

    def begin(self, connected: asyncio.Future[None]) -> None:
        network = self._network

        def answer(error: Exception | None) -> None:
            if not connected.done():
                connected.set_result(None) if error is None else connected.set_exception(error)
                connected.exception()

        try:
            self._backend = network.database.connect(
                network.owner,
                closed=lambda error: network.send(lambda: self._broke(error), is_answer=True),
                arrived=lambda channel, message: network.send(lambda: self._got(channel, message), is_answer=True),
            )
        except psycopg.OperationalError as error:
            refusal = error
            network.send(lambda: answer(refusal), is_answer=True)
        else:
            self.info.backend_pid = self._backend.pid
            network.send(lambda: answer(None), is_answer=True)
            if self._error is not None:  # the client has left
                self.end()

    def end(self) -> None:
        """Let the server find out that the client is gone."""

        def ended() -> None:
            if self._backend is not None:
                self._network.database.terminate(self._backend)

        self._network.send(ended)

    # -- at the client ------------------------------------------------------------------------------------------------

    def _broke(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        for waits in (self._pending, self._has_mail):
            if waits is not None and not waits.done():
                waits.set_exception(self._failure())
                waits.exception()  # nobody may be there any more

    def _failure(self) -> Exception:
        assert self._error is not None, "it is broken"
        return type(self._error)(*self._error.args)

    def _got(self, channel: str, message: str) -> None:
        self._inbox.append(SimpleNamespace(channel=channel, payload=message))
        if self._has_mail is not None and not self._has_mail.done():
            self._has_mail.set_result(None)

    def hang_up(self) -> None:
        self._broke(psycopg.OperationalError("the connection was shut down"))
        self.end()

    async def _ask(self, do: Callable[[Backend], Awaitable[list[Any]]], name: str = "") -> list[Any]:
        if self._error is not None:
            self.pgconn.transaction_status = TransactionStatus.UNKNOWN
            raise self._failure()
        if self._pending is not None:
            raise psycopg.OperationalError("another command is already in progress")
        pending = self._pending = self._loop.create_future()
        has_arrived = False

        def arrive() -> None:
            nonlocal has_arrived
            has_arrived = True
            if self._error is None:
                self._network.serve(lambda: self._serve(do, name, pending))

        def give_up() -> None:
            if not has_arrived:
                self._broke(psycopg.OperationalError("could not receive data from server: Connection timed out"))

        self._network.send(arrive)
        if not self._network.whole.is_set():
            self._network.later(USER_TIMEOUT, give_up)
        self.pgconn.transaction_status = TransactionStatus.ACTIVE
        try:
            await asyncio.shield(pending)
        except asyncio.CancelledError:
            # As psycopg does: the query is cancelled at the server, and its end is waited for.
            self._network.send(lambda: self._network.database.cancel(self._known))
            await asyncio.wait([pending])
            self._settle(pending)
            raise
        except psycopg.Error:
            self._settle(pending)
            raise
        self._settle(pending)
        return cast("list[Any]", pending.result())

    def _settle(self, pending: asyncio.Future[Any]) -> None:
        self._pending = None
        error = pending.exception()
        is_broken = self._error is not None and error is not None
        inside = TransactionStatus.INTRANS if self._known.is_in_transaction else TransactionStatus.IDLE
        self.pgconn.transaction_status = TransactionStatus.UNKNOWN if is_broken else inside

    @property
    def _known(self) -> Backend:
        assert self._backend is not None, "it is connected"
        return self._backend

    async def _serve(
        self, do: Callable[[Backend], Awaitable[list[Any]]], name: str, pending: asyncio.Future[Any]
    ) -> None:
        backend, database = self._known, self._network.database

        def answer(rows: list[Any], error: Exception | None) -> None:
            if error is not None and not backend.is_open:
                self._broke(error)
            elif pending.done():
                pass
            elif error is not None:
                pending.set_exception(error)
                pending.exception()
            else:
                pending.set_result(rows)

        if not backend.is_open:
            return  # the client is told of the end
        try:
            rows = await database.perform(backend, name, lambda: do(backend))
        except psycopg.Error as error:
            failure = error
            self._network.send(lambda: answer([], failure), is_answer=True)
        else:
            self._network.send(lambda: answer(rows, None), is_answer=True)

    # -- as psycopg has it --------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._error is not None

    async def execute(self, sql: str | bytes, parameters: Sequence[object] = ()) -> Cursor:
        statement, before = statement_of(sql if isinstance(sql, str) else sql.decode(), self._sql)
        database = self._network.database
        do = partial(statement, database)
        return Cursor(
            await self._ask(
                lambda backend: do(backend, *before, *parameters),
                "lock" if statement is begin_event else statement.__name__,
            )
        )

    async def set_isolation_level(self, level: object) -> None:
        """Do nothing: the model is READ COMMITTED."""

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        database = self._network.database

        async def begin(backend: Backend) -> list[Any]:
            backend.begin()
            return []

        await self._ask(begin, "begin")
        try:
            yield
        except BaseException:
            with suppress(psycopg.Error):  # as psycopg does
                await self._ask(database.rollback)
            raise
        await self._ask(database.commit)

    async def rollback(self) -> None:
        await self._ask(self._network.database.rollback)

    async def notifies(self, *, timeout: float) -> AsyncGenerator[SimpleNamespace]:
        until = self._loop.time() + timeout
        while True:
            while self._inbox:
                yield self._inbox.popleft()
            if self._error is not None:
                raise self._failure()
            self._has_mail = self._loop.create_future()
            try:
                async with asyncio.timeout_at(until):
                    await self._has_mail
            except TimeoutError:
                return
            finally:
                self._has_mail = None

    async def close(self) -> None:
        self._broke(psycopg.OperationalError("the connection is closed"))
        self.pgconn.transaction_status = TransactionStatus.UNKNOWN
        self.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: object, *_: object) -> None:
        """End a transaction, as psycopg does for the pool."""
        if self.pgconn.transaction_status is not TransactionStatus.INTRANS:
            return
        if exc_type is None:
            await self._ask(self._network.database.commit)
        else:
            with suppress(psycopg.Error):
                await self.rollback()


class ClientCursor:
    """Stands in for psycopg's cursors: ``AsyncClientCursor`` sends several statements in one query."""

    description = ("something",)

    def __init__(self, connection: Connection, *, row_factory: object = None) -> None:
        del row_factory
        self._connection = connection
        self._result = Cursor([])

    async def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        self._result = await self._connection.execute(sql, parameters)

    def nextset(self) -> None:
        """Go on to the second result: there is only one."""

    async def fetchone(self) -> Any:
        return await self._result.fetchone()

    async def fetchall(self) -> list[Any]:
        return await self._result.fetchall()


class ModelStore(PostgresStore):
    """The real store, on connections to the model."""

    def __init__(self, network: Network) -> None:
        super().__init__("host=model")
        self._network = network
        self._names = {sql: name for name, sql in self._sql.items()}
        setattr(self._pool, "connection_class", self)  # noqa: B010 - the pool calls `connect` of it, and no more

    async def connect(self, conninfo: str, **settings: object) -> Connection:
        """Connect, for the pool."""
        del conninfo, settings
        return await self._network.connect(self._names)

    async def _new_connection(self) -> PostgresTransaction:
        return cast("PostgresTransaction", await self._network.connect(self._names))


def hang_up(connection: object) -> None:
    """Stand in for the function of the same name, which shuts a socket down."""
    assert isinstance(connection, Connection)
    connection.hang_up()
