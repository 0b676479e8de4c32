"""
A provider that gives the same answer to every read, and to every create: over HTTP, or in memory (reads only).

Over HTTP it runs in a process of its own, so that only the client's CPU is measured: `python -m benchmarks.provider`
prints its port. In memory no network hides what the client costs; the body is streamed, as from a network.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Final

import httpx

from hpp_async import ReadBudget

SESSION_ID: Final = "39a1c773-bafd-754d-af1f-b30c592f1267"
AUTH: Final = ("benchmark", "not-a-secret")

UNLIMITED: Final = ReadBudget(reads_per_second=1_000_000)
"""For our client: we measure what reads cost, not how long they queue."""

_COUNT: Final = "/count"
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")


def wait_id(reads: int, number: object) -> str:
    """Return the id of a session whose last of *reads* reads shows COMPLETED."""
    return f"wait-{reads}-{number}"


def _last_read_of(session_id: str) -> float:
    kind, _, rest = session_id.partition("-")
    return int(rest.partition("-")[0]) if kind == "wait" else math.inf


def body_of(session_id: str, status: str = "IN_PROGRESS") -> bytes:
    """Return the example of the provider's read page, with an expiry in the far future."""
    dates = {"updated_at": "2026-01-15T14:52:57.540Z", "expires_at": "2099-05-15T13:51:43.507Z"}
    token = {"authorization_token": "a1a8f727-2756-6058-bd3c-40069be0994b"} if status == "COMPLETED" else {}
    return json.dumps({"session_id": session_id, "status": status, **dates, **token}).encode()


def headers_of(body: bytes) -> dict[str, str]:
    return {
        "Date": formatdate(usegmt=True),
        "Content-Type": "application/json;charset=utf-8",
        "Content-Length": str(len(body)),
        "Klarna-Correlation-Id": "7b1d2a5e-0c44-4a67-9f3e-1c2f6d0b8a11",
        "X-Ratelimit-Limit": "200, 200;w=1",
        "X-Ratelimit-Remaining": "199",
        "X-Ratelimit-Reset": "1",
        "Cache-Control": "no-cache, no-store, max-age=0, must-revalidate",
    }


class InMemory(httpx.AsyncBaseTransport):
    """The provider as an httpx transport; ``reads`` counts the requests that arrived."""

    def __init__(self) -> None:
        self.reads = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.reads += 1
        body = body_of(request.url.path.rpartition("/")[2])
        return httpx.Response(200, headers=headers_of(body), stream=_Stream(body))


class _Stream(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


@contextmanager
def over_http() -> Generator[str]:
    """Run the provider in a process of its own, and give its base URL."""
    with subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


async def reads_at(base_url: str) -> int:
    """Return how many reads arrived at the provider."""
    async with httpx.AsyncClient() as client:
        return int((await client.get(base_url + _COUNT)).text)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive: a GET reads a session, and a POST creates one."""

    def __init__(self, reads: Counter[str]) -> None:
        self._reads = reads
        self._created = _response(201, _created())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            method, path, *_ = head.split(b" ", 2)
            length = 0 if method == b"GET" else int(_LENGTH.findall(head)[0])
            if len(rest) < length:
                break
            self._received = rest[length:]
            self._transport.write(self._answer(path.decode()) if method == b"GET" else self._created)

    def _answer(self, path: str) -> bytes:
        if path == _COUNT:
            body = str(self._reads.total()).encode()
        else:
            session_id = path.rpartition("/")[2]
            self._reads[session_id] += 1
            is_over = self._reads[session_id] >= _last_read_of(session_id)
            body = body_of(session_id, "COMPLETED" if is_over else "IN_PROGRESS")
        return _response(200, body)


def _response(status_code: int, body: bytes) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers_of(body).items())
    return f"HTTP/1.1 {status_code} OK\r\n{head}\r\n".encode() + body


def _created() -> bytes:
    """Return the example of the provider's page on creating a session."""
    session = f"https://api.klarna.com/hpp/v1/sessions/{SESSION_ID}"
    return json.dumps(
        {
            "session_id": SESSION_ID,
            "session_url": session,
            "redirect_url": "https://pay.klarna.com/eu/hpp/payments/2OCkffK",
            "qr_code_url": "https://pay.klarna.com/eu/hpp/payments/2OCkffK/qr",
            "distribution_url": f"{session}/distribution",
            "expires_at": "2099-05-15T13:51:43.507Z",
        }
    ).encode()


async def _serve() -> None:
    reads: Counter[str] = Counter()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(reads), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
