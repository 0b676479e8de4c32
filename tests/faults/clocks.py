"""Clocks for tests that use real sockets, and sleep through nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import httpx
import httpx2

from hpp_async._http.connections import Connection
from hpp_async.testing import VirtualClock

START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
_EXCHANGE: Final = object()
"""What stands in the clock's list of busy tasks for each exchange, which one task can begin and another one end."""


class StillClock(VirtualClock):
    """
    Virtual time that also stands still while an exchange is on the wire.

    So a request arrives, by this clock, in the very moment in which it was sent, however busy the machine is: what the
    server counts is exactly what the client did.

    Attributes:
        set_ahead: by how much somebody set this machine's calendar.
        requests: when each request was sent, whether or not it arrived.
    """

    def __init__(self) -> None:
        super().__init__(START)
        self.set_ahead = timedelta(0)
        self.requests: list[float] = []

    def today(self) -> datetime:
        """Return this machine's calendar."""
        return super().today() + self.set_ahead

    def watch(self, connection: Connection) -> None:
        """Stand still during the exchanges over *connection*."""
        send = connection.send

        async def watched(request: httpx.Request) -> httpx.Response:
            self.requests.append(self.now())
            self.began()
            try:
                response = await send(request)
            except BaseException:
                self.ended()
                raise
            assert isinstance(response.stream, httpx.AsyncByteStream | httpx2.AsyncByteStream)
            response.stream = _WatchedStream(response.stream, self)
            return response

        connection.send = watched

    def began(self) -> None:
        """Note that an exchange began."""
        self._busy.append(_EXCHANGE)

    def ended(self) -> None:
        """Note that an exchange is over."""
        self._busy.remove(_EXCHANGE)
        self._tick()

    async def take(self, seconds: float) -> None:
        """Let the exchange that is on the wire take *seconds*; the client must not give it up meanwhile."""
        self.ended()
        try:
            await self.sleep(seconds)
        finally:
            self.began()


class _WatchedStream(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, clock: StillClock) -> None:
        self._stream = stream
        self._clock = clock
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            if not self._is_over:
                self._is_over = True
                self._clock.ended()


class FastClock:
    """The loop's clock, *speed* times as fast: for what has to happen while something else hangs."""

    def __init__(self, speed: float = 500.0) -> None:
        self._speed = speed
        self._started_at: float | None = None

    def now(self) -> float:
        return anyio.current_time() * self._speed

    def today(self) -> datetime:
        return self.provider_time()

    def provider_time(self) -> datetime:
        now = self.now()
        if self._started_at is None:
            self._started_at = now
        return START + timedelta(seconds=now - self._started_at)

    async def wait(self, event: anyio.Event, until: float) -> None:
        with anyio.move_on_after((until - self.now()) / self._speed):
            await event.wait()
