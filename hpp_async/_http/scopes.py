"""The cancel scopes of exchanges: all end after the same number of seconds, and one timer serves them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import anyio

from hpp_async._loop import running_loop

_FOREVER: Final = float("inf")


class Scopes:
    """
    The scopes of the exchanges under way: each is cancelled *seconds* after it began, or by `cancel_all`.

    All have the same length, so they end in the order in which they began. On asyncio there is one timer, for the
    oldest scope; when it fires, it is set again for the scope that is the oldest then. A timer for each scope would
    take a thirtieth of the time of a read. On trio each scope has a deadline of its own, which costs next to nothing.
    """

    __slots__ = ("_call_at", "_deadlines", "_is_timed", "_make", "_seconds", "_time")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadlines: dict[anyio.CancelScope, float] = {}
        """When each scope under way ends, in the seconds of the running loop; the oldest scope comes first."""
        self._is_timed = False
        """Whether the timer is set."""
        self._make: Callable[..., anyio.CancelScope] | None = None
        """The class of anyio's scopes for the running loop. `anyio.CancelScope` would look it up for each scope."""
        self._time: Callable[[], float] = anyio.current_time
        self._call_at: Callable[[float, Callable[[], None]], object] | None = None
        """asyncio's ``call_at``; ``None`` on trio."""

    def begin(self) -> anyio.CancelScope:
        """Return a new scope, for the caller to enter at once. When it was left, `end` must be called."""
        make = self._make or self._enter_loop()
        deadline = self._time() + self._seconds
        if self._call_at is None:
            scope = make(deadline=deadline)
        else:
            scope = make()
            if not self._is_timed and deadline < _FOREVER:
                self._call_at(deadline, self._is_due)
                self._is_timed = True
        self._deadlines[scope] = deadline
        return scope

    def end(self, scope: anyio.CancelScope) -> None:
        """Note that *scope* was left."""
        self._deadlines.pop(scope, None)

    def cancel_all(self) -> None:
        """Cancel every scope that is under way."""
        for scope in list(self._deadlines):
            scope.cancel()

    def forget(self) -> None:
        """Forget the scopes and the timer, because their event loop is gone."""
        self._deadlines.clear()
        self._is_timed, self._make = False, None

    def _enter_loop(self) -> Callable[..., anyio.CancelScope]:
        loop: Any = running_loop()
        self._make = type(anyio.CancelScope())
        self._time = getattr(loop, "time", anyio.current_time)
        self._call_at = getattr(loop, "call_at", None)
        return self._make

    def _is_due(self) -> None:
        self._is_timed = False
        now = self._time()
        for scope, deadline in list(self._deadlines.items()):
            if deadline > now:
                assert self._call_at is not None, "a timer has fired, so this is asyncio"
                self._call_at(deadline, self._is_due)
                self._is_timed = True
                return
            scope.cancel()
