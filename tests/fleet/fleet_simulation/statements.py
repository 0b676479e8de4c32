"""What the fleet's statements do to the model's rows: each function is one statement, by its name in the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from fleet_simulation.database import Backend, Booked, Database, Key, Row
from hpp_async import is_newer
from hpp_async.fleet._event import TELL

Statement = Callable[..., Awaitable[list[Any]]]


def _session(session_id: str) -> Key:
    return "session", session_id


def _ahead(at: float | None, now: float) -> float | None:
    return None if at is None else at - now


def _ago(at: float | None, database: Database) -> float | None:
    return None if at is None else database.now() - at


async def settle_shards(database: Database, backend: Backend, shards: int) -> list[Any]:
    value = await database.write(backend, ("setting", "shards"), lambda old: old or shards)
    return [(value,)]


async def shards(database: Database, backend: Backend) -> list[Any]:
    value = database.read(backend, ("setting", "shards"))
    return [] if value is None else [(value,)]


async def add(database: Database, backend: Backend, session_id: str, bucket: int) -> list[Any]:
    def change(old: Row | None) -> Row | None:
        if old is None:
            return Row(id=session_id, bucket=bucket, added_at=database.now())
        if old.parked_at is None and old.ending != "Discarded":
            return None
        return attrs.evolve(old, parked_at=None, failures=0, error=None, retry_at=None, ended_at=None, ending=None)

    return [(session_id,)] if await database.write(backend, _session(session_id), change) else []


async def discard(database: Database, backend: Backend, session_id: str) -> list[Any]:
    def change(old: Row | None) -> Row | None:
        if old is None or old.ended_at is not None:
            return None
        return attrs.evolve(old, ended_at=database.now(), ending="Discarded", parked_at=None, retry_at=None)

    return [(session_id,)] if await database.write(backend, _session(session_id), change) else []


async def next_epoch(database: Database, backend: Backend, number: int) -> list[Any]:
    new = await database.write(backend, ("shard", number), lambda old: (old or 0) + 1)
    return [(new, database.read(backend, ("handed over", number)))]


async def hand_over(database: Database, backend: Backend, number: int, epoch: int) -> list[Any]:
    await database.lock(backend, ("shard", number))
    if database.read(backend, ("shard", number)) != epoch:
        return []
    await database.write(backend, ("handed over", number), lambda _: epoch)
    return [(number,)]


async def load(database: Database, backend: Backend, shards: int, number: int) -> list[Any]:
    return [
        (row.id, row.token, _ahead(row.retry_at, database.now()))
        for row in database.read_all(backend)
        if row.is_open and row.bucket % shards == number
    ]


async def row(database: Database, backend: Backend, session_id: str) -> list[Any]:
    found: Row | None = database.read(backend, _session(session_id))
    return [] if found is None else [(found.token, found.is_open, _ahead(found.retry_at, database.now()))]


async def limit(database: Database, backend: Backend, milliseconds: str) -> list[Any]:
    del database
    backend.idle_in_transaction_limit = backend.lock_limit = int(milliseconds) / 1000
    return [("",)]


async def idle_limit(database: Database, backend: Backend, milliseconds: str) -> list[Any]:
    del database
    backend.idle_in_transaction_limit = int(milliseconds) / 1000
    return [(milliseconds,)]


async def lock(
    database: Database, backend: Backend, milliseconds: str, number: int, epoch: int, session_id: str
) -> list[Any]:
    if database.read(backend, ("shard", number)) != epoch or database.read(backend, _session(session_id)) is None:
        return []
    await limit(database, backend, milliseconds)
    await database.lock(backend, ("shard", number), is_exclusive=False)
    if database.read(backend, ("shard", number)) != epoch:
        return []
    await database.lock(backend, _session(session_id))
    found: Row = database.read(backend, _session(session_id))
    return [(found.token, found.is_open, found.failures, "")]


async def epoch(database: Database, backend: Backend, number: int) -> list[Any]:
    found = database.read(backend, ("shard", number))
    return [] if found is None else [(found,)]


async def store(
    database: Database,
    backend: Backend,
    token: str | None,
    status: str | None,
    news: str,
    ending: str | None,
    has_ended: bool,
    session_id: str,
) -> list[Any]:
    def change(old: Row) -> Row:
        _check_token(database, backend, old, token)
        return attrs.evolve(
            old,
            token=token or old.token,
            status=status or old.status,
            news=news,
            news_at=database.now(),
            ending=ending or old.ending,
            ended_at=database.now() if has_ended else old.ended_at,
            failures=0,
            error=None,
            retry_at=None,
        )

    await database.write(backend, _session(session_id), change)
    return [("",)]


async def fail(database: Database, backend: Backend, error: str, session_id: str, number: int, epoch: int) -> list[Any]:
    def change(old: Row | None) -> Row | None:
        if old is None or old.ended_at is not None or database.read(backend, ("shard", number)) != epoch:
            return None
        return attrs.evolve(old, failures=old.failures + 1, error=error)

    new = await database.write(backend, _session(session_id), change)
    return [] if new is None else [(new.failures,)]


async def fail_overdue(database: Database, backend: Backend, error: str, session_id: str, token: str) -> list[Any]:
    def change(old: Row | None) -> Row | None:
        if old is None or not old.is_open or (old.token or "") != token:
            return None
        return attrs.evolve(old, failures=old.failures + 1, error=error)

    new = await database.write(backend, _session(session_id), change)
    return [] if new is None else [(new.failures,)]


async def retry(database: Database, backend: Backend, pause: float, session_id: str) -> list[Any]:
    at = database.now() + pause
    await database.write(backend, _session(session_id), lambda old: attrs.evolve(old, retry_at=at))
    return []


async def park(database: Database, backend: Backend, session_id: str) -> list[Any]:
    at = database.now()
    await database.write(backend, _session(session_id), lambda old: attrs.evolve(old, parked_at=at, retry_at=None))
    return []


async def lock_tokens(
    database: Database, backend: Backend, number: int, epoch: int, shards: int, shard: int
) -> list[Any]:
    await database.lock(backend, ("shard", number), is_exclusive=False)
    if database.read(backend, ("shard", number)) != epoch:
        return []
    found = list[tuple[str, str | None]]()
    for candidate in database.read_all(backend):
        if candidate.ended_at is None and candidate.bucket % shards == shard:
            await database.lock(backend, _session(candidate.id))
            latest: Row = database.read(backend, _session(candidate.id))
            if latest.ended_at is None:
                found.append((latest.id, latest.token))
    return found


async def replace_tokens(database: Database, backend: Backend, ids: list[str], tokens: list[str]) -> list[Any]:
    for session_id, token in zip(ids, tokens, strict=True):

        def change(old: Row, token: str = token) -> Row:
            _check_token(database, backend, old, token)
            return attrs.evolve(old, token=token)

        await database.write(backend, _session(session_id), change)
    return []


async def news(database: Database, backend: Backend, session_id: str) -> list[Any]:
    found: Row | None = database.read(backend, _session(session_id))
    if found is None:
        return []
    age = None if found.news_at is None else database.now() - found.news_at
    return [(found.status, found.ending, found.news, age, found.parked_at is not None, found.bucket)]


async def overview(database: Database, backend: Backend) -> list[Any]:
    return [
        (row.id, row.bucket, row.status, _ago(row.parked_at, database), row.failures, row.error, 0.0)
        for row in database.read_all(backend)
        if row.ended_at is None
    ]


def _check_token(database: Database, backend: Backend, old: Row, token: str | None) -> None:
    if token is not None and old.token is not None and is_newer(old.token, token):
        database.complain(f"{backend.owner} stores a token of session {old.id} that is older than the stored one")


NAMED: Final[dict[str, Statement]] = {
    statement.__name__: statement
    for statement in (
        *(
            settle_shards,
            shards,
            add,
            discard,
            next_epoch,
            hand_over,
            load,
            row,
            limit,
            idle_limit,
            lock,
            epoch,
            store,
            fail,
            fail_overdue,
            retry,
            park,
        ),
        *(lock_tokens, replace_tokens, news, overview),
    )
}


# -- those that are not the store's -----------------------------------------------------------------------------------


async def book(database: Database, backend: Backend, booked: Booked) -> list[Any]:
    """Store what the shop books."""
    del database
    backend.booked.append(booked)
    return []


async def _nothing(*_: object) -> list[Any]:
    return [(1,)]


async def _notify(database: Database, backend: Backend, channel: str, message: str) -> list[Any]:
    del database
    backend.messages.append((channel, message))
    return [("",)]


async def _tell(database: Database, backend: Backend, channel: str, session_ids: list[str]) -> list[Any]:
    del database
    backend.messages += [(channel, session_id) for session_id in session_ids]
    return []


async def begin_event(database: Database, backend: Backend, *parameters: Any) -> list[Any]:
    """Do what the fleet sends in one query: begin, and lock."""
    backend.begin()
    return await NAMED["lock"](database, backend, *parameters)


async def end_event(database: Database, backend: Backend, *parameters: Any) -> list[Any]:
    """Do what the fleet sends in one query: store, and commit."""
    await NAMED["store"](database, backend, *parameters)
    return await database.commit(backend)


async def _tell_and_end_event(
    database: Database, backend: Backend, channel: str, news: list[str], *parameters: Any
) -> list[Any]:
    await _tell(database, backend, channel, news)
    return await end_event(database, backend, *parameters)


async def _listen(database: Database, backend: Backend, channel: str) -> list[Any]:
    del database
    backend.channels.add(channel)
    return []


async def _limit_idling(database: Database, backend: Backend, milliseconds: str) -> list[Any]:
    del database
    backend.idle_limit = int(milliseconds) / 1000
    return [(milliseconds,)]


async def _enter(database: Database, backend: Backend, key: int, number: int) -> list[Any]:
    del database, key
    backend.advisory.add(number)
    return [("",)]


async def _leave(database: Database, backend: Backend, key: int, number: int) -> list[Any]:
    del database, key
    backend.advisory.discard(number)
    return [(True,)]


async def _take(database: Database, backend: Backend, key: int, number: int) -> list[Any]:
    del key
    return [(database.take(backend, number),)]


async def _give_back(database: Database, backend: Backend, key: int, number: int, channel: str) -> list[Any]:
    del key
    database.give_back(backend, number)
    backend.messages.append((channel, "workers"))
    return [(True, "")]


async def _survey(database: Database, backend: Backend, *_: object) -> list[Any]:
    return [*database.survey(backend)]


async def _pid(database: Database, backend: Backend) -> list[Any]:
    del database
    return [(backend.pid,)]


BEGINNINGS: Final[dict[str, Statement]] = {
    f"{TELL}; ": _tell_and_end_event,
    TELL: _tell,
    "PREPARE hpp_lock AS ": _nothing,
    "BEGIN; EXECUTE hpp_lock(": begin_event,
    "EXECUTE hpp_store(": end_event,
    "SELECT pg_notify(%s, %s)": _notify,
    "SELECT pg_notify(%s, 'workers')": lambda database, backend, channel: _notify(
        database, backend, channel, "workers"
    ),
    "SELECT set_config('idle_session_timeout'": _limit_idling,
    "SELECT set_config('application_name'": _nothing,
    "SET client_connection_check_interval": _nothing,
    "SELECT pg_advisory_lock_shared(": _enter,
    "SELECT pg_advisory_unlock_shared(": _leave,
    "SELECT pg_try_advisory_lock(": _take,
    "SELECT pg_advisory_unlock(%s, %s), pg_notify(%s, 'workers')": _give_back,
    "SELECT pg_backend_pid(), objid": _survey,
    "SELECT pg_backend_pid()": _pid,
    "SELECT 1": _nothing,
}
"""Statements by their beginning."""


def statement_of(sql: str, names: dict[str, str]) -> tuple[Statement, tuple[object, ...]]:
    """Return what a statement does, and what comes before its parameters."""
    if sql in names:
        return NAMED[names[sql]], ()
    if sql.startswith("LISTEN "):
        return _listen, (sql.removeprefix("LISTEN ").strip('"'),)
    if sql == "INSERT INTO booked":
        return book, ()
    for beginning, statement in BEGINNINGS.items():
        if sql.startswith(beginning):
            return statement, ()
    raise NotImplementedError(f"the model has no statement for: {sql}")
