"""
A provider on real sockets that fails on purpose: a plan says what becomes of each request.

Behind the faults stands the model provider, so that whatever is not broken is right.
"""

from __future__ import annotations

import random
import socket
import ssl
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Self

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import SocketStream, TaskGroup, TaskStatus
from anyio.streams.tls import TLSStream
from exchange import LEAK, Exchange, Fault, Line
from support.servers import request_of, wire

from hpp_async._loop import Clock
from hpp_async.testing import Answer, Provider

_GONE: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)

# -- what comes next ---------------------------------------------------------------------------------------------------

Plan = Callable[[], Fault | None]
"""What becomes of the next request: a fault, or ``None``."""

Greeting = Callable[[Line], Awaitable[object]]
"""Does something to a connection before anything is read from it."""


def nothing() -> Fault | None:
    """Let the request be answered."""
    return None


def always(fault: Fault) -> Plan:
    return lambda: fault


def scripted(*faults: Fault | None, then: Plan = nothing) -> Plan:
    """Take *faults* one after the other, then go on as *then* says."""
    script = list(reversed(faults))
    return lambda: script.pop() if script else then()


def drawn(seed: int, share: float, *faults: Fault) -> Plan:
    """Draw one of *faults* for a *share* of the requests."""
    draw = random.Random(seed)
    return lambda: draw.choice(faults) if draw.random() < share else None


# -- the server --------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class FaultServer:
    """
    Serves *provider* on loopback, and does to each answer what *plan* says.

    Attributes:
        clock: what the requests are counted by.
        think: what to wait for before each answer.
        greet: what becomes of the next connection, before TLS; ``None``: nothing.
        elsewhere: another host, for redirects; nothing should ever arrive there.
        paths: of every request that arrived.
        moments: when it did, in the clock's seconds.
        busy, busiest: how many requests are being answered, and the most there ever were.
        done: how often each fault was done.
        lines: the connections that are open.
    """

    provider: Provider
    clock: Clock
    plan: Plan = nothing
    think: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint
    draw: random.Random = attrs.field(factory=lambda: random.Random(0))
    tls: ssl.SSLContext | None = None
    greet: Callable[[], Greeting | None] = lambda: None
    elsewhere: str = "https://elsewhere.example"
    paths: list[str] = attrs.field(init=False, factory=list[str])
    moments: list[float] = attrs.field(init=False, factory=list[float])
    busy: int = attrs.field(init=False, default=0)
    busiest: int = attrs.field(init=False, default=0)
    done: Counter[Fault] = attrs.field(init=False, factory=Counter[Fault])
    lines: set[Line] = attrs.field(init=False, factory=set[Line])
    _said: dict[str, list[Answer]] = attrs.field(init=False, factory=dict[str, list[Answer]])
    _sent: int = attrs.field(init=False, default=0)
    _port: int = attrs.field(init=False, default=0)
    _hung_up: anyio.Event = attrs.field(init=False, factory=anyio.Event)
    _listening: anyio.CancelScope = attrs.field(init=False, factory=anyio.CancelScope)
    _tasks: TaskGroup = attrs.field(init=False)

    @property
    def url(self) -> str:
        return f"http{'' if self.tls is None else 's'}://127.0.0.1:{self._port}"

    @property
    def sent(self) -> int:
        """Bytes, over all connections."""
        return self._sent + sum(line.sent for line in self.lines)

    async def wait_until_left(self) -> None:
        """Return when no connection is open."""
        while self.lines:
            await self._hung_up.wait()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Self]:
        """Serve meanwhile."""
        with reserved_port() as self._port:
            async with anyio.create_task_group() as self._tasks:
                await self.listen()
                yield self
                self._tasks.cancel_scope.cancel()

    async def listen(self) -> None:
        """Serve until `refuse`, or to the end."""
        await self._tasks.start(self._listen)

    async def _listen(self, *, task_status: TaskStatus[None]) -> None:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self._port) as listener:
            with anyio.CancelScope() as self._listening:
                task_status.started()
                await listener.serve(self._serve)

    def refuse(self) -> None:
        """Close every connection, and refuse new ones until somebody calls `listen`."""
        self._listening.cancel()

    async def _serve(self, stream: SocketStream) -> None:
        line = Line(stream)
        self.lines.add(line)
        try:
            greeting = self.greet()
            if greeting is not None:
                await greeting(line)
                return
            if self.tls is not None:
                line.stream = await TLSStream.wrap(
                    stream, server_side=True, ssl_context=self.tls, standard_compatible=False
                )
            await self._talk(line)
        except _GONE:
            pass
        finally:
            with anyio.CancelScope(shield=True):
                await stream.aclose()
            self._sent += line.sent
            self.lines.discard(line)
            self._hung_up.set()
            self._hung_up = anyio.Event()

    async def _talk(self, line: Line) -> None:
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                buffer += await line.stream.receive()
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            line.requests += 1
            await self._answer(line, *request_of(head))

    async def _answer(self, line: Line, method: str, path: str, headers: dict[str, str]) -> None:
        self.paths.append(path)
        self.moments.append(self.clock.now())
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await self.think()
            await self._say(line, path, self.provider.answer(method, path, headers))
        finally:
            self.busy -= 1

    async def _say(self, line: Line, path: str, answer: Answer) -> None:
        said = self._said.setdefault(path, [])
        fault = self.plan()
        if fault is None:
            await line.send(wire(answer))
        else:
            self.done[fault] += 1
            await fault(
                Exchange(line=line, answer=answer, elsewhere=self.elsewhere, earlier=tuple(said), draw=self.draw)
            )
        said.append(answer)


@contextmanager
def reserved_port() -> Generator[int]:
    """Keep a port on loopback, on which the block may listen, stop, and listen again."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        if sys.platform != "linux":
            place.close()  # elsewhere one who only holds a port is in the way of one who listens on it
        yield port


# -- connections that fail before a request ----------------------------------------------------------------------------


async def _banner(line: Line) -> None:
    await line.send(b"SSH-2.0-OpenSSH_9.2 " + LEAK + b"\r\n")
    await line.hang()


GREETINGS: Final[dict[str, Greeting]] = {
    "closed at once": Line.close,
    "reset at once": Line.reset,
    "silent": Line.hang,
    "speaks first": _banner,
}
