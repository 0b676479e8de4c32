"""A file in which a provider's sessions survive the end of the simulator: SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from os import PathLike, fspath
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpp_async import ConfigurationError
from hpp_async._provider.state import FORMAT, dump, restore
from hpp_async.simulator._calendar import Calendar
from hpp_async.testing import Provider

SAVE: Final = "hpp_async.simulator.save"
"""What saves, in the scope of a request: for an application that breaks the connection instead of answering."""
_APPLICATION: Final = 0x48505053  # "HPPS": says in the file's header whose file it is
_TIME: Final = "time"


class StateFile:
    """
    What a provider knows, in a file.

    `save` writes what has changed since the last time, in one transaction.
    """

    def __init__(self, provider: Provider, connection: sqlite3.Connection) -> None:
        self._provider = provider
        self._connection = connection
        self._written: dict[str, str] = dict(connection.execute("SELECT key, value FROM state ORDER BY rowid"))
        self._is_marked = False

    def restore(self) -> None:
        """Let the provider know what is in the file, if there is anything in it."""
        if not self._written:
            return
        restore(self._provider, self._written)
        time = self._written.get(_TIME)
        if time is not None and isinstance(self._provider.now, Calendar):
            self._provider.now.go_on(time)

    def mark(self) -> None:
        """Note that something has changed, from any thread."""
        self._is_marked = True

    def save_if_marked(self) -> None:
        """Save, if something has changed since the last time."""
        if self._is_marked:
            self.save()

    def save(self) -> None:
        """Write everything that differs from what is in the file."""
        self._is_marked = False
        found = dump(self._provider)
        if isinstance(self._provider.now, Calendar):
            found[_TIME] = self._provider.now.record()
        changed = [(key, value) for key, value in found.items() if self._written.get(key) != value]
        gone = [(key,) for key in self._written if key not in found]
        if changed or gone:
            with self._connection:
                self._connection.executemany("DELETE FROM state WHERE key = ?", gone)
                self._connection.executemany(
                    "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", changed
                )
            self._written = found

    def saving(self, app: ASGIApp) -> ASGIApp:
        """Return *app* so that what a request has changed is in the file before the answer is sent."""

        async def saved(scope: Scope, receive: Receive, send: Send) -> None:
            def save() -> None:
                if scope["method"] not in ("GET", "HEAD"):
                    self.mark()
                self.save_if_marked()

            async def send_later(message: Message) -> None:
                if message["type"] == "http.response.start":
                    save()
                await send(message)

            await app({**scope, SAVE: save}, receive, send_later)

        return saved


@contextmanager
def state_file(provider: Provider, path: str | PathLike[str]) -> Generator[StateFile]:
    """
    Open the file at *path*, or make it; let *provider* know what is in it, and save what it knows at the end.

    Raises:
        ConfigurationError: the file cannot be used: it is another program's, or another simulator uses it.
    """
    connection = _connected(path)
    try:
        file = StateFile(provider, connection)
        try:
            file.restore()
        except ConfigurationError as refusal:
            raise ConfigurationError(f"state={fspath(path)!r}: {refusal}; move the file away to begin anew") from None
        provider.listeners.append(file.mark)
        try:
            yield file
        finally:
            provider.listeners.remove(file.mark)
            file.save()
    finally:
        connection.close()


def _connected(path: str | PathLike[str]) -> sqlite3.Connection:
    try:
        # Opened here, and used in the server's thread after that.
        connection = sqlite3.connect(path, timeout=1, check_same_thread=False)
        with ExitStack() as unless_it_works:
            unless_it_works.callback(connection.close)
            _prepare(connection, path)
            unless_it_works.pop_all()
    except sqlite3.Error as error:
        raise ConfigurationError(
            f"state={fspath(path)!r}: {error}: give a new file, or that of a simulator that has ended"
        ) from error
    return connection


def _prepare(connection: sqlite3.Connection, path: str | PathLike[str]) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    [owner] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (owner, version) != (_APPLICATION, FORMAT) and (owner, version, tables) != (0, 0, 0):
        raise ConfigurationError(f"state={fspath(path)!r}: not a file of this version of the simulator")
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.commit()
