"""
Calls that go on without their caller: the caller may be cancelled, and the answer is kept.

Such a call runs in a task of the client, as a read does. Its caller waits for it to finish. If the caller is cancelled
meanwhile, the call goes on, and what it made is logged with its id: so nothing is made that nobody can find.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, cast

from hpp_async._core.budget import Kind
from hpp_async._core.exceptions import ClientClosedError, HPPError, TransportError
from hpp_async._loop import Sleeper
from hpp_async._waits.turns import Turns
from hpp_async._waits.work import T, Work

_logger = logging.getLogger("hpp_async")


class _Call(Work[T]):
    """One call around the wait."""

    __slots__ = ("is_abandoned", "said", "turns", "what")

    def __init__(self, turns: Turns, what: str, said: Callable[[T], str]) -> None:
        super().__init__()
        self.turns = turns
        self.what = what
        self.said = said
        self.is_abandoned = False
        """Whether the caller was cancelled while it waited."""

    def outcome(self) -> T:
        """
        Return the result.

        Raises:
            Exception: why there is none.
        """
        if isinstance(self.failure, ClientClosedError):
            raise ClientClosedError(f"{self.what}: the client was closed before the answer came; it may be done")
        if self.failure is not None:
            raise self.failure
        if self.is_dropped:
            raise TransportError(f"{self.what}: no answer (the request was cancelled); it may be done", session_id=None)
        return cast("T", self.value)

    def log(self) -> None:
        """Log what became of the call, because nobody waits for it."""
        if self.is_dropped or isinstance(self.failure, ClientClosedError):
            _logger.warning("%s: no answer, and the caller was cancelled; it may be done", self.what)
        elif self.failure is not None:
            # What a lent client's hook raises is not ours, and may hold anything.
            why = str(self.failure) if isinstance(self.failure, HPPError) else type(self.failure).__name__
            _logger.warning("%s: it failed after the caller was cancelled: %s", self.what, why)
        else:
            _logger.warning("%s after the caller was cancelled", self.said(cast("T", self.value)))


class Detached:
    """
    The calls of one client that go on without their callers.

    *enter* notes that the client is used in the running loop; it raises `RuntimeError` where another one runs.
    *task_context* returns the context variables for the task of a call; ``None``: the usual ones.
    """

    def __init__(self, *, enter: Callable[[], None], task_context: Callable[[], Context | None] = lambda: None) -> None:
        self._enter = enter
        self._task_context = task_context
        self._in_flight: set[_Call[Any]] = set()

    @property
    def in_flight(self) -> int:
        """How many calls are in flight."""
        return len(self._in_flight)

    async def run(
        self,
        operation: Callable[[Turns], Awaitable[T]],
        *,
        turns: Turns,
        what: str,
        said: Callable[[T], str],
    ) -> T:
        """
        Run *operation* once its turn has come, and return what it returns.

        If the caller is cancelled before that turn, nothing is sent. Later the call goes on.

        Args:
            operation: gets *turns*, to count its attempts.
            turns: the budget that the call counts against.
            what: what is called, for messages.
            said: says that a result is there, with its id, for the log.

        Raises:
            HPPError: the operation failed. `TransportError` also if its task was cancelled.
            ClientClosedError: the client was closed, before or meanwhile.
            RuntimeError: the client is in use in another event loop, which is running.
        """
        self._enter()
        caller = Sleeper(turns.clock)
        with turns.claim(caller) as claim:
            _check_open(turns, what)
            while not claim.admit(Kind.URGENT):
                await claim.sleep()
                _check_open(turns, what)
            call = self._start(operation, _Call(turns, what, said))
            try:
                await call.finished(caller)
            except BaseException:
                call.is_abandoned = True
                if call.finished_at is not None:
                    call.log()
                raise
        return call.outcome()

    def forget(self) -> None:
        """Drop the calls in flight: the event loop that they belonged to is gone."""
        for call in list(self._in_flight):
            self._finish(call)

    async def aclose(self) -> None:
        """Return when no call is in flight. The exchanges are ended, and the turns closed, by somebody else."""
        while self._in_flight:
            call = next(iter(self._in_flight))
            await call.finished(Sleeper(call.turns.clock))

    # -- a call -------------------------------------------------------------------------------------------------------

    def _start(self, operation: Callable[[Turns], Awaitable[T]], call: _Call[T]) -> _Call[T]:
        self._in_flight.add(call)
        call.start(
            lambda: operation(call.turns),
            f"hpp_async {call.what}",
            finish=lambda: self._finish(call),
            context=self._task_context(),
        )
        return call

    def _finish(self, call: _Call[Any]) -> None:
        if call.finished_at is not None:
            return
        call.finished_at = call.turns.clock.now()
        self._in_flight.discard(call)
        call.turns.release()
        if call.is_abandoned:
            call.log()
        call.wake()


def _check_open(turns: Turns, what: str) -> None:
    if turns.is_closed:
        raise ClientClosedError(f"{what}: nothing was sent, as the client was closed")
