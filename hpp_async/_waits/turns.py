"""
Turns in the budget's queue: how a read, a DELETE or another attempt of either waits until the budget admits it.

Whatever sends a request (a wait, a watch, a call of `Reads.read`, an attempt after a failure) is called a driver here.
It holds a `Claim` until the request is admitted: it asks the claim, awaits `Claim.sleep` if the answer is no, and asks
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from hpp_async._core.budget import Budget, Kind, Turn
from hpp_async._core.exceptions import ClientClosedError
from hpp_async._core.token_bucket import Quota, ReadBudget
from hpp_async._loop import Clock, Sleeper
from hpp_async._waits.events import BudgetPaused, Observers

_FOREVER: Final = float("inf")
_LOG_EVERY: Final = 60.0
"""Seconds, at least, between two lines in the log about pauses for the same reason: 429s come in bursts."""

_logger = logging.getLogger("hpp_async")


class Claim:
    """
    One driver's access to the queue. It holds at most one turn at a time, one after another.

    A driver that sleeps in `sleep` is woken when its turn may be admitted. Before that, *woken* is called: it tells a
    driver with many claims which of them to ask. The end of the ``with`` block gives the turn back, also when the
    driver is cancelled. In the next block a new arrival has the place that it had: else a driver that takes short steps
    would never get to the head of a long queue.
    """

    __slots__ = ("_budget", "_place", "_sleeper", "_turn", "_woken")

    def __init__(self, budget: Budget, sleeper: Sleeper, woken: Callable[[], object]) -> None:
        self._budget = budget
        self._sleeper = sleeper
        self._woken = woken
        self._turn: Turn | None = None
        self._place: Turn | None = None
        """The turn that the last block gave back, if its read is still wanted."""

    def queue(self, kind: Kind, key: float = _FOREVER) -> Turn:
        """
        Queue for a read, and return the turn.

        *key* is when the schedule makes the read due, in seconds of the budget's virtual time; ∞ if it does not. If the
        claim already has a turn, that turn keeps its place, unless the read is due earlier now: a notification came, or
        the timeout passed.
        """
        turn = self._turn
        if turn is not None and turn.is_granted and not turn.is_over:
            return turn
        is_earlier = turn is None or kind < turn.kind or (kind is turn.kind is Kind.DUE and key < turn.key)
        if turn is None or is_earlier or turn.is_over:  # over: forgotten, as its event loop is gone
            place = self._place
            number = None if place is None or place.kind is not kind else place.number
            self.leave()
            turn = self._turn = self._budget.queue(kind, key, self._sleeper.now(), self._wake, number=number)
        return turn

    def admit(self, kind: Kind, key: float = _FOREVER) -> bool:
        """
        Tell whether the budget admits the read now; if not, the claim has a turn in the queue (see `queue`).

        A turn that is admitted is used up, and `Turns.release` must follow once the read is over.
        """
        if self._turn is None and self._budget.admit_at_once(kind, key, self._sleeper.now()):
            self._place = None
            return True
        if not self._budget.admit(self.queue(kind, key), self._sleeper.now()):
            return False
        self._turn = None
        return True

    def is_behind(self) -> bool:
        """Tell whether other turns are before this one. When none is, the driver is woken, before the turn is open."""
        return self._turn is not None and not self._turn.is_over and self._budget.is_behind(self._turn)

    def opens_at(self) -> float:
        """Return when to ask again at the latest, in loop seconds; infinity if the driver will be woken for it."""
        if self._turn is None:
            return _FOREVER
        if self._turn.is_over:
            return -_FOREVER  # it was forgotten, as its event loop is gone: ask for another one at once
        if self._budget.is_behind(self._turn):
            return _FOREVER
        return self._budget.opens_at(self._turn, self._sleeper.now())

    async def sleep(self, until: float = _FOREVER) -> None:
        """Return when the driver is woken, when its turn may be admitted, or at *until* (loop seconds)."""
        await self._sleeper.sleep(min(until, self.opens_at()))

    def _wake(self) -> None:
        self._woken()
        self._sleeper.wake()

    def leave(self) -> None:
        """Give the turn back, if the claim has one: its read is not wanted any more."""
        self.pause()
        self._place = None

    def pause(self) -> None:
        """Give the turn back, if the claim has one, and keep its place."""
        turn, self._turn = self._turn, None
        if turn is not None:
            self._place = turn
            self._budget.leave(turn)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.pause()


class Turns:
    """
    The budget of one client, beside a clock: gives out claims, and passes on what answers say of the quota.

    A `Turns` is the `hpp_async._http.retry.Pace` of every request, DELETEs included, and counts the attempts. *draw*
    returns numbers that are uniform in [0, 1).
    """

    def __init__(self, budget: Budget, *, clock: Clock, draw: Callable[[], float], observers: Observers) -> None:
        self.clock = clock
        self.draw = draw
        self._budget = budget
        self._observers = observers
        self._pausing: set[Sleeper] = set()
        """The drivers that sleep between two attempts."""
        self._paused_until = -_FOREVER
        """When the last pause that observers were called with ends, in loop seconds."""
        self._logged_at = {True: -_FOREVER, False: -_FOREVER}
        """When a pause was last logged, in loop seconds: one after a 429, and one for the sake of the quota."""
        self.is_closed: bool = False

    @property
    def max_in_flight(self) -> int:
        """How many reads may be in flight at once."""
        return self._budget.max_in_flight

    @property
    def limits(self) -> ReadBudget:
        """The limits of the budget."""
        return self._budget.limits

    @property
    def is_schedule_next(self) -> bool:
        """Whether the schedule gets the next token where a read of the schedule and a new arrival both wait."""
        return self._budget.is_schedule_next

    def set_limits(self, limits: ReadBudget) -> None:
        """Change the limits of the budget, from now on."""
        self._budget.set_limits(limits, self.clock.now())

    def virtual(self) -> float:
        """Return the budget's virtual time now, in seconds; see `hpp_async._core.budget`."""
        return self._budget.virtual(self.clock.now())

    def lateness(self) -> float:
        """Return how far the budget's virtual time is behind the loop's, in seconds."""
        return self._budget.lateness(self.clock.now())

    def claim(self, sleeper: Sleeper, *, woken: Callable[[], object] = bool) -> Claim:
        """Return a new claim for the driver that sleeps in *sleeper*; for *woken* see `Claim`."""
        return Claim(self._budget, sleeper, woken)

    def close(self) -> None:
        """Wake all drivers that wait for a turn, so that they find the client closed, and end the pauses of `again`."""
        self.is_closed = True
        self._budget.wake_all()
        for sleeper in self._pausing:
            sleeper.wake()

    def forget(self) -> None:
        """Forget all turns and reads in flight: the event loop that they belonged to is gone."""
        self._budget.forget()
        self._pausing.clear()

    def release(self) -> None:
        """Note that a read that was admitted is over."""
        self._budget.release(self.clock.now())

    async def again(self, delay: float, kind: Kind = Kind.NEW_AGAIN) -> None:
        """
        Sleep for *delay* seconds, and then until the budget admits another attempt, before all that has not begun.

        *kind* says whose half of the tokens it counts against. Only its token counts: the attempt takes the place in
        flight of its read, so no `release` follows. If it is cancelled, its turn is given back.

        Raises:
            ClientClosedError: the client was closed, before or meanwhile.
        """
        sleeper = Sleeper(self.clock)
        until = self.clock.now() + delay
        self._pausing.add(sleeper)
        try:
            with self.claim(sleeper) as claim:
                while not self.is_closed:
                    is_due = self.clock.now() >= until
                    if is_due and claim.admit(kind):
                        return
                    await claim.sleep(_FOREVER if is_due else until)
        finally:
            self._pausing.discard(sleeper)
        raise ClientClosedError("no other attempt is made: the client was closed")

    def answered(self, quota: Quota, now: float, status_code: int) -> None:
        """Note the *quota* in a 2xx answer, which came at *now* (loop seconds): reads pause if little of it is left."""
        del status_code  # for `ReadTurns`
        until = self._budget.answered(quota, now)
        if until is not None:
            self._report(until, now, is_refused=False)

    def refused(self, retry_after: float | None, now: float) -> None:
        """Note a 429, received at *now* (loop seconds): all reads pause, for *retry_after* seconds if it says so."""
        until = self._budget.refused(retry_after, now)
        self._report(until, now, is_refused=True)

    def _report(self, until: float, now: float, *, is_refused: bool) -> None:
        added = max(0.0, until - max(now, self._paused_until))
        self._paused_until = max(until, self._paused_until)
        if now >= self._logged_at[is_refused] + _LOG_EVERY:
            self._logged_at[is_refused] = now
            if is_refused:
                _logger.warning("all reads pause for %.1f s: the provider refused a request with 429", until - now)
            else:
                _logger.info("all reads pause for %.1f s: little of the merchant's quota is left", until - now)
        self._observers.tell(BudgetPaused(seconds=until - now, added=added, is_refused=is_refused))


class ReadTurns:
    """The `hpp_async._http.retry.Pace` of one read: it counts the attempts, and has them admitted as the read was."""

    __slots__ = ("_again", "_turns", "attempts", "status_code")

    def __init__(self, turns: Turns, kind: Kind) -> None:
        self._turns = turns
        self._again = Kind.DUE_AGAIN if kind is Kind.DUE else Kind.NEW_AGAIN
        self.attempts: int = 1
        self.status_code: int | None = None
        """The HTTP status of the last attempt, if that is 2xx."""

    @property
    def draw(self) -> Callable[[], float]:
        """See `Turns`."""
        return self._turns.draw

    async def again(self, delay: float) -> None:
        """Count another attempt, and do as `Turns.again` does."""
        await self._turns.again(delay, self._again)
        self.attempts += 1
        self.status_code = None

    def answered(self, quota: Quota, now: float, status_code: int) -> None:
        """Note the *status_code*, and do as `Turns.answered` does."""
        self.status_code = status_code
        self._turns.answered(quota, now, status_code)

    def refused(self, retry_after: float | None, now: float) -> None:
        """Do as `Turns.refused` does."""
        self._turns.refused(retry_after, now)
