"""
A worker that follows every open session of a shop to its end, and keeps what it knows in a SQLite database.

    python examples/worker.py shop.db       # takes HPP_USERNAME, HPP_PASSWORD and HPP_ENDPOINT from the environment

The shop inserts a row into ``session`` when it has created one, and into ``callback`` when the provider calls back. The
worker can be stopped and started at any time, with SIGTERM or without.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable

from hpp_async import (
    FINAL,
    AuthenticationError,
    Authorization,
    Completed,
    HPPClient,
    HPPError,
    OutageError,
    PlacedOrder,
    Transition,
    Watch,
    WatchEvent,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS session (id TEXT PRIMARY KEY, token TEXT, ending TEXT);
CREATE TABLE IF NOT EXISTS payment (session_id TEXT PRIMARY KEY, order_id TEXT, authorization_token TEXT);
CREATE TABLE IF NOT EXISTS callback (session_id TEXT);
"""
PAYMENT = "INSERT OR IGNORE INTO payment VALUES (?, ?, ?)"
QUERY_EVERY = 1.0  # seconds between two queries for what the shop has inserted

Sleep = Callable[[float], Awaitable[object]]


def open_database(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")  # the shop writes beside us
    database.executescript(SCHEMA)
    return database


def deal_with(event: WatchEvent, database: sqlite3.Connection) -> None:
    """
    Store what happened and the event's token in one transaction, so that neither is stored without the other.

    An event whose token was not stored comes again after a restart, so everything here can be done twice.
    """
    ending: str | None
    with database:
        match event.news:
            case Transition(status=status):
                ending = None
                print(event.session_id, status, flush=True)
            case Completed(payment=PlacedOrder(order_id=order_id)):
                ending = "paid"
                database.execute(PAYMENT, (event.session_id, order_id, None))
            case Completed(payment=Authorization(token=token)):
                ending = "paid"
                database.execute(PAYMENT, (event.session_id, None, token))
            case HPPError() as error:
                ending = f"needs a person: {type(error).__name__}"
            case outcome:
                ending = "needs a person" if outcome.needs_attention else "not paid"
        database.execute(
            "UPDATE session SET token = ?, ending = ? WHERE id = ?", (event.token, ending, event.session_id)
        )
    if ending is not None:
        print(event.session_id, ending, flush=True)


async def follow(watch: Watch, database: sqlite3.Connection) -> None:
    async for event in watch:
        if isinstance(event.news, AuthenticationError):
            raise event.news  # it is about our credentials: no session has ended
        if isinstance(event.news, OutageError):
            watch.add(event.session_id, since=event.token)  # it may still be paid
            continue
        deal_with(event, database)


async def take_in(client: HPPClient, watch: Watch, database: sqlite3.Connection, sleep: Sleep) -> None:
    """Watch the sessions that the shop has created, and read those at once about which the provider has called."""
    newest = 0
    while True:
        rows = "SELECT rowid, id, token FROM session WHERE ending IS NULL AND rowid > ? ORDER BY rowid"
        for rowid, session_id, token in database.execute(rows, (newest,)).fetchall():
            watch.add(session_id, since=token)
            newest = rowid
        with database:
            for (session_id,) in database.execute("DELETE FROM callback RETURNING session_id").fetchall():
                client.notify(session_id)
        await sleep(QUERY_EVERY)


async def work(client: HPPClient, database: sqlite3.Connection, *, sleep: Sleep = asyncio.sleep) -> None:
    # FAILED and ERROR do not end a session: the consumer may try again.
    async with client.watch(stop_on=FINAL, forever=True) as watch, asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(watch, database))
        tasks.create_task(take_in(client, watch, database, sleep))


def cancel_at_sigterm(task: asyncio.Task[None]) -> None:
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    except NotImplementedError:  # the event loops of Windows have no signal handlers
        signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(task.cancel))


async def main(path: str) -> None:
    working = asyncio.current_task()
    assert working is not None
    cancel_at_sigterm(working)
    with contextlib.closing(open_database(path)) as database:
        async with HPPClient.from_env() as client:
            await work(client, database)


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
