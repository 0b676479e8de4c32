"""What becomes of an event that failed: it comes again after a pause, or its session is parked for a person."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from hpp_async import DealFailed, SessionParked
from hpp_async.fleet._dealing import failure_of
from hpp_async.fleet._lease import reconnect_after
from hpp_async.fleet._store import Tx
from hpp_async.fleet._work import Work

logger: Final = logging.getLogger("hpp_async.fleet")

_SOON: Final = 3
"""Stands for the number of attempts: `reconnect_after` then returns about 0.4 seconds."""

_LATER: Final = 7
"""The same for about 5 seconds: a disk that is full stays so for a while, and each attempt costs a read."""


async def failed(
    work: Work[Tx],
    session_id: str,
    error: Exception,
    *,
    what: str,
    count: Callable[[Tx], Awaitable[int | None]],
) -> float:
    """
    Note that an event failed with *error*; return for how many seconds its session pauses.

    *count* adds one to the stored number of failures and returns it; or ``None`` if the session is not open any more.
    """
    store, failure, name = work.store, failure_of(error), type(error).__name__
    try:
        async with store.own_transaction() as tx:
            await store.run(tx, "limit", str(work.lease.milliseconds))
            failures = await count(tx)
            if failures is None:
                return 0.0
            pause = work.pause(failures, _draw())
            if pause is None:
                await store.run(tx, "park", session_id)
            else:
                await store.run(tx, "retry", pause, session_id)
    except Exception as second:
        if not store.is_passing(second):
            raise
        return away(work, session_id, second)
    if pause is None:
        logger.error(
            "session %s is parked: %s failed %d times, the last time with %s", session_id, what, failures, failure
        )
        work.client.report(SessionParked(session_id=session_id, error=name, failures=failures))
        return 0.0  # the look-up that follows finds it parked
    logger.warning("session %s: %s failed with %s; its event comes again in %.1f s", session_id, what, failure, pause)
    work.client.report(DealFailed(session_id=session_id, error=name, failures=failures, retry_in=pause))
    return pause


def away(work: Work[Tx], session_id: str, error: Exception) -> float:
    """
    Return for how many seconds a session pauses because of *error*: the database was not reached, or takes no writes.

    That is no failure of the event.
    """
    pause = reconnect_after(_LATER if work.store.takes_no_writes(error) else _SOON, _draw())
    logger.warning(
        "session %s: the database could not be used (%s); its event comes again in %.1f s",
        session_id,
        type(error).__name__,
        pause,
    )
    return pause


def _draw() -> float:
    return random.random()  # noqa: S311 - no secret
