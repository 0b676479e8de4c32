"""A wait that is stopped and goes on from its token, in another process: no I/O, no event loop, and any calendar."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import floor, inf

import attrs

from hpp_async import HPPError, Outcome, Session, SessionNotFoundError
from hpp_async._core.actions import Emit, Fail, Finish, Read, Sleep
from hpp_async._core.memory import Calendar
from hpp_async._core.poller import Poller
from hpp_async._core.position import Position
from hpp_async._core.settings import Settings
from support.histories import SESSION_ID, START, Life, Trouble, ending, missing


@attrs.frozen(kw_only=True)
class Machine:
    """
    One process: the zero of its loop's clock, and how far its calendar is ahead of the provider's clock.

    Both in seconds.
    """

    zero: float = 0.0
    skew: float = 0.0


@attrs.frozen(kw_only=True)
class Stop:
    """The process ends at *at*, and the next one begins *away* seconds later."""

    at: float
    away: float = 0.0


@attrs.define(kw_only=True)
class Chain:
    """
    The waits of one session, one after the other. Times are seconds from the beginning, by the provider's clock.

    A process ends at each of *stops*, and in the middle of a delay if *parks* says so: it gets the seconds that are
    left, and returns after how many of them the next process begins, or ``None``. Process number *n* runs on machine
    *n*, or on the last one. *edit* changes what the provider says; *latency* is for how long a read takes.
    """

    life: Life
    settings: Settings = attrs.field(factory=Settings)
    stops: Sequence[Stop] = ()
    parks: Callable[[float], float | None] = lambda left: None
    machines: Sequence[Machine] = (Machine(),)
    troubles: Sequence[Trouble] = ()
    edit: Callable[[Session], Session] = lambda reading: reading
    latency: float = 0.0
    seed: int = 0

    now: float = attrs.field(init=False, default=0.0)
    processes: int = attrs.field(init=False, default=0)
    asked_at: list[float] = attrs.field(init=False, factory=list[float])
    tokens: list[str] = attrs.field(init=False, factory=list[str])
    """The tokens of the transitions that were emitted."""
    seen: list[str] = attrs.field(init=False, factory=list[str])

    def run(self) -> Outcome | HPPError:
        """Go on until the wait ends."""
        token: str | None = None
        stops = list(self.stops)
        while True:
            stop = stops.pop(0) if stops else None
            last = self._process(token, inf if stop is None else max(stop.at, self.now))
            if not isinstance(last, str | None):
                return last
            token = last
            if stop is not None and self.now >= stop.at:
                self.now += stop.away
            elif stop is not None:
                stops.insert(0, stop)

    def _process(self, token: str | None, until: float) -> Outcome | HPPError | str | None:
        """Run one process; return the ending, or the token at its end."""
        machine = self.machines[min(self.processes, len(self.machines) - 1)]
        self.processes += 1
        since = None if token is None else Position.of(token, session_id=SESSION_ID)
        poller = Poller(SESSION_ID, self.settings, since=since)
        calendar = Calendar(local=START.timestamp() + machine.skew - machine.zero)
        poller.start(self.now + machine.zero, calendar)
        while True:
            action = poller.next_action(self.now + machine.zero)
            match action:
                case Finish() | Fail():
                    result = ending(action)
                    assert result is not None
                    return result
                case Emit(transition):
                    self.seen.append(str(transition.status))
                    self.tokens.append(transition.token)
                    poller.emitted()
                case Sleep(due):
                    left = due - machine.zero - self.now + 1e-6  # sums of floats differ
                    rest = self.parks(left)
                    self.now += max(0.0, min(left, until - self.now) if rest is None else min(rest, until - self.now))
                    if rest is not None or self.now >= until:
                        return poller.token(calendar)
                case Read():
                    if self.now >= until:
                        return poller.token(calendar)
                    calendar = self._read(poller, machine, calendar)

    def _read(self, poller: Poller, machine: Machine, calendar: Calendar) -> Calendar:
        asked_at = self.now
        self.asked_at.append(asked_at)
        assert len(self.asked_at) < 20_000, "reads without end"
        draw = random.Random(self.seed * 100_003 + len(self.asked_at)).random()
        self.now += self.latency
        error = next((t.error for t in self.troubles if t.start <= asked_at < t.start + t.length), None)
        loop_time = self.now + machine.zero
        if error is not None:
            if isinstance(error, SessionNotFoundError):  # with a Date, as nearly all answers have
                error = missing(error.error_code, read=floor(asked_at))
            poller.failed(error, loop_time, draw, asked_at=asked_at + machine.zero)
            return calendar
        reading = self.edit(self.life.reading(asked_at))
        if reading.read_at is not None and not reading.is_locally_dated:
            calendar = attrs.evolve(calendar, provider=START.timestamp() + floor(self.now) - loop_time)
        poller.received(reading, loop_time, draw, asked_at=asked_at + machine.zero, calendar=calendar)
        return calendar
