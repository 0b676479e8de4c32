"""Whether a store can be used here and now: it runs on asyncio, in one event loop at a time, until it is closed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Final

from hpp_async import HPPError
from hpp_async._loop import Home

logger: Final = logging.getLogger("hpp_async.fleet")

_COMPLAIN_EVERY: Final = 60.0
"""Seconds between two warnings that the database cannot be reached: thousands may wait for it."""


class StoreClosedError(HPPError):
    """The fleet's store was closed: before this call, or while the call was waiting or working."""


class Lifetime:
    """
    The event loop that a store is used in, and whether it is closed.

    *moved* is called when the store is used in another loop than before, which is gone. It drops what belonged to that
    loop, and is told whether that was in the parent process, from which this one was forked.
    """

    def __init__(self, store: object, moved: Callable[[bool], object]) -> None:
        self._store = store
        self._moved = moved
        self._home = Home(self._has_moved, owner=type(store).__name__)
        self._process = os.getpid()
        self._complained_at = float("-inf")
        self.is_closed: bool = False

    def enter(self) -> None:
        """
        Note that the store is used in the running event loop.

        Raises:
            StoreClosedError: it was closed.
            RuntimeError: this is not asyncio, or the store is in use in another event loop, which is running.
        """
        if self.is_closed:
            raise StoreClosedError(f"{self._store!r} was closed: close it once work and all waits have ended")
        self.move()

    def move(self) -> None:
        """Do the same for a store that may be closed."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            refusal = "hpp_async.fleet runs on asyncio only, and this is another event loop, such as trio's"
        else:
            self._home.enter()
            self._process = os.getpid()
            return
        raise RuntimeError(refusal)

    def _has_moved(self) -> None:
        self._complained_at = float("-inf")
        self._moved(os.getpid() != self._process)

    def complain(self, error: Exception) -> None:
        """Log that those who wait cannot look, and why; at most once a minute."""
        now = asyncio.get_running_loop().time()
        if now >= self._complained_at + _COMPLAIN_EVERY:
            self._complained_at = now
            logger.warning("waits cannot look at the database, and go on trying: %s", " ".join(str(error).split()))
