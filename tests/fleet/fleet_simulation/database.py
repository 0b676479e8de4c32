"""
A model of PostgreSQL, in memory: what of it matters to a fleet.

Transactions are read committed, with locks on rows; advisory locks belong to a session of the server; a session ends
when it is idle for too long, when its client hangs up or somebody terminates it, and then its transaction is rolled
back and its locks are free. NOTIFY reaches the sessions that listen when the transaction commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import attrs
import psycopg
from psycopg import errors

Key = tuple[str, str | int]
"""A row: its table, and its primary key."""
WORKERS: Final = 2**31 - 1
_BROKEN: Final = "server closed the connection unexpectedly"


@attrs.frozen(kw_only=True)
class Row:
    """A row of the table of sessions."""

    id: str
    bucket: int
    added_at: float
    token: str | None = None
    status: str | None = None
    news: str | None = None
    news_at: float | None = None
    failures: int = 0
    error: str | None = None
    retry_at: float | None = None
    parked_at: float | None = None
    ending: str | None = None
    ended_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self.ended_at is None and self.parked_at is None


@attrs.frozen(kw_only=True)
class Booked:
    """A row of the shop's own table: an event that was dealt with, and by whom."""

    at: float
    session_id: str
    worker: str
    news: str
    sequence: int | None
    """That of a transition; ``None`` for an end."""
    token: str | None

    @property
    def is_end(self) -> bool:
        return self.sequence is None


@attrs.define(eq=False)
class Backend:
    """A session of the server."""

    pid: int
    owner: str
    closed: Callable[[Exception], object]
    """Called with the error that the client gets."""
    arrived: Callable[[str, str], object]
    """Called with each notification, as its channel and its message."""
    is_open: bool = True
    advisory: set[int] = attrs.field(factory=set)
    channels: set[str] = attrs.field(factory=set)
    idle_limit: float | None = None
    # -- the transaction
    is_in_transaction: bool = False
    has_failed: bool = False
    idle_in_transaction_limit: float | None = None
    lock_limit: float | None = None
    rows: dict[Key, Any] = attrs.field(factory=dict)
    booked: list[Booked] = attrs.field(factory=list)
    messages: list[tuple[str, str]] = attrs.field(factory=list)
    locks: dict[Key, bool] = attrs.field(factory=dict)
    """The rows that it has locked; whether exclusively."""
    # -- the statement
    waits: asyncio.Future[None] | None = None
    idle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self.is_in_transaction = True


class Database:
    """The server."""

    def __init__(self, chance: Random, loop: asyncio.AbstractEventLoop, complain: Callable[[str], object]) -> None:
        self.outages = 0
        self.rows: dict[Key, Any] = {}
        self.booked: list[Booked] = []
        self.owned: list[tuple[float, int, str, bool]] = []
        """When a shard was taken (or given up) by which process."""
        self.flaky = 0.0
        self.committed: list[tuple[float, Row | None, Row]] = []
        self.complain = complain
        self._loop = loop
        self._chance = chance
        self._backends: dict[int, Backend] = {}
        self._pids = 1000
        self._waiting: list[asyncio.Future[None]] = []
        self._watched: list[tuple[str, str, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._loop.time()

    # -- sessions -----------------------------------------------------------------------------------------------------

    def connect(
        self, owner: str, closed: Callable[[Exception], object], arrived: Callable[[str, str], object]
    ) -> Backend:
        if self.outages:
            raise psycopg.OperationalError("connection refused")
        self._pids += 1
        backend = self._backends[self._pids] = Backend(self._pids, owner, closed, arrived)
        return backend

    @property
    def backends(self) -> list[Backend]:
        return list(self._backends.values())

    def terminate(self, backend: Backend, error: Exception | None = None) -> None:
        """End a session. What it did and did not commit is undone, and its locks are free."""
        if not backend.is_open:
            return
        backend.is_open = False
        del self._backends[backend.pid]
        self._stop_idling(backend)
        self._end_transaction(backend)
        for number in sorted(backend.advisory):
            self._note(number, backend, is_taken=False)
        backend.advisory.clear()
        if backend.waits is not None and not backend.waits.done():
            backend.waits.cancel()
        if error is not None:
            backend.closed(error)

    def restart(self) -> None:
        for backend in self.backends:
            self.terminate(backend, errors.AdminShutdown("terminating connection due to administrator command"))

    # -- statements ---------------------------------------------------------------------------------------------------

    async def perform(self, backend: Backend, name: str, do: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
        """Run one statement of a session."""
        self._stop_idling(backend)
        if self._chance.random() < self.flaky:
            self.terminate(backend)
            raise psycopg.OperationalError(_BROKEN)
        try:
            if backend.has_failed:
                raise errors.InFailedSqlTransaction("current transaction is aborted")
            rows = await do()
        except psycopg.Error:
            if backend.is_in_transaction:
                backend.has_failed = True
            else:
                self._end_transaction(backend)
            raise
        else:
            if not backend.is_open:
                raise psycopg.OperationalError(_BROKEN)
            if not backend.is_in_transaction:
                self._commit(backend)
            return rows
        finally:
            if backend.is_open:
                self._begin_idling(backend)
                self._tell_watchers(backend, name)

    async def commit(self, backend: Backend) -> list[Any]:
        if backend.has_failed:
            return await self.rollback(backend)
        is_lost = self._chance.random() < self.flaky
        self._commit(backend)
        if is_lost:
            self.terminate(backend)
            raise psycopg.OperationalError(_BROKEN)
        return []

    async def rollback(self, backend: Backend) -> list[Any]:
        self._end_transaction(backend)
        return []

    async def is_inside(self, owner: str, name: str) -> None:
        """Return once a process has performed this statement in a transaction that goes on."""
        reached = self._loop.create_future()
        self._watched.append((owner, name, reached))
        await reached

    def _tell_watchers(self, backend: Backend, name: str) -> None:
        for owner, awaited, reached in self._watched:
            if (owner, awaited) == (backend.owner, name) and backend.is_in_transaction and not reached.done():
                reached.set_result(None)

    def cancel(self, backend: Backend) -> None:
        """Cancel a statement that waits for a lock."""
        if backend.waits is not None and not backend.waits.done():
            backend.waits.set_exception(errors.QueryCanceled("canceling statement due to user request"))

    def _begin_idling(self, backend: Backend) -> None:
        limit = backend.idle_in_transaction_limit if backend.is_in_transaction else backend.idle_limit
        if limit is not None:
            kind = errors.IdleInTransactionSessionTimeout if backend.is_in_transaction else errors.IdleSessionTimeout
            backend.idle = self._loop.call_later(limit, self.terminate, backend, kind("idle for too long"))

    def _stop_idling(self, backend: Backend) -> None:
        if backend.idle is not None:
            backend.idle.cancel()
            backend.idle = None

    def _commit(self, backend: Backend) -> None:
        for key, new in backend.rows.items():
            if isinstance(new, Row):
                self.committed.append((self.now(), self.rows.get(key), new))
        self.rows.update(backend.rows)
        self.booked += backend.booked
        messages = dict.fromkeys(backend.messages)
        self._end_transaction(backend)
        for channel, message in messages:
            for listener in self.backends:
                if channel in listener.channels:
                    listener.arrived(channel, message)

    def _end_transaction(self, backend: Backend) -> None:
        backend.is_in_transaction = backend.has_failed = False
        backend.idle_in_transaction_limit = backend.lock_limit = None
        backend.rows, backend.booked, backend.messages, backend.locks = {}, [], [], {}
        waiting, self._waiting = self._waiting, []
        for waits in waiting:
            if not waits.done():
                waits.set_result(None)

    # -- rows ---------------------------------------------------------------------------------------------------------

    def read(self, backend: Backend, key: Key) -> Any:
        return backend.rows[key] if key in backend.rows else self.rows.get(key)

    def read_all(self, backend: Backend) -> list[Row]:
        rows = {**self.rows, **backend.rows}
        return sorted((row for row in rows.values() if isinstance(row, Row)), key=lambda row: (row.added_at, row.id))

    async def lock(self, backend: Backend, key: Key, *, is_exclusive: bool = True) -> None:
        """Lock a row until the end of the transaction; wait for others that have."""
        limit = None if backend.lock_limit is None else self.now() + backend.lock_limit
        while any(
            key in other.locks and (is_exclusive or other.locks[key])
            for other in self._backends.values()
            if other is not backend
        ):
            waits = backend.waits = self._loop.create_future()
            self._waiting.append(waits)
            timer = None if limit is None else self._loop.call_at(limit, _time_out, waits)
            try:
                await waits
            except asyncio.CancelledError:  # by `terminate`
                raise psycopg.OperationalError(_BROKEN) from None
            finally:
                backend.waits = None
                if timer is not None:
                    timer.cancel()
        backend.locks[key] = is_exclusive or backend.locks.get(key, False)

    async def write(self, backend: Backend, key: Key, change: Callable[[Any], Any]) -> Any:
        """Change a row under its lock; *change* gets the latest version, and returns ``None`` to leave it."""
        await self.lock(backend, key)
        new = change(self.read(backend, key))
        if new is not None:
            backend.rows[key] = new
        return new

    # -- advisory locks -----------------------------------------------------------------------------------------------

    def take(self, backend: Backend, number: int) -> bool:
        if any(number in other.advisory for other in self.backends if other is not backend):
            return False
        if number not in backend.advisory:
            backend.advisory.add(number)
            self._note(number, backend, is_taken=True)
        return True

    def give_back(self, backend: Backend, number: int) -> None:
        if number not in backend.advisory:
            self.complain(f"{backend.owner} gives back shard {number}, which it does not own")
            return
        backend.advisory.discard(number)
        self._note(number, backend, is_taken=False)

    def survey(self, backend: Backend) -> list[tuple[int, int | None, int | None]]:
        locks = [(other.pid, number) for other in self.backends for number in sorted(other.advisory)]
        return [*((backend.pid, number, pid) for pid, number in locks), (backend.pid, None, None)]

    def _note(self, number: int, backend: Backend, *, is_taken: bool) -> None:
        if number != WORKERS:
            self.owned.append((self.now(), number, backend.owner, is_taken))


def _time_out(waits: asyncio.Future[None]) -> None:
    if not waits.done():
        waits.set_exception(errors.LockNotAvailable("canceling statement due to lock timeout"))
