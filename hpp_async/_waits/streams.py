"""
The streams of one client, and how a server that shuts down ends them all.

A stream is an iteration of `OutcomeWait.updates`. A server waits for its open responses before it shuts down, and a
stream lasts as long as its session: up to two days.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress

import anyio

from hpp_async._loop import Soon, soon


class Streams:
    """The streams of one client: their steps that are under way, each with the way into its event loop."""

    def __init__(self) -> None:
        self.are_stopped: bool = False
        self._steps: dict[anyio.CancelScope, Soon] = {}

    @contextmanager
    def step(self) -> Generator[None]:
        """
        Let `stop` cancel what runs in the block.

        Check ``are_stopped`` first in the block: a call of `stop` before the block began cannot cancel it.
        """
        with anyio.CancelScope() as scope:
            self._steps[scope] = soon()
            try:
                yield
            finally:
                del self._steps[scope]

    def stop(self) -> None:
        """End all streams, later ones included. It can be called from any thread and from a signal handler."""
        self.are_stopped = True
        for scope, call_soon in list(self._steps.items()):
            with suppress(RuntimeError):  # the event loop was closed, and the step was lost with it
                call_soon(scope.cancel)
