"""A fleet: many processes that follow one merchant's sessions through one database."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Generic

from hpp_async import FINAL, AnyStatus, ConfigurationError, HPPClient, ShardsOwned, WatchEvent
from hpp_async.fleet._dealing import check_deal_with, name_and_place
from hpp_async.fleet._division import BUCKETS, bucket_of
from hpp_async.fleet._label import worker_of
from hpp_async.fleet._lease import Lease, reconnect_after, retry_after
from hpp_async.fleet._store import OwnershipLostError, Store, Tx
from hpp_async.fleet._tasks import Cancellation
from hpp_async.fleet._values import FleetSession, FleetWorker, Shard
from hpp_async.fleet._wait import FleetWait, status_of
from hpp_async.fleet._work import Work
from hpp_async.fleet._worker import Worker

if TYPE_CHECKING:
    from hpp_async import CreatedSession

logger: Final = logging.getLogger("hpp_async.fleet")


class Fleet(Generic[Tx]):
    """
    Follows a merchant's sessions in as many processes as there are. On asyncio only.

    Every process makes one, with the same store: those that create sessions, those that get callbacks, those whose
    consumers wait, and the workers, which call `work`. Only workers read sessions.

    Args:
        client: reads the sessions. A worker reads at the rate of the client's ``budget`` times the part of the shards
            that it owns, so give every worker's client the budget of the *whole* fleet. `work` changes the rate of the
            client: use another client for reads of your own.
        store: a `PostgresStore`, or a `SQLiteStore` for one process.
        shards: in how many parts the sessions are divided; no more workers than that have work. The same in every
            process: the first worker stores it, and then another number is refused by all methods but the
            overviews.
        lease: seconds after which the shards of a worker that is frozen or cut off go to others, from 2 to 300. It is
            also for how long a transaction of ``deal_with`` may be idle.
        stop_on: the statuses that end a session, see `HPPClient.wait_for_outcome`. By default only final ones: FAILED
            and ERROR can still become COMPLETED.

    Raises:
        ConfigurationError: an argument is refused.
    """

    def __init__(
        self,
        client: HPPClient,
        store: Store[Tx],
        *,
        shards: int = 16,
        lease: float = 5.0,
        stop_on: Collection[AnyStatus | str] = FINAL,
    ) -> None:
        if isinstance(shards, bool) or not isinstance(shards, int) or not 1 <= shards <= BUCKETS:
            raise ConfigurationError(f"shards={shards!r}: give a whole number from 1 to {BUCKETS}")
        given: object = store
        if not isinstance(given, Store):
            raise ConfigurationError("store: give a PostgresStore or a SQLiteStore")
        client.watch((), stop_on=stop_on)  # refuses what it refuses, now
        self._client = client
        self._store = store
        self._shards = shards
        self._lease = Lease(lease)
        self._stop_on = stop_on
        self._pause: Callable[[int, float], float | None] = retry_after
        """The seconds before an event that failed so many times comes again. Tests replace it."""
        self._is_checked = False
        """Whether the stored number of shards is known, and is the same."""
        self._working: asyncio.Task[object] | None = None
        """The task that works. It may be left over from an event loop that is gone."""
        self._whole = client.budget
        """The budget of the client before `work` divides it."""

    def __repr__(self) -> str:
        return f"<Fleet of {self._shards} shards in {self._store!r}>"

    # -- sessions, from any process -----------------------------------------------------------------------------------

    async def add(self, session: CreatedSession | str, *, tx: Tx | None = None) -> None:
        """
        Follow the session until its end. Nothing changes if it is followed already, or has ended.

        With *tx*, a transaction of the store, the session is added when that commits, together with what else you store
        in it. A session that is parked, or was discarded, is followed again from where it was.

        Raises:
            ConfigurationError: *session* is refused.
        """
        session_id = self._client.session_id(session)
        async with self._within(tx) as within:
            await self._check_shards(within)
            if await self._store.run(within, "add", session_id, bucket_of(session_id)):
                await self._store.tell_workers(within, f"add:{session_id}")

    async def discard(self, session: CreatedSession | str, *, tx: Tx | None = None) -> None:
        """
        Stop following the session; what is stored of it stays.

        Raises:
            ConfigurationError: *session* is refused.
        """
        session_id = self._client.session_id(session)
        async with self._within(tx) as within:
            await self._check_shards(within)
            if await self._store.run(within, "discard", session_id):
                await self._store.tell_workers(within, f"discard:{session_id}")
                await self._store.tell_waits(within, session_id)

    async def notify(self, session: CreatedSession | str, *, tx: Tx | None = None) -> None:
        """
        Make a read of the session due now, in whichever process follows it: call it for every status callback.

        The message is a hint, as a callback is: it is lost where a connection breaks. See `HPPClient.notify`.

        Raises:
            ConfigurationError: *session* is refused.
        """
        session_id = self._client.session_id(session)
        async with self._within(tx) as within:
            await self._check_shards(within)
            await self._store.tell_workers(within, f"notify:{session_id}")

    def wait_for_outcome(self, session: CreatedSession | str) -> FleetWait[Tx]:
        """
        Return a wait for what the workers find out: ``await`` it for the end, or iterate it.

        It reads no session, and costs a query for each change. Give it a timeout with ``asyncio.timeout``.

        Raises:
            ConfigurationError: *session* is refused.
        """
        return FleetWait(self._store, self._client.session_id(session), self._shards, self._check_shards)

    # In overviews the stored number of shards counts, which all workers have: one who only looks need not know it.

    async def sessions(self, *, only_parked: bool = False) -> list[FleetSession]:
        """Return all sessions that have not ended, oldest first; or only those that are parked."""
        async with self._store.own_transaction() as tx:
            shards = await self._stored_shards(tx)
            rows = await self._store.run(tx, "parked" if only_parked else "overview")
        return [
            FleetSession(
                session_id=session_id,
                shard=bucket % shards,
                status=status_of(status),
                parked_ago=parked_ago,
                failures=failures,
                error=name_and_place(failure)[0],
                raised_at=name_and_place(failure)[1],
                added_ago=added_ago,
            )
            for session_id, bucket, status, parked_ago, failures, failure, added_ago in rows
        ]

    async def shards(self) -> list[Shard]:
        """Return all shards, each with its owner and how many sessions it has."""
        async with self._store.own_transaction() as tx:
            shards = await self._stored_shards(tx)
            counts = {number: tuple(rest) for number, *rest in await self._store.run(tx, "count", shards)}
            owners = await self._store.owners(tx)
        return [
            Shard(
                number=number,
                owner=owners.get(number),
                sessions=count - parked,
                unread=unread,
                unread_for=unread_for,
                failing=failing,
                parked=parked,
            )
            for number in range(shards)
            for count, parked, failing, unread, unread_for in [counts.get(number, (0, 0, 0, 0, None))]
        ]

    async def workers(self) -> list[FleetWorker]:
        """Return all workers, each with how late its reads are, also those that own no shard."""
        async with self._store.own_transaction() as tx:
            labels = await self._store.workers(tx)
        return [worker_of(owner, label) for owner, label in sorted(labels.items())]

    async def _check_shards(self, tx: Tx) -> None:
        """Refuse another number of shards than the stored one, which the first worker stored."""
        if not self._is_checked:
            rows = await self._store.run(tx, "shards")
            if rows:
                self._refuse_other(rows[0][0])

    def _refuse_other(self, shards: int) -> None:
        if shards != self._shards:
            raise ConfigurationError(
                f"this fleet has {shards} shards in its store, and shards={self._shards} here: give every process the "
                "same number"
            )
        self._is_checked = True

    async def _stored_shards(self, tx: Tx) -> int:
        rows = await self._store.run(tx, "shards")
        return int(rows[0][0]) if rows else self._shards

    @asynccontextmanager
    async def _within(self, tx: Tx | None) -> AsyncGenerator[Tx]:
        if tx is not None:
            yield tx
            return
        async with self._limited() as own:
            yield own

    @asynccontextmanager
    async def _limited(self) -> AsyncGenerator[Tx]:
        """Begin a transaction that the server ends if this process is frozen in it: its locks would block workers."""
        async with self._store.own_transaction() as tx:
            await self._store.run(tx, "idle_limit", str(self._lease.milliseconds))
            yield tx

    # -- work ---------------------------------------------------------------------------------------------------------

    async def work(self, deal_with: Callable[[WatchEvent, Tx], Awaitable[object]]) -> None:
        """
        Follow this worker's share of the sessions, until cancelled.

        ``await deal_with(event, tx)`` runs for every event, in the transaction that stores the event's token: what it
        stores through *tx* is stored exactly once. What it does elsewhere happens at least once, because a transaction
        may fail after it. It should take less time than the lease, and must not keep the event loop busy for so long.
        Events of one session come one after another, those of different shards at the same time. An outcome comes in
        the transaction of the transition that shows it, unless that has failed before.

        If it raises, or the transaction fails, the session's news comes again after a pause, which grows from 1 second
        to 5 minutes; a status that the session left meanwhile does not. After ten failures the session is parked: it is
        not followed until `add` takes it up again, and `sessions` shows it, with the class of the error and its place.
        An `OutageError` is not passed to it: the session is read again after a while.

        When it is cancelled, the event under way is dealt with, the tokens of all sessions are stored, and the shards
        go to other workers, without a pause. While the database cannot be reached, or it is not certain who
        owns the shards, this worker reads and stores nothing. While the database takes no writes, because its disk is
        full or it is read-only, events come again every few seconds, which counts as no failure.

        Raises:
            ConfigurationError: *deal_with* is refused; or the database is: it is reached through a pooler in
                transaction mode, is too old, has no tables of the fleet, or a fleet with another number of shards.
            AuthenticationError: the provider refused the client's credentials.
            ClientClosedError: the client was closed.
            StoreClosedError: the store was closed. Events that were not dealt with come again elsewhere.
            RuntimeError: it is called twice at a time, or not on asyncio; or the store is in use in another event loop,
                which is running.
            Exception: the database could not be reached at the start, or takes no writes; or a schedule or hook of your
                own raised it.
        """
        check_deal_with(deal_with)
        self._store.life.enter()
        task = asyncio.current_task()
        assert task is not None, "a coroutine on asyncio runs in a task"
        if self._working is None:
            self._whole = self._client.budget
        elif self._working.get_loop() is task.get_loop():
            raise RuntimeError("this fleet works already: one call of work is enough for a process")
        self._working = task
        self._client.set_budget(self._whole)
        work = Work(
            client=self._client,
            store=self._store,
            shards=self._shards,
            lease=self._lease,
            stop_on=self._stop_on,
            deal_with=deal_with,
            pause=self._pause,
        )
        cancellation = Cancellation()
        try:
            await self._settle_shards()
            await self._store.listen()
            await cancellation.check()
            await self._work(work)
        finally:
            self._client.report(ShardsOwned(worker=work.number, owned=0, shards=0))
            if self._working is task:  # pragma: no branch - else an exception ends it: its event loop is gone
                self._client.set_budget(self._whole)
                self._working = None

    async def _settle_shards(self) -> None:
        async with self._limited() as tx:
            [(shards,)] = await self._store.run(tx, "settle_shards", self._shards)
        self._refuse_other(shards)

    async def _work(self, work: Work[Tx]) -> None:
        budget, failures = self._whole, 0
        while True:
            worker = Worker(work, budget)
            channels = self._store.channels
            channels.join(worker.heard)
            working = asyncio.create_task(self._own(worker), name="hpp_async.fleet worker")
            try:
                await asyncio.wait([working])
            except asyncio.CancelledError:
                worker.leave()
                # As long as the events under way may take, and then as long as storing the tokens may.
                await asyncio.wait([working], timeout=2 * self._lease.seconds)
                _report(working)
                raise
            finally:
                channels.leave(worker.heard)
                working.cancel()
            failures = 0 if worker.has_owned else failures + 1
            error = OwnershipLostError("its work was cancelled") if working.cancelled() else working.exception()
            if error is not None and not (isinstance(error, OwnershipLostError) or self._is_unreachable(error)):
                raise error
            logger.warning("this worker owns no shard now: %s", error)
            await asyncio.sleep(reconnect_after(failures + 1, random.random()))  # noqa: S311 - no secret

    async def _own(self, worker: Worker[Tx]) -> None:
        async with self._store.own(self._shards, self._lease, worker.lose) as ownership:
            await worker.run(ownership)

    def _is_unreachable(self, error: BaseException) -> bool:
        return isinstance(error, Exception) and self._store.is_unreachable(error)


def _report(working: asyncio.Task[None]) -> None:
    """Log what went wrong while the shards were handed over: the caller gets the cancellation."""
    error = None if not working.done() or working.cancelled() else working.exception()
    if error is not None or not working.done():
        name = "it takes too long" if error is None else type(error).__name__
        logger.warning("the shards were not handed over in order (%s): others take them, and no event is lost", name)
