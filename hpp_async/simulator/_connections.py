"""Connections of the server that can be broken on purpose: ASGI has no message for that."""

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
"""The open connections by their two addresses, by which the connection of an ASGI scope is found."""
# SO_LINGER with 0 seconds: unsent data is discarded, and the other side gets a reset.
_AT_ONCE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Connection(H11Protocol):
    """A connection of uvicorn's that can be found by a request's scope, and does not delay the end of the server."""

    is_held = False
    """Whether a fault keeps its request without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Register the connection."""
        super().connection_made(transport)
        self._ends = _ends(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        _OPEN[self._ends] = self

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        _OPEN.pop(self._ends, None)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection after its answer, or at once if no answer will come."""
        super().shutdown()
        if self.is_held:
            self.transport.abort()


def _ends(client: object, server: object) -> _Ends:
    # An IPv6 address has four parts; a scope has the first two of them.
    return cast("tuple[str, int]", client)[:2], cast("tuple[str, int]", server)[:2]


def _connection(scope: Scope) -> Connection | None:
    client, server = scope.get("client"), scope.get("server")
    return _OPEN.get(_ends(client, server)) if client and server else None


def hold(scope: Scope, *, is_held: bool = True) -> None:
    """Note whether the connection of the request in *scope* stays without an answer for now."""
    connection = _connection(scope)
    if connection is not None:
        connection.is_held = is_held


def close(scope: Scope, *, is_reset: bool) -> None:
    """
    Close the connection of the request in *scope*, with a TCP reset if *is_reset*.

    Raises:
        ConnectionResetError: the connection belongs to another server than `serve`'s; that server has to close it.
    """
    connection = _connection(scope)
    if connection is None:
        raise ConnectionResetError("the simulated provider broke the connection")
    if is_reset:
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        connection.transport.abort()
    else:
        connection.transport.close()
