"""The transaction of an event in PostgreSQL, and news that several events share a transaction for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import Any

import psycopg
import pytest
from postgres import Cluster, own_store
from shops import Shop, eventually, shop

import hpp_async.fleet
from hpp_async import WatchEvent
from hpp_async.fleet import PostgresStore
from hpp_async.fleet._channels import Channels, news_of
from hpp_async.fleet._division import shard_of
from hpp_async.fleet._outbox import PACE, Outbox
from hpp_async.testing import Script, ScriptedProvider, opens, pays

pytestmark = pytest.mark.anyio

PAID = Script(opens(after=5), pays(after=20))


@pytest.fixture
async def here(provider: ScriptedProvider, database: Cluster) -> AsyncGenerator[Shop]:
    def pause(failures: int, draw: float) -> float | None:
        del draw
        return None if failures >= 10 else 0.0

    async with shop(provider, own_store(database)(), shards=2, pause=pause) as here:
        yield here


async def paid(here: Shop) -> str:
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    return session


def schema_of(here: Shop) -> str:
    assert isinstance(here.store, PostgresStore)
    return here.store._quoted


@pytest.mark.parametrize("method", ["commit", "rollback"])
async def test_deal_with_cannot_end_the_transaction(here: Shop, method: str) -> None:
    refusals = list[str]()

    async def deal_with(_: WatchEvent, tx: Any) -> None:
        with pytest.raises(psycopg.ProgrammingError) as caught:
            await getattr(tx, method)()
        refusals.append(str(caught.value))

    session = await paid(here)
    working = asyncio.create_task(here.fleet.work(deal_with))
    await here.fleet.wait_for_outcome(session)
    working.cancel()
    await asyncio.wait([working])

    assert set(refusals) == {f"{method} is refused in deal_with: the fleet ends the transaction after it"}


async def test_an_event_that_breaks_its_connection_again_and_again_is_parked(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpp_async.fleet._failing._SOON", 1)
    here.fleet._pause = lambda failures, _: None if failures >= 3 else 0.0
    tries = list[str]()

    async def deal_with(event: WatchEvent, tx: psycopg.AsyncConnection[Any]) -> None:
        if event.session_id == bad:
            tries.append(event.session_id)
            await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await here.deal_with(event, tx)

    bad, good = await paid(here), await paid(here)
    working = asyncio.create_task(here.fleet.work(deal_with))
    await here.fleet.wait_for_outcome(good)
    await eventually(lambda: here.fleet.sessions(only_parked=True))
    working.cancel()
    await asyncio.wait([working])
    [parked] = await here.fleet.sessions()

    assert (parked.session_id, parked.failures, parked.error) == (bad, 3, "DealCutError")
    assert len(tries) == 5 + 2  # and not once more after the third failure


async def test_the_place_of_what_the_fleet_refuses_is_in_deal_with(here: Shop) -> None:
    async def deal_with(_: WatchEvent, tx: Any) -> None:
        await tx.commit()

    await paid(here)
    working = asyncio.create_task(here.fleet.work(deal_with))
    await eventually(lambda: here.fleet.sessions(only_parked=True))
    working.cancel()
    await asyncio.wait([working])
    [parked] = await here.fleet.sessions()

    assert parked.raised_at == f"fleet/test_events.py:{deal_with.__code__.co_firstlineno + 1}"


async def test_deal_with_can_roll_a_part_back(here: Shop) -> None:
    async def deal_with(event: WatchEvent, tx: psycopg.AsyncConnection[Any]) -> None:
        with pytest.raises(psycopg.errors.UndefinedTable):
            async with tx.transaction():
                await tx.execute("INSERT INTO nowhere VALUES (1)")
        async with tx.transaction():
            await here.deal_with(event, tx)

    session = await paid(here)
    working = asyncio.create_task(here.fleet.work(deal_with))
    await here.fleet.wait_for_outcome(session)
    working.cancel()
    await asyncio.wait([working])

    assert await here.booked() == [session]
    assert here.statuses(session).count("Completed") == 1


async def test_an_error_that_deal_with_swallows_fails_the_event(here: Shop) -> None:
    tries = 0

    async def deal_with(event: WatchEvent, tx: psycopg.AsyncConnection[Any]) -> None:
        nonlocal tries
        tries += 1
        await here.deal_with(event, tx)
        if tries == 1:
            with pytest.raises(psycopg.errors.UndefinedTable):
                await tx.execute("INSERT INTO nowhere VALUES (1)")

    session = await paid(here)
    working = asyncio.create_task(here.fleet.work(deal_with))
    await here.fleet.wait_for_outcome(session)
    working.cancel()
    await asyncio.wait([working])

    assert tries > 2
    assert await here.booked() == [session]


async def test_statements_that_were_deallocated_are_prepared_again(here: Shop) -> None:
    async with here.working():
        for _ in range(3):
            await here.fleet.wait_for_outcome(await paid(here))
            async with here.store.transaction() as tx:
                await tx.execute("DEALLOCATE ALL")

    assert len(await here.booked()) == 3
    assert all(item.failures == 0 for item in await here.fleet.sessions())


async def test_connections_that_died_in_the_pool_fail_no_event(here: Shop, database: Cluster) -> None:
    async with here.store.event() as under_way:
        await under_way.lock("1000", 0, 1, "abc")
    async with PostgresStore(database.conninfo) as other, other.transaction() as tx:
        await tx.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    async with here.store.event() as under_way:
        assert await under_way.lock("1000", 0, 1, "abc") == []


async def test_an_event_that_waits_for_a_lock_for_too_long_fails(here: Shop) -> None:
    session = await paid(here)
    async with here.store.transaction() as tx:
        await here.store.run(tx, "next_epoch", 0)
    async with here.store.transaction() as tx:
        await tx.execute(f"SELECT 1 FROM {schema_of(here)}.session FOR UPDATE".encode())
        async with here.store.event() as under_way:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await under_way.lock("1", 0, 1, session)


async def test_a_database_without_the_tables_fails_events_and_no_connection_stays_half_prepared(here: Shop) -> None:
    event = here.store.event()
    async with here.store.transaction() as tx:
        await tx.execute(f"ALTER TABLE {schema_of(here)}.shard RENAME TO gone".encode())
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with event as under_way:
            await under_way.lock("1000", 0, 1, "abc")
    async with here.store.transaction() as tx:
        await tx.execute(f"ALTER TABLE {schema_of(here)}.gone RENAME TO shard".encode())
    async with here.store.event() as under_way:
        rows = await under_way.lock("1000", 0, 1, "abc")

    assert rows == []


async def test_one_shard_after_another_is_loaded(here: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    run, at_once, most = here.store.run, 0, 0

    async def counting(tx: Any, name: str, *parameters: object) -> Any:
        nonlocal at_once, most
        at_once += name in {"load", "lock_tokens"}
        most = max(most, at_once)
        try:
            return await run(tx, name, *parameters)
        finally:
            at_once -= name in {"load", "lock_tokens"}

    monkeypatch.setattr(here.store, "run", counting)
    sessions = [await paid(here) for _ in range(4)]
    async with here.working():
        for session in sessions:
            await here.fleet.wait_for_outcome(session)

    assert most == 1


# -- the outbox -----------------------------------------------------------------------------------------------------


class Post:
    """What was sent, in order."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.is_sent = asyncio.Event()

    async def send(self, session_ids: Collection[str]) -> None:
        self.sent.append(sorted(session_ids))
        self.is_sent.set()


async def test_news_goes_with_its_own_event_or_with_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now, post = 100.0, Post()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    outbox = Outbox(post.send)
    first, second = outbox.take("first"), outbox.take("second")
    outbox.leave(["second"])
    now += PACE
    third = outbox.take("third")
    await outbox.aclose()

    assert (first, second, third, post.sent) == (["first"], [], ["third", "second"], [])


async def test_what_no_event_takes_along_is_sent_by_itself() -> None:
    post = Post()
    outbox = Outbox(post.send)
    outbox.leave([])
    outbox.leave(["first"])
    outbox.leave(["second"])
    async with asyncio.timeout(60):
        await post.is_sent.wait()
    outbox.leave(["third"])
    await outbox.aclose()

    assert post.sent == [["first", "second"], ["third"]]


async def test_news_of_an_event_that_fails_is_not_sent_and_that_of_others_is_kept(here: Shop) -> None:
    assert isinstance(here.store, hpp_async.fleet.PostgresStore)
    outbox = here.store._outbox
    outbox.leave(["other"])
    async with here.store.event() as under_way:
        await under_way.lock("1000", 0, 1, "abc")
        with pytest.raises(psycopg.Error):
            await under_way.store("abc", "token", "COMPLETED", "{}", None, "no boolean")

    assert outbox.take("next") in (["next", "other"], [])
    assert "abc" not in outbox._left


async def test_waits_that_cannot_be_told_look_for_themselves(here: Shop, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(here.store, hpp_async.fleet.PostgresStore)
    async with here.store.transaction() as tx:
        here.store.hang_up(tx)
        here.store._outbox.leave(["a" * 9000])  # longer than a message may be
        await here.store._outbox.flush()
        with pytest.raises(psycopg.OperationalError):
            await tx.execute("SELECT 1")

    assert "the waits were not told of news" in caplog.text


def test_a_new_owner_of_a_shard_lets_its_waits_look() -> None:
    channels, woken = Channels(), list[str]()
    sessions = [f"session-{number}" for number in range(20)]
    for session in sessions:
        channels.subscribe(session, lambda session=session: woken.append(session))  # type: ignore[misc]  # mypy infers no lambda with a default
    channels.tell_waits(news_of(1, 4))

    assert sorted(woken) == sorted(session for session in sessions if shard_of(session, 4) == 1)
