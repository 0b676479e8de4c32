"""A provider on a real socket: answers each request with the bytes a function returns."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import ByteStream, Listener
from anyio.streams.tls import TLSListener

from hpp_async.testing import Answer

Handler = Callable[[bytes, ByteStream], Awaitable[bytes]]
"""Gets a request's head; returns what goes onto the wire."""


def wire(answer: Answer) -> bytes:
    """Return *answer* as HTTP/1.1 bytes."""
    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status_code} X\r\n{lines}\r\n".encode() + answer.body


def request_of(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Return method, path and headers, with lower-case names, of a request's head."""
    line, *rest = head.decode().split("\r\n")
    method, path, _ = line.split(" ")
    headers = dict(header.split(": ", 1) for header in rest if header)
    return method, path, {name.lower(): value for name, value in headers.items()}


@asynccontextmanager
async def serve(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str]:
    """Serve on loopback, over TLS if there is a context for it; yields the base URL."""

    async def connection(stream: ByteStream) -> None:
        async with stream:
            buffer = b""
            try:
                while True:
                    while b"\r\n\r\n" not in buffer:
                        buffer += await stream.receive()
                    head, _, buffer = buffer.partition(b"\r\n\r\n")
                    await stream.send(await handler(head, stream))
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    over: Listener[Any] = listener if tls is None else TLSListener(listener, tls, standard_compatible=False)
    async with over, anyio.create_task_group() as tasks:
        tasks.start_soon(over.serve, connection)
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


async def run(coroutine: Awaitable[object]) -> None:
    """Await *coroutine*, a wait for one: what task groups start is a function."""
    await coroutine
