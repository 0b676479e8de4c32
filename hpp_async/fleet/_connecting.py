"""The connections of one `PostgresStore`: which there are, and why the last attempt to make one failed."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Final, Self
from weakref import WeakSet

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from hpp_async.fleet._event import PoolConnection
from hpp_async.fleet._store import Row
from hpp_async.fleet._tasks import end

_HIDDEN: Final = "***"

_INTERVAL: Final = 1.0
"""
Seconds after which a connection that waits wakes to look for an interrupt; psycopg's own value is 0.1.

On the connection that listens, ten looks a second took more processor time than all pings of a worker. On asyncio
nothing depends on them: Ctrl-C is the event loop's.
"""

_INHERITED: Final = list[psycopg.AsyncConnection[Row]]()
"""Connections of the parent process, after a fork: kept so that nobody closes them."""


class Pool(AsyncConnectionPool[PoolConnection]):
    """
    A pool whose workers end when they are cancelled, as at the end of ``asyncio.run``.

    psycopg's own take a cancellation that comes while they connect for a connection that failed, and wait for the next
    task: then ``asyncio.run`` never returns.
    """

    @classmethod
    async def worker(cls, q: Any) -> None:
        """Do the tasks in the queue *q*, until one of them says to stop."""
        work = asyncio.create_task(super().worker(q))
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            await end([work])
            raise


async def let_the_server_notice(connection: psycopg.AsyncConnection[Row]) -> None:
    """
    Let the server check during a statement whether this process is still there.

    Without that, a long statement goes on when its worker was killed. It keeps its rows locked, and so the next owner
    from the shard. A server whose operating system cannot tell refuses the setting.
    """
    with suppress(psycopg.DatabaseError):
        await connection.execute("SET client_connection_check_interval = 500")


class Connecting:
    """
    Makes the connections of a store, and remembers them.

    Attributes:
        refusal: why the last attempt failed, without the password; ``None`` if it succeeded.
        connection_class: for a pool.
    """

    def __init__(self, conninfo: str, settings: Mapping[str, Any]) -> None:
        self._conninfo = conninfo
        self._settings = settings
        self._made: WeakSet[psycopg.AsyncConnection[Row]] = WeakSet()
        self.refusal: str | None = None
        self.connection_class: type[PoolConnection] = self._reporting()

    def _reporting(self) -> type[PoolConnection]:
        connecting = self

        class Reported(PoolConnection):
            @classmethod
            async def connect(cls, conninfo: str = "", **settings: Any) -> Self:
                try:
                    connection = await super().connect(conninfo, **settings)
                except psycopg.Error as error:
                    connecting.refusal = connecting.said(error)
                    del conninfo, settings  # an error reporter shows the locals of frames that raise
                    raise error.with_traceback(None) from None
                connecting.refusal = None
                connecting._made.add(connection)
                return connection

            async def wait(self, gen: PQGen[RV], interval: float = _INTERVAL, *args: Any, **options: Any) -> RV:
                return await super().wait(gen, max(interval, _INTERVAL), *args, **options)

        return Reported

    async def connect(self) -> psycopg.AsyncConnection[Row]:
        """Return a connection of the caller's own."""
        return await self.connection_class.connect(self._conninfo, **self._settings)

    def drop(self, *, is_forked: bool) -> None:
        """
        Close all connections, without awaiting: their event loop is gone.

        After a fork they are kept as they are: to close them would end the sessions of the parent process.
        """
        made, self._made = self._made, WeakSet()
        if is_forked:
            _INHERITED.extend(made)
            return
        for connection in made:
            connection.pgconn.finish()

    def said(self, error: Exception) -> str:
        """Return the message of *error* in one line, without the password."""
        password = conninfo_to_dict(self._conninfo).get("password") or os.environ.get("PGPASSWORD")
        text = " ".join(str(error).split())
        return text.replace(str(password), _HIDDEN) if password else text

    @property
    def where(self) -> str:
        """The host and the port, as far as they are given."""
        given = conninfo_to_dict(self._conninfo)
        host = given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST") or "this machine"
        return f"{host}:{given.get('port') or os.environ.get('PGPORT') or 5432}"


def settings_in(conninfo: str) -> Collection[str] | None:
    """Return the names of libpq's settings; ``None`` if it refuses them, or reads a part of the password as another."""
    text: object = conninfo
    if not isinstance(text, str):  # such as None, from the environment
        return None
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.Error:
        return None
    names, ports = f"{given.get('host')}{given.get('dbname')}", str(given.get("port") or "")
    # Such a host would be in the messages of every attempt to connect.
    return None if "@" in names or not re.fullmatch(r"[\d,]*", ports, re.ASCII) else given.keys()
