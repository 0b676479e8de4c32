"""
What a shop keeps of each session that a task queue follows: a queue forgets and repeats tasks, and a database does not.

The stored token is the fence. A task takes its step from the token that it was given. It stores what came of it, and is
followed by another task, only if that token is still the stored one, or the step knows more than the stored one. Else
another task has gone on meanwhile, and this one ends without a trace.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator, Iterable

from plain_steps import Step

from hpp_async import AnyOutcome, Authorization, Completed, PlacedOrder, Transition, is_newer

SCHEMA = """
CREATE TABLE IF NOT EXISTS session (id TEXT PRIMARY KEY, token TEXT, due_at REAL NOT NULL, ending TEXT);
CREATE TABLE IF NOT EXISTS payment (session_id TEXT PRIMARY KEY, order_id TEXT, authorization_token TEXT);
CREATE TABLE IF NOT EXISTS news (session_id TEXT, status TEXT);
"""
PATIENCE = 60.0  # seconds after which a task that should have come is taken for lost


@contextlib.contextmanager
def open_store(path: str) -> Generator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.executescript(SCHEMA)
        yield store


@contextlib.contextmanager
def transaction(store: sqlite3.Connection) -> Generator[None]:
    store.execute("BEGIN IMMEDIATE")
    with store:
        yield


def add(store: sqlite3.Connection, session_id: str, *, now: float) -> None:
    with transaction(store):
        store.execute("INSERT INTO session (id, due_at) VALUES (?, ?)", (session_id, now))


def is_current(store: sqlite3.Connection, session_id: str, since: str | None) -> bool:
    """Tell whether the session is still open, and *since* is its stored token."""
    row = store.execute("SELECT token FROM session WHERE id = ? AND ending IS NULL", (session_id,)).fetchone()
    return row is not None and row[0] == since


def stored_token(store: sqlite3.Connection, session_id: str) -> str | None:
    row = store.execute("SELECT token FROM session WHERE id = ?", (session_id,)).fetchone()
    return None if row is None else row[0]


def keep(
    store: sqlite3.Connection,
    session_id: str,
    since: str | None,
    step: Step,
    news: Iterable[Transition | AnyOutcome],
    *,
    now: float,
) -> bool:
    """Store a step that began from *since*, and its news, in one transaction; tell whether the chain goes on."""
    token = step["token"]
    with transaction(store):
        if not is_current(store, session_id, since):
            stored = stored_token(store, session_id)
            # Tokens that differ only in when the next read is due are equally new: so two chains do not live on.
            if stored is None or token is None or not is_newer(token, than=stored):
                return False
        for item in news:
            deal_with(store, item)
        store.execute(
            "UPDATE session SET token = ?, due_at = ?, ending = ? WHERE id = ?",
            (token, now + step["resume_in"], step["ending"], session_id),
        )
    return step["ending"] is None


def deal_with(store: sqlite3.Connection, news: Transition | AnyOutcome) -> None:
    session = news.session
    match news:
        case Completed(payment=PlacedOrder(order_id=order_id)):
            store.execute("INSERT INTO payment VALUES (?, ?, NULL)", (session.session_id, order_id))
        case Completed(payment=Authorization(token=token)):
            store.execute("INSERT INTO payment VALUES (?, NULL, ?)", (session.session_id, token))
        case _:
            store.execute("INSERT INTO news VALUES (?, ?)", (session.session_id, str(session.status)))


def overdue(store: sqlite3.Connection, *, now: float) -> list[tuple[str, str | None]]:
    """Return the sessions, and their tokens, whose next task should have come a while ago."""
    rows = store.execute("SELECT id, token FROM session WHERE ending IS NULL AND due_at < ?", (now - PATIENCE,))
    return rows.fetchall()
