"""
The streams of one client, which all end when their server is told to stop.

A stream is an iteration of `OutcomeWait.updates`. A server waits for its open answers before it shuts down, and a
stream lasts as long as its session: up to two days.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress

import anyio

from hpp_async._loop import Soon, soon


class Streams:
    """The steps of streams that are under way, each with the way into its event loop."""

    def __init__(self) -> None:
        self.are_stopped: bool = False
        self._steps: dict[anyio.CancelScope, Soon] = {}

    @contextmanager
    def step(self) -> Generator[None]:
        """Let `stop` cut off what runs in the block. Look at ``are_stopped`` there first: then no stop is missed."""
        with anyio.CancelScope() as scope:
            self._steps[scope] = soon()
            try:
                yield
            finally:
                del self._steps[scope]

    def stop(self) -> None:
        """End all streams, those that begin later included; from any thread, and from a signal handler."""
        self.are_stopped = True
        for scope, call_soon in list(self._steps.items()):
            with suppress(RuntimeError):  # the event loop is over, and the step with it
                call_soon(scope.cancel)
