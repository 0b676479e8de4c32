"""Connections that can be broken on purpose, which ASGI has no word for."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Final, cast

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

_Ends = tuple[tuple[str, int], tuple[str, int]]
_OPEN: Final[dict[_Ends, Connection]] = {}
"""The open connections by their two ends, which an ASGI scope knows too."""
# No lingering: what is unsent is thrown away, and the other side gets a reset.
_AT_ONCE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Connection(H11Protocol):
    """uvicorn's, but that it can be found by the scopes of its requests, and does not hold up the server's end."""

    is_held = False
    """Whether a fault keeps its request from being answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Take note of it."""
        super().connection_made(transport)
        self._ends = _ends(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        _OPEN[self._ends] = self

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        _OPEN.pop(self._ends, None)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End it as soon as its answer is out: now, where none is going to come."""
        super().shutdown()
        if self.is_held:
            self.transport.abort()


def _ends(client: object, server: object) -> _Ends:
    # IPv6 addresses have more parts than a scope has of them.
    return cast("tuple[str, int]", client)[:2], cast("tuple[str, int]", server)[:2]


def _connection(scope: Scope) -> Connection | None:
    client, server = scope.get("client"), scope.get("server")
    return _OPEN.get(_ends(client, server)) if client and server else None


def hold(scope: Scope, *, is_held: bool = True) -> None:
    """Let the connection of the request in *scope* be one that nothing is waited for on, or no more."""
    connection = _connection(scope)
    if connection is not None:
        connection.is_held = is_held


def close(scope: Scope, *, is_reset: bool) -> None:
    """
    Close the connection of the request in *scope*, with a TCP reset or in an orderly way.

    Raises:
        ConnectionResetError: it is not one of this simulator's own server; whatever serves it sees to the rest.
    """
    connection = _connection(scope)
    if connection is None:
        raise ConnectionResetError("the simulated provider broke the connection")
    if is_reset:
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        connection.transport.abort()
    else:
        connection.transport.close()
