"""When a session is read again after a restart: arithmetic over what its resume token remembers."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from hpp_async._core.failures import HINT_MAXIMUM
from hpp_async._core.memory import Memory
from hpp_async._core.schedule import Schedule
from hpp_async._core.session import Session

_AT_ONCE: Final = 10.0
"""
Seconds: after a restart, sessions with a delay of no more than this are read at once, however old their tokens are.

This is the delay of a session whose consumer has been on the page for less than a quarter of an hour.
"""

_AHEAD: Final = 20.0
"""
Seconds by which a session goes ahead in the queue after a restart, divided by 1 plus its delay in seconds.

Where thousands are overdue, the shortest delay comes first then. To add 100,000 sessions to a watch takes a few
seconds, so a difference of milliseconds would not do.
"""

_AGREEMENT: Final = 5.0
"""Seconds: a last read that is further in the future was dated by a wrong calendar, or this machine's is wrong."""

_COARSE: Final = 60.0
"""Seconds by which the age of a status may be wrong after a restart, where no ``updated_at`` tells it."""


def own_delay(schedule: Schedule, known: Session, age: float) -> float | None:
    """Return the delay of *schedule* at an *age* in seconds; ``None`` where the schedule returns none."""
    with suppress(Exception):  # a schedule that fails here fails again after a reading, and then it is raised
        delay = schedule.delay(known, age=age, draw=0.0)
        if delay >= 0:
            return delay
    return None


def delay_of(memory: Memory, own: float | None) -> float | None:
    """
    Return the delay that an earlier wait decided, in seconds; ``None`` where it decided none.

    It is no longer than *own*, the delay of the schedule of the wait that goes on (``None`` where that is not known):
    the schedule may be another one now. After a failure it may be as long as the hint of a server.
    """
    longest = HINT_MAXIMUM if own is None else max(own, HINT_MAXIMUM if memory.failing else own)
    return None if memory.delay is None else min(memory.delay, longest)


def next_read(at: float, delay: float, *, now: float, own: float | None, spread: float) -> tuple[float, float, float]:
    """
    Return when the present delay began, when the next read is due, and its key in the queue: three loop times.

    The last read was over at *at*, and the next was to come *delay* seconds later. An overdue read is due at once. If a
    session is overdue by more than its own delay, its token is old, as after a crash: then its own delay begins *now*,
    and is multiplied by *spread*. So is *delay* where *at* is in the future, because a calendar is wrong: else all
    sessions that come from that machine would be due at once.

    Once they are due, reads are made in the order of their keys. Of overdue reads, the one with the shortest *own*
    delay goes first, as its consumer may be on the page. A read that becomes due while thousands of overdue reads wait
    goes before these, too, if its own delay is short.
    """
    own = delay if own is None else own
    if now > at + delay + own and spread > 0.0:
        at, delay = now, spread * max(0.0, own - _AT_ONCE)
    elif at - now > _AGREEMENT and spread > 0.0:
        delay *= spread
    at = min(now, at)
    due = max(now, at + delay)
    is_ahead = due == now or own <= _AT_ONCE
    return at, due, due - _AHEAD / (1.0 + own) if is_ahead else due


def began_at(memory: Memory, reading: Session, now: float, *, reckoned: float) -> float:
    """
    Return when the session got its status, in loop seconds, where no ``updated_at`` tells it.

    *reading* arrived at *now*. *reckoned* is what was computed at the start, perhaps by a calendar that is hours off.
    A ``Date`` can only correct hours: it is coarse, and the answer was under way for a while.
    """
    if reading.read_at is None or reading.is_locally_dated or memory.age is None:
        return reckoned
    began = now - memory.age - max(0.0, reading.read_at.timestamp() - memory.at)
    return began if abs(began - reckoned) > _COARSE else reckoned
