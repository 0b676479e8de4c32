"""
One owned shard: its sessions are watched, and each event is dealt with in the transaction that stores its token.

The transaction locks the rows of the shard and of the session, and goes on only if the shard is still this worker's and
the event is news to what is stored. So the effects of an event are stored once, even if two workers believe that they
own the shard. An outcome is dealt with in the transaction of the transition that shows it. If the transaction fails,
the session leaves the watch, and comes back after a pause, from the token that is stored: its news comes again then.
The other sessions go on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeGuard

from hpp_async import (
    AuthenticationError,
    ConfigurationError,
    OutageError,
    ShardTakenOver,
    Transition,
    Watch,
    WatchEvent,
    is_newer,
)
from hpp_async.fleet._channels import news_of
from hpp_async.fleet._dealing import DealCutError, DealOverdueError, NotAwaitableError, call, failure_of
from hpp_async.fleet._failing import away, failed
from hpp_async.fleet._lease import reconnect_after
from hpp_async.fleet._store import EventTransaction, FencedError, Row, Tx
from hpp_async.fleet._tasks import end
from hpp_async.fleet._work import Work

logger: Final = logging.getLogger("hpp_async.fleet")

_OUTAGE_PAUSE: Final = 30.0
"""Seconds until a session is read again whose wait ended with an outage: it may still be paid."""

_CUTS: Final = 5
"""
After so many times in a row, a broken connection counts as a failure of the event.

Mostly the database was restarted. But a statement can also be the reason, by what it does to its backend: it would do
that again and again, and may take the whole server with it.
"""

_CHUNK: Final = 1000
"""How many tokens are stored with one statement."""


class ShardWork(Generic[Tx]):
    """
    Follows the sessions of one shard, from `start` until `close` or `abort`.

    Everything runs in ``task``. The task ends with an error if the shard was fenced off, if the provider refuses the
    credentials, or if the user's own schedule or hook raised one.
    """

    def __init__(self, number: int, work: Work[Tx]) -> None:
        self.number = number
        self._work = work
        self._epoch = 0
        self._watch: Watch | None = None
        self._event: EventTransaction[Tx] | None = None
        """The transaction that is under way for an event."""
        self._is_dealing = self._is_closing = False
        self._locked: tuple[str, str | None] | None = None
        """The session of that event, and its stored token."""
        self._overdue: tuple[str, str | None] | None = None
        """The same of an event during which the event loop stood still until the shard was lost."""
        self._expected: dict[str, None] = {}
        """Sessions to look up, in order: they were added or discarded, or their pause is over."""
        self._has_missed = False
        self._look = asyncio.Event()
        self._pauses: dict[str, asyncio.TimerHandle] = {}
        self.task = asyncio.create_task(self._run(), name=f"hpp_async.fleet shard {number}")
        self.tasks = [self.task]
        """All tasks of the shard. None ends by itself, unless it fails."""

    @property
    def late_by(self) -> float:
        """How late the shard's reads are, in seconds; see `Watch.late_by`."""
        return 0.0 if self._watch is None else self._watch.late_by

    # -- called by the worker -----------------------------------------------------------------------------------------

    def look_up(self, session_id: str) -> None:
        """Note that the session may have been added or discarded."""
        self._expected[session_id] = None
        self._look.set()

    def look_up_all(self) -> None:
        """Note that messages were missed: any session may have been added or discarded."""
        self._has_missed = True
        self._look.set()

    async def close(self) -> None:
        """
        Stop reading, let the event under way be dealt with, and store the tokens of all sessions.

        An event that is not dealt with within the lease is given up, and comes again elsewhere.
        """
        self._is_closing = True
        if self._is_dealing:
            await asyncio.wait([self.task], timeout=self._work.lease.seconds)
        await end(self.tasks)
        if not self._epoch:
            return
        try:
            async with self._work.loading:
                await self._hand_over()
        except FencedError:
            if self._watch is not None:  # else its take-over was not committed
                logger.warning("shard %d belongs to another worker: its tokens are not stored", self.number)
        except Exception as error:  # noqa: BLE001 - without its tokens a session is read once more, and nothing is lost
            logger.warning("the tokens of shard %d could not be stored (%s)", self.number, type(error).__name__)

    def abort(self, *, stood_still: bool = False) -> None:
        """
        Stop reading and storing at once: the shard may belong to another worker.

        If the event loop *stood_still* before, ``deal_with`` may be what kept it busy: see `count_overdue`.
        """
        if self._event is not None:
            self._work.store.hang_up(self._event.tx)
        if stood_still:
            self._overdue = self._locked
        for task in self.tasks:
            task.cancel()

    async def count_overdue(self) -> None:
        """
        Count as failed the event during which the event loop stood still until the shard was lost, if there is one.

        The next owner of the shard gets that event, too. If it stands still as well, and so on, no worker would ever
        follow anything else. The failures make the session pause, and park it in the end.
        """
        if self._overdue is None:
            return
        session_id, token = self._overdue
        error, store = DealOverdueError(), self._work.store

        async def count(tx: Tx) -> int | None:
            # The row is locked until the server ends the next owner's transaction, which may stand still, too.
            await store.run(tx, "limit", str(2 * self._work.lease.milliseconds))
            rows = await store.run(tx, "fail_overdue", failure_of(error), session_id, token or "")
            return int(rows[0][0]) if rows else None

        await failed(self._work, session_id, error, what="deal_with", count=count)

    # -- the task -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._persist(self._take_over)
        async with self._work.loading:
            # After the commit: whatever the owner before has stored until then is seen.
            rows = await self._persist(self._load)
            watch = self._work.client.watch(
                {session_id: token for session_id, token, pause in rows if not _is_ahead(pause)},
                stop_on=self._work.stop_on,
                forever=True,
            )
        async with watch:
            self._watch = watch
            for session_id, _, pause in rows:
                if _is_ahead(pause):
                    self._pause(watch, session_id, pause)
            looking = asyncio.create_task(self._look_up(watch), name=f"hpp_async.fleet look-ups {self.number}")
            self.tasks.append(looking)
            try:
                async for event in watch:
                    self._is_dealing = True
                    await self._deal_with(event, watch)
                    self._is_dealing = False
                    if self._is_closing:
                        break
            finally:
                for timer in self._pauses.values():
                    timer.cancel()
                await end([looking])

    async def _take_over(self) -> list[Row]:
        async with self._work.store.own_transaction() as tx:
            await self._limit(tx)
            [(epoch, handed_over)] = await self._work.store.run(tx, "next_epoch", self.number)
            # The owner before may have been killed before it told them of news.
            await self._work.store.tell_waits(tx, news_of(self.number, self._work.shards))
            self._epoch = epoch  # now: a commit that is cancelled may have happened, and then `close` hands over
        if epoch > 1:
            self._work.client.report(ShardTakenOver(shard=self.number, was_handed_over=handed_over == epoch - 1))
        return []

    async def _persist(self, do: Callable[[], Awaitable[list[Row]]]) -> list[Row]:
        """Do it again while the database cannot do it: whether the shard is owned is decided elsewhere."""
        failures = 0
        while True:
            try:
                return await do()
            except Exception as error:
                if not self._work.store.is_passing(error):
                    raise
                failures += 1
                pause = reconnect_after(failures, random.random())  # noqa: S311 - no secret
                logger.warning(
                    "shard %d: the database could not be used (%s); once more in %.1f s",
                    self.number,
                    type(error).__name__,
                    pause,
                )
                await asyncio.sleep(pause)

    async def _limit(self, tx: Tx) -> None:
        """Let the server end the transaction if this process is frozen in it: its locks would block the next owner."""
        await self._work.store.run(tx, "limit", str(self._work.lease.milliseconds))

    # -- sessions that come and go ------------------------------------------------------------------------------------

    async def _look_up(self, watch: Watch) -> None:
        while True:
            await self._look.wait()
            self._look.clear()
            if self._has_missed:
                self._has_missed = False
                await self._compare(watch, await self._persist(self._load))
            while self._expected:
                session_id = next(iter(self._expected))
                del self._expected[session_id]  # before the query: what happens during it has to be looked up again
                rows = await self._persist(lambda session_id=session_id: self._row(session_id))  # type: ignore[misc]  # mypy infers no lambda with a default
                token, is_open, pause = rows[0] if rows else (None, False, None)
                self._place(watch, session_id, token, is_open=is_open, pause=pause)

    async def _load(self) -> list[Row]:
        async with self._work.store.own_transaction() as tx:
            return await self._work.store.run(tx, "load", self._work.shards, self.number)

    async def _row(self, session_id: str) -> list[Row]:
        async with self._work.store.own_transaction() as tx:
            return await self._work.store.run(tx, "row", session_id)

    async def _compare(self, watch: Watch, rows: list[Row]) -> None:
        loaded = {row[0] for row in rows}
        for session_id in watch.tokens():
            if session_id not in loaded:
                self.look_up(session_id)  # by a look of its own: it may have been added since
        for session_id, token, pause in rows:
            self._place(watch, session_id, token, is_open=True, pause=pause)

    def _place(self, watch: Watch, session_id: str, token: str | None, *, is_open: bool, pause: float | None) -> None:
        if not is_open:
            self._let_go(watch, session_id)
        elif _is_ahead(pause):
            self._pause(watch, session_id, pause)
        else:
            watch.add(session_id, since=token)

    def _let_go(self, watch: Watch, session_id: str) -> None:
        watch.discard(session_id)
        timer = self._pauses.pop(session_id, None)
        if timer is not None:
            timer.cancel()

    def _pause(self, watch: Watch, session_id: str, seconds: float) -> None:
        """Follow the session no more for so many seconds."""
        self._let_go(watch, session_id)

        def is_over() -> None:
            del self._pauses[session_id]
            self.look_up(session_id)

        self._pauses[session_id] = asyncio.get_running_loop().call_later(seconds, is_over)

    # -- events -------------------------------------------------------------------------------------------------------

    async def _deal_with(self, event: WatchEvent, watch: Watch) -> None:
        session_id = event.session_id
        if isinstance(event.news, AuthenticationError):
            raise event.news  # it is about the credentials: every session would get it
        if isinstance(event.news, OutageError):
            self._pause(watch, session_id, _OUTAGE_PAUSE)
            return
        if isinstance(event.news, ConfigurationError):
            # No end: a worker of a later version has stored the token, and may own the shard again soon.
            watch.discard(session_id)
            pause = await self._failed(session_id, event.news, what="reading its token")
            self._pause(watch, session_id, pause)
            return
        store, under_way = self._work.store, None
        try:
            async with store.event() as under_way:
                self._event = under_way
                if not await self._store_event(under_way, event, watch):
                    self._let_go(watch, session_id)
        except (FencedError, NotAwaitableError):
            raise
        except Exception as error:  # noqa: BLE001 - of the user's function: it comes again, and others go on
            watch.discard(session_id)  # so that its token, which counts the event as dealt with, is not stored
            # With a connection that is alive it is an error of the user's function, of whatever other class.
            is_cut = store.is_unreachable(error) and (under_way is None or store.is_cut(under_way.tx))
            is_away = is_cut or store.takes_no_writes(error)
            if is_cut and self._locked is not None:
                self._work.cuts[session_id] = self._work.cuts.get(session_id, 0) + 1
            pause = away(self._work, session_id, error) if is_away else await self._failed(session_id, error)
            self._pause(watch, session_id, pause)
        except BaseException:
            watch.discard(session_id)  # for the same reason
            raise
        finally:
            self._event = self._locked = None

    async def _store_event(self, under_way: EventTransaction[Tx], event: WatchEvent, watch: Watch) -> bool:
        """
        Deal with an event, and with the outcome if the event shows it; return whether the session is to be followed on.
        """
        work, session_id = self._work, event.session_id
        rows = await under_way.lock(str(work.lease.milliseconds), self.number, self._epoch, session_id)
        if not rows:
            await self._check_epoch(under_way.tx)
            return False  # its row was deleted
        token, is_open, failures, _ = rows[0]
        self._locked = session_id, token
        if not is_open:
            return False
        if not _is_news(event, token):
            return True
        if work.cuts.get(session_id, 0) >= _CUTS:
            work.cuts[session_id] -= 1  # so that it is dealt with after the pause
            raise DealCutError
        # After a failure one by one: the event that fails then keeps no other one from being stored.
        events = [event, *([] if failures else watch.rest_of(session_id))]
        for one in events:
            if one is not event:
                await self._limit(under_way.tx)  # each call may take as long as the lease
            await call(work.deal_with, one, under_way.tx)
        last = events[-1]
        data = last.news.to_dict()
        status = data.get("status")
        ending = type(last.news).__name__ if last.is_last else None
        await under_way.store(session_id, last.token, status, json.dumps(data), ending, last.is_last)
        work.cuts.pop(session_id, None)
        return not last.is_last

    async def _check_epoch(self, tx: Tx) -> None:
        [(epoch,)] = await self._work.store.run(tx, "epoch", self.number)
        if epoch != self._epoch:
            raise FencedError(f"shard {self.number} was taken by another worker")

    async def _failed(self, session_id: str, error: Exception, *, what: str = "deal_with") -> float:
        """Note that an event failed; return for how many seconds its session pauses."""

        async def count(tx: Tx) -> int | None:
            rows = await self._work.store.run(tx, "fail", failure_of(error), session_id, self.number, self._epoch)
            if rows:
                return int(rows[0][0])
            await self._check_epoch(tx)
            return None  # it was discarded

        return await failed(self._work, session_id, error, what=what, count=count)

    async def _hand_over(self) -> None:
        """Store that the shard is handed over, with the tokens of its sessions if these were loaded."""
        store = self._work.store
        latest = {} if self._watch is None else self._watch.tokens()
        tokens = {session_id: token for session_id, token in latest.items() if token is not None}
        async with store.own_transaction() as tx:
            await self._limit(tx)
            if not await store.run(tx, "hand_over", self.number, self._epoch):
                raise FencedError(f"shard {self.number} was taken by another worker")
            if not tokens:
                return
            rows = await store.run(tx, "lock_tokens", self.number, self._epoch, self._work.shards, self.number)
            newer = [
                (session_id, tokens[session_id])
                for session_id, stored in rows
                if session_id in tokens and (stored is None or not is_newer(stored, tokens[session_id]))
            ]
            for first in range(0, len(newer), _CHUNK):
                await store.replace_tokens(tx, newer[first : first + _CHUNK])


def _is_ahead(pause: float | None) -> TypeGuard[float]:
    return pause is not None and pause > 0


def _is_news(event: WatchEvent, stored: str | None) -> bool:
    """Tell whether the event is news. The end of a session has the same token as its last transition."""
    if event.token is None or stored is None:
        return True
    if isinstance(event.news, Transition):
        return is_newer(event.token, stored)
    return not is_newer(stored, event.token)
