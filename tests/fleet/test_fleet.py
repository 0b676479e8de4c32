"""A fleet on either store: what is dealt with once, what comes again, and what another process hears of it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from shops import Shop, eventually, is_let_go, shop, until

import hpp_async.fleet
from hpp_async import (
    AuthenticationError,
    Completed,
    ConfigurationError,
    ReadBudget,
    SessionStatus,
    WatchEvent,
    is_newer,
)
from hpp_async.fleet import Fleet, SQLiteStore, Store, _sqlite
from hpp_async.fleet._division import shard_of
from hpp_async.fleet._shard import ShardWork
from hpp_async.fleet._sqlite import _Alone
from hpp_async.testing import Answered, Script, ScriptedProvider, VirtualClock, declines, opens, pays, retries

pytestmark = pytest.mark.anyio

PAID = Script(opens(after=5), pays(after=20))


@pytest.fixture
async def here(provider: ScriptedProvider, store: Store[Any]) -> AsyncGenerator[Shop]:
    async with shop(provider, store, shards=4, pause=at_once) as here:
        yield here


def at_once(failures: int, draw: float) -> float | None:
    del draw
    return None if failures >= 10 else 0.0


# -- once -----------------------------------------------------------------------------------------------------------


async def test_every_payment_is_booked_once_and_heard_of_where_it_is_waited_for(here: Shop) -> None:
    sessions = [here.client.session_id(here.provider.add(PAID)) for _ in range(20)]
    async with here.store.transaction() as tx:
        for session in sessions[:10]:
            await here.fleet.add(session, tx=tx)
    async with here.working():
        for session in sessions[10:]:
            await here.fleet.add(session)
        news = [await here.fleet.wait_for_outcome(session) for session in sessions]

    assert await here.booked() == sorted(sessions)
    assert {(item.status, item.ending, item.is_last) for item in news} == {(SessionStatus.COMPLETED, "Completed", True)}
    assert all(item.age is not None and item.is_followed and not item.is_parked for item in news)
    assert await here.fleet.sessions() == []
    assert here.statuses(sessions[0])[-2:] == ["COMPLETED", "Completed"]


async def test_a_session_is_added_only_if_the_transaction_commits(here: Shop) -> None:
    session = here.provider.add(PAID)

    async def fail() -> None:
        async with here.store.transaction() as tx:
            await here.fleet.add(session, tx=tx)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await here.fleet.sessions() == []
    with pytest.raises(ConfigurationError, match="is not in the fleet's store"):
        await here.fleet.wait_for_outcome(session)


async def test_what_ended_is_not_taken_up_again(here: Shop) -> None:
    session = here.provider.add(PAID)
    await here.fleet.add(session)
    async with here.working():
        await here.fleet.wait_for_outcome(session)
        reads = len(here.provider.requests)
        await here.fleet.add(session)
        await here.fleet.notify(session)

    assert len(await here.booked()) == 1
    assert len(here.provider.requests) == reads
    assert (await here.fleet.wait_for_outcome(session)).ending == "Completed"


async def test_a_second_worker_goes_on_where_the_first_one_was(here: Shop) -> None:
    session = here.client.session_id(here.provider.add())
    await here.fleet.add(session)
    async with here.working():
        await until(lambda: here.statuses(session) == ["WAITING"])
        async with here.store.transaction() as tx:
            old = f"hpp1:0:-:-:{session}:WAITING"
            await here.store.run(tx, "store", old, None, "{}", None, False, session)
    async with here.store.transaction() as tx:
        [(token, *_)] = await here.store.run(tx, "row", session)
    assert token != old  # another one was stored when the shards were handed over
    assert not is_newer(here.events[-1].token or old, token)
    here.provider.model.change(session, "COMPLETED")
    async with here.working():
        await here.fleet.wait_for_outcome(session)

    assert here.statuses(session) == ["WAITING", "COMPLETED", "Completed"]
    assert await here.booked() == [session]


async def test_an_event_that_is_stored_already_is_not_dealt_with_again(here: Shop) -> None:
    # As if another worker, which believes to own the shard, too, had been faster.
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    tokens: list[str | None] = []

    async def store_it_all(event: WatchEvent) -> None:
        tokens.append(event.token)

    here.trouble = store_it_all
    async with here.working():
        await here.fleet.wait_for_outcome(session)
    here.events.clear()
    async with here.store.transaction() as tx:
        [(shards,)] = await here.store.run(tx, "shards")
        await here.store.run(tx, "discard", session)
        await tx.execute(f"UPDATE {table(here)} SET ended_at = NULL, ending = NULL")
    async with here.working():
        await here.fleet.wait_for_outcome(session)

    assert shards == 4
    assert here.statuses(session) == ["Completed"]  # no transition that the stored token knows comes again


async def test_two_workers_that_both_believe_to_own_everything_book_once(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def believe(shards: int, *_: object) -> AsyncGenerator[_Alone]:
        yield _Alone(shards)

    monkeypatch.setattr(here.store, "own", believe)
    second = Fleet(here.client, here.store, shards=4)
    sessions = [here.client.session_id(here.provider.add(PAID)) for _ in range(10)]
    for session in sessions:
        await here.fleet.add(session)
    async with here.working(), here.working(second):  # on one client: both see each reading at the same time
        for session in sessions:
            await here.fleet.wait_for_outcome(session)

    assert await here.booked() == sorted(sessions)


# -- what fails -----------------------------------------------------------------------------------------------------


async def test_an_event_that_fails_comes_again_and_the_others_go_on(here: Shop) -> None:
    bad, good = (here.client.session_id(here.provider.add(PAID)) for _ in range(2))
    failures = 0

    async def trouble(event: WatchEvent) -> None:
        nonlocal failures
        if event.session_id == bad and isinstance(event.news, Completed) and failures < 4:
            failures += 1
            raise ZeroDivisionError

    here.trouble = trouble
    for session in (bad, good):
        await here.fleet.add(session)
    async with here.working():
        await here.fleet.wait_for_outcome(good)
        await here.fleet.wait_for_outcome(bad)

    assert failures == 4
    assert await here.booked() == sorted([bad, good])


async def test_what_fails_ten_times_is_parked_for_a_person_and_taken_up_again_by_add(here: Shop) -> None:
    session = here.client.session_id(here.provider.add(PAID))
    is_mended = False

    async def trouble(_: WatchEvent) -> None:
        if not is_mended:
            raise ZeroDivisionError("about a customer")

    here.trouble = trouble
    await here.fleet.add(session)

    async def is_parked() -> bool:
        return any(item.is_parked for item in await here.fleet.sessions())

    async with here.working():
        await eventually(is_parked)
        [parked] = await here.fleet.sessions(only_parked=True)
        [shard] = [shard for shard in await here.fleet.shards() if shard.parked]
        tries = len(here.events)
        is_mended = True
        await here.fleet.add(session)
        news = await here.fleet.wait_for_outcome(session)

    assert parked.parked_ago is not None
    assert (parked.session_id, parked.failures, parked.error, tries) == (session, 10, "ZeroDivisionError", 10)
    assert re.fullmatch(r"fleet/test_fleet\.py:\d+", parked.raised_at or "")
    assert (shard.number, shard.sessions, shard.parked) == (shard_of(session, 4), 0, 1)
    assert news.is_last
    assert await here.booked() == [session]


async def test_an_outcome_shares_the_transaction_of_its_transition_until_it_fails(here: Shop) -> None:
    transactions = list[Any]()

    async def deal_with(event: WatchEvent, tx: Any) -> None:
        if event.news.status == "COMPLETED":  # type: ignore[union-attr]  # nothing of this provider fails
            transactions.append(tx)
        await here.deal_with(event, tx)

    async def trouble(event: WatchEvent) -> None:
        if isinstance(event.news, Completed) and event.session_id == bad:
            raise ZeroDivisionError

    good, bad = (here.client.session_id(here.provider.add(PAID)) for _ in range(2))
    here.trouble = trouble
    await here.fleet.add(good)
    working = asyncio.create_task(here.fleet.work(deal_with))
    await here.fleet.wait_for_outcome(good)
    await here.fleet.add(bad)
    await eventually(lambda: here.fleet.sessions(only_parked=True))
    working.cancel()
    await asyncio.wait([working])
    [parked] = await here.fleet.sessions()

    assert transactions[0] is transactions[1]
    assert here.statuses(good)[-2:] == ["COMPLETED", "Completed"]
    assert here.statuses(bad).count("COMPLETED") == 2  # the second time it was stored, although its outcome failed
    assert (parked.status, parked.failures) == (SessionStatus.COMPLETED, 10)
    assert await here.booked() == [good]


async def test_an_outage_is_not_an_end(here: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpp_async.fleet._shard._OUTAGE_PAUSE", 0.0)
    session = here.client.session_id(here.provider.add(PAID))
    await here.fleet.add(session)
    here.provider.trouble(Answered(503), until=2000)
    async with here.working():
        assert (await here.fleet.wait_for_outcome(session)).ending == "Completed"

    assert "OutageError" not in here.statuses(session)


async def test_refused_credentials_end_the_work(here: Shop) -> None:
    await here.fleet.add(here.provider.add(PAID))
    here.provider.trouble(Answered(401))
    async with here.working() as working:
        with pytest.raises(AuthenticationError):
            await working

    assert here.events == []
    assert here.client.budget == ReadBudget(12.5)


async def test_a_session_that_the_provider_does_not_know_ends_with_its_error(here: Shop) -> None:
    await here.fleet.add("no-such-session")
    async with here.working():
        news = await here.fleet.wait_for_outcome("no-such-session")

    assert (news.ending, news.status, news.data and news.data["type"]) == ("SessionNotFoundError", None, "error")


# -- sessions that come and go ----------------------------------------------------------------------------------------


async def test_a_discarded_session_is_read_no_more_and_can_be_added_again(here: Shop) -> None:
    session = here.client.session_id(here.provider.add())
    await here.fleet.add(session)
    async with here.working():
        await until(lambda: here.statuses(session) == ["WAITING"])
        await here.fleet.discard(session)
        assert (await here.fleet.wait_for_outcome(session)).ending == "Discarded"
        here.provider.model.change(session, "CANCELLED")
        await here.fleet.add(session)
        assert (await here.fleet.wait_for_outcome(session)).ending == "Cancelled"

    assert here.statuses(session) == ["WAITING", "CANCELLED", "Cancelled"]


async def test_a_callback_makes_a_read_due(here: Shop, clock: VirtualClock) -> None:
    session = here.client.session_id(here.provider.add())
    await here.fleet.add(session)
    async with here.working():
        await until(lambda: here.statuses(session) == ["WAITING"])
        here.provider.model.change(session, "CANCELLED")
        await here.fleet.notify(session)
        assert (await here.fleet.wait_for_outcome(session)).ending == "Cancelled"


async def test_messages_that_were_missed_are_made_up_for(here: Shop) -> None:
    gone, new = (here.client.session_id(here.provider.add(PAID if number else ())) for number in range(2))
    await here.fleet.add(gone)
    async with here.working():
        await until(lambda: here.statuses(gone) == ["WAITING"])
        async with here.store.transaction() as tx:  # without messages
            await here.store.run(tx, "discard", gone)
            await here.store.run(tx, "add", new, 0)
        here.store.channels.catch_up()
        assert (await here.fleet.wait_for_outcome(new)).ending == "Completed"
        await is_let_go(here, gone)  # its shard may look later than that of the other
        reads = sum(gone in str(request.url) for request in here.provider.requests)
        await here.fleet.notify(gone)

    assert sum(gone in str(request.url) for request in here.provider.requests) == reads


async def test_the_fleets_of_two_merchants_share_a_database_and_nothing_else(
    here: Shop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    other: Any = SQLiteStore(tmp_path / "other.db")
    if not isinstance(here.store, SQLiteStore):
        conninfo = request.getfixturevalue("database").conninfo
        other = hpp_async.fleet.PostgresStore(conninfo, schema=f"other_{uuid.uuid4().hex}", max_connections=2)
    events = list[WatchEvent]()

    async def note(event: WatchEvent, _: object) -> None:
        events.append(event)

    ours, theirs = (here.client.session_id(here.provider.add(PAID)) for _ in range(2))
    async with other, here.provider.client() as client:
        await other.migrate()
        theirs_fleet = Fleet(client, other, shards=2)
        await here.fleet.add(ours)
        await theirs_fleet.add(theirs)
        async with here.working():
            working = asyncio.create_task(theirs_fleet.work(note))
            ends = await here.fleet.wait_for_outcome(ours), await theirs_fleet.wait_for_outcome(theirs)
            shards = len(await here.fleet.shards()), len(await theirs_fleet.shards())
            working.cancel()
            await asyncio.wait([working])

    assert [news.ending for news in ends] == ["Completed"] * 2
    assert {event.session_id for event in here.events} == {ours}
    assert {event.session_id for event in events} == {theirs}
    assert shards == (4, 2)


# -- overviews --------------------------------------------------------------------------------------------------------


async def test_the_overview_says_who_works_and_how_late(
    here: Shop, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lateness = 0.9

    async def says(late_by: int) -> bool:
        await clock.sleep(1)  # until the next ping
        return [worker.late_by for worker in await here.fleet.workers()] == [late_by]

    monkeypatch.setattr(ShardWork, "late_by", property(lambda _: lateness))
    before = await here.fleet.workers()
    async with here.working():
        await eventually(lambda: owned(here))
        await eventually(lambda: says(0))
        lateness = 7.9
        await eventually(lambda: says(7))
        [worker] = await here.fleet.workers()
        owners = {shard.owner for shard in await here.fleet.shards()}

    assert before == await here.fleet.workers() == []
    assert worker.name is not None
    assert f"{os.getpid()}@{socket.gethostname()}".startswith(worker.name)  # PostgreSQL cuts long ones
    assert owners == {worker.owner}


async def test_the_overview_counts_what_was_not_read_and_what_fails(here: Shop) -> None:
    fails, unread = (here.client.session_id(here.provider.add()) for _ in range(2))

    async def trouble(_: WatchEvent) -> None:
        raise ZeroDivisionError

    async def has_failed() -> bool:
        return any(session.failures for session in await here.fleet.sessions())

    here.trouble = trouble
    here.fleet = Fleet(here.client, here.store, shards=4)  # the pauses are real ones
    await here.fleet.add(fails)
    async with here.working():
        await eventually(has_failed)
    await here.fleet.add(unread)
    onlooker = Fleet(here.client, here.store, shards=7)
    shards = await onlooker.shards()
    sessions = {session.session_id: session for session in await onlooker.sessions()}

    assert len(shards) == 4  # the workers' number, and not the onlooker's
    assert sum(shard.sessions for shard in shards) == 2
    assert [shard.number for shard in shards if shard.failing] == [shard_of(fails, 4)] == [sessions[fails].shard]
    assert [shard.number for shard in shards if shard.unread] == [shard_of(unread, 4)]
    assert [shard.number for shard in shards if shard.unread_for is not None] == [shard_of(unread, 4)]
    assert await onlooker.sessions(only_parked=True) == []


async def test_a_worker_of_another_process_is_known_by_its_lock(here: Shop, tmp_path: Path) -> None:
    if not isinstance(here.store, SQLiteStore):
        pytest.skip("PostgreSQL's lock manager knows all workers")
    async with SQLiteStore(tmp_path / "shop.db") as there:
        onlooker = Fleet(here.client, there)
        nobody = await onlooker.workers(), {shard.owner for shard in await onlooker.shards()}
        async with here.working():
            await eventually(lambda: owned(here))
            [worker] = await onlooker.workers()
            owners = [shard.owner for shard in await onlooker.shards()]

    assert nobody == ([], {None})
    assert (worker.owner, worker.name, worker.late_by) == (0, None, None)
    assert owners == [0] * 4


async def test_what_another_process_adds_to_a_file_is_followed_and_its_wait_told(here: Shop, tmp_path: Path) -> None:
    # Found by a newcomer: the worker noticed it when it was started again.
    if not isinstance(here.store, SQLiteStore):
        pytest.skip("PostgreSQL tells every process")
    session = here.client.session_id(here.provider.add(PAID))
    async with SQLiteStore(tmp_path / "shop.db") as there, here.working():
        await eventually(lambda: owned(here))
        shop_in_another_process = Fleet(here.client, there, shards=4)
        await shop_in_another_process.add(session)
        news = await shop_in_another_process.wait_for_outcome(session)

    assert news.ending == "Completed"
    assert await here.booked() == [session]


async def test_a_callback_at_another_process_reaches_the_worker_of_a_file(
    here: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(here.store, SQLiteStore):
        pytest.skip("PostgreSQL tells every process")
    monkeypatch.setattr(_sqlite, "_PAUSE", 0.01)
    session = here.client.session_id(here.provider.add())
    heard = list[tuple[str, str]]()

    async def left() -> list[Any]:
        async with here.store.transaction() as tx:
            return list(await (await tx.execute("SELECT * FROM hpp_message")).fetchall())

    async def nothing_is_left() -> bool:
        return await left() == []

    async with SQLiteStore(tmp_path / "shop.db") as there:
        web = Fleet(here.client, there, shards=4)
        await web.notify(session)
        assert await nothing_is_left()  # nobody works
        async with here.working():
            await eventually(lambda: owned(here))
            here.store.channels.join(lambda verb, session_id: heard.append((verb, session_id)))
            await web.notify(session)
            await web.notify(session)
            await until(lambda: ("notify", session) in heard)
            await eventually(nothing_is_left)
            async with here.store.transaction() as tx:
                await tx.execute("DROP TABLE hpp_message")
            with pytest.raises(ConfigurationError, match=r"await store.migrate\(\) makes it"):
                await web.notify(session)
            await here.store.migrate()


# -- waits ------------------------------------------------------------------------------------------------------------


async def test_a_wait_yields_each_status_once_and_ends(here: Shop) -> None:
    session = here.provider.add(Script(opens(after=5), declines(after=10), retries, pays(after=300)))
    await here.fleet.add(session)
    wait = here.fleet.wait_for_outcome(session)
    async with here.working():
        statuses = [str(news.status) async for news in wait]

    assert statuses[-1] == "COMPLETED"
    assert wait.latest is not None
    assert wait.latest.data is not None
    assert wait.latest.data["type"] == "outcome"
    assert await wait == wait.latest  # a wait that has ended gives the same again
    assert session.endswith(wait.session_id)
    assert repr(wait).endswith("COMPLETED>")


async def test_a_cancelled_wait_loses_nothing_and_one_task_waits_at_a_time(here: Shop) -> None:
    session = here.provider.add(PAID)
    await here.fleet.add(session)
    wait = here.fleet.wait_for_outcome(session)
    first = asyncio.ensure_future(anext(wait))
    await until(lambda: here.store.channels.is_used)
    with pytest.raises(RuntimeError, match="another task is already in the wait"):
        await wait
    first.cancel()
    await asyncio.wait([first])
    assert not here.store.channels.is_used
    async with here.working():
        task = asyncio.create_task(wait)
        assert (await task).is_last


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [0, -1, 4097, 1.5, True, "4"])
async def test_a_number_of_shards_is_refused(here: Shop, shards: Any) -> None:
    with pytest.raises(ConfigurationError, match="shards="):
        Fleet(here.client, here.store, shards=shards)


async def test_what_a_watch_would_refuse_is_refused_at_once(here: Shop) -> None:
    with pytest.raises(ConfigurationError, match="stop_on"):
        Fleet(here.client, here.store, stop_on="COMPLETED")
    with pytest.raises(ConfigurationError, match=r"'COMPLETE' is no status .* did you mean COMPLETED\?"):
        Fleet(here.client, here.store, stop_on=["COMPLETE"])
    with pytest.raises(ConfigurationError, match="lease=1"):
        Fleet(here.client, here.store, lease=1)


async def test_another_number_of_shards_than_the_stored_one_is_refused(here: Shop) -> None:
    async with here.working():
        await eventually(lambda: owned(here))
    with pytest.raises(ConfigurationError, match="this fleet has 4 shards in its store, and shards=5 here"):
        await Fleet(here.client, here.store, shards=5).work(here.deal_with)


async def owned(here: Shop) -> bool:
    return all(shard.owner is not None for shard in await here.fleet.shards())


async def test_work_is_called_once_at_a_time(here: Shop) -> None:
    async with here.working():
        await eventually(lambda: owned(here))
        with pytest.raises(RuntimeError, match="works already"):
            await here.fleet.work(here.deal_with)

    assert "4 shards" in repr(here.fleet)


def table(here: Shop) -> str:
    return here.store._sql["discard"].removeprefix("UPDATE ").split(" SET ")[0].replace("%%", "%")
