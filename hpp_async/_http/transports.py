"""Which connections a client gets: those of the client that it is lent, or its own."""

from __future__ import annotations

from collections.abc import Callable

from hpp_async._core.endpoint import Target
from hpp_async._core.exceptions import ConfigurationError
from hpp_async._http.connections import Connections, Lent, Owned
from hpp_async._http.environment import Environment
from hpp_async._http.family import HTTPClient, family, family_of


def connections_for(
    target: Target, http_client: HTTPClient | None, *, now: Callable[[], float], draw: Callable[[], float]
) -> Connections:
    """
    Return the connections to *target*: those of *http_client* if it is given.

    Raises:
        ConfigurationError: *http_client* is no client that can be used, or a variable of the environment is wrong.
    """
    if http_client is None:
        default = family("httpx")
        return Owned(Environment.of(target, default), default, now=now, draw=draw)
    lent = family_of(http_client)
    if lent is None:
        raise ConfigurationError(
            f"http_client is a {type(http_client).__name__}: give an httpx.AsyncClient or an httpx2.AsyncClient"
        )
    return Lent(http_client, lent)
