"""One connection and one exchange over it, in the hands of a fault."""

from __future__ import annotations

import json
import random
import struct
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from socket import SO_LINGER, SOL_SOCKET
from types import MappingProxyType
from typing import Final

import attrs
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream
from support.servers import wire

from hpp_async.testing import Answer

AUTH: Final = ("user", "s3cret-password")
SECRETS: Final = (b64encode(":".join(AUTH).encode()).decode(), AUTH[1], "s3cret-token", "Secretsson", "19010101-s3cret")
"""What no log, message or event may show: the credentials as sent and as given, a token, personal data."""

FIELDS: Final[Mapping[str, object]] = {
    "authorization_token": SECRETS[2],
    "customer": {"family_name": SECRETS[3], "national_identification_number": SECRETS[4]},
}
"""Goes into every body, the broken ones too."""

LEAK: Final = " ".join(SECRETS[2:]).encode()
"""The same for what is no session."""


@attrs.define(eq=False)
class Line:
    """One connection, as a fault handles it."""

    stream: ByteStream
    requests: int = 0
    sent: int = 0

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)
        self.sent += len(data)

    async def close(self) -> None:
        await self.stream.aclose()

    async def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        raw = self.stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        stream = self.stream.transport_stream if isinstance(self.stream, TLSStream) else self.stream
        transport = getattr(stream, "_transport", None)
        if transport is not None:  # closing a stream of asyncio's says goodbye first
            transport.abort()
        await stream.aclose()

    async def hang(self) -> None:
        """Say nothing more, until the other side hangs up."""
        while True:
            await self.stream.receive()


@attrs.frozen(kw_only=True)
class Exchange:
    """One request and the right answer to it, in the hands of a fault."""

    line: Line
    answer: Answer
    elsewhere: str
    earlier: tuple[Answer, ...]
    draw: random.Random

    @property
    def head(self) -> bytes:
        return wire(self.answer).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    @property
    def body(self) -> bytes:
        return self.answer.body

    def fields(self, **changes: object) -> bytes:
        """Return the body with other fields."""
        return json.dumps({**json.loads(self.body), **changes}).encode()

    async def say(
        self, body: bytes, *, status: int = 200, more: Mapping[str, str] = MappingProxyType({}), **headers: str
    ) -> None:
        """Answer with another body, status or headers, and a length that is right."""
        said = {**self.answer.headers, **named(**headers), **more}
        await self.line.send(wire(Answer(status_code=status, headers=said, body=body)))

    async def frame(self, framing: str, body: bytes) -> None:
        """Answer with *framing* in place of the length, and *body* as it stands."""
        head, _, _ = self.head.partition(b"Content-Length")
        await self.line.send(head + framing.encode() + b"\r\n\r\n" + body)


def named(**headers: str) -> dict[str, str]:
    """Return *headers* under the names that they have on the wire."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


Fault = Callable[[Exchange], Awaitable[object]]
"""Does to an answer what it is called, on the wire."""
