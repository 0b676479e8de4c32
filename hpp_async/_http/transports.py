"""Which connections an `HPPClient` uses: those of a lent ``http_client``, or its own, over the chosen transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, get_args

from hpp_async._core.endpoint import Target
from hpp_async._core.exceptions import ConfigurationError
from hpp_async._extras import with_extra
from hpp_async._http.connections import Connections, Lent, Owned
from hpp_async._http.environment import Environment
from hpp_async._http.family import HTTPClient, family, family_of

TransportName = Literal["httpx", "httpx2", "aiohttp"]
"""The package that makes a client's own connections."""

_NAMES: Final[tuple[str, ...]] = get_args(TransportName)


def connections_for(
    target: Target,
    http_client: HTTPClient | None,
    transport: TransportName,
    *,
    now: Callable[[], float],
    draw: Callable[[], float],
) -> Connections:
    """
    Return the connections to *target*: those of *http_client* if it is given; else new ones, over *transport*.

    Raises:
        ConfigurationError: *http_client* is no client that can be used, or *transport* is given beside it; *transport*
            is unknown, or its package is not installed; or a variable of the environment is wrong.
    """
    if transport not in _NAMES:
        raise ConfigurationError(f"transport={transport!r}: give one of {', '.join(map(repr, _NAMES))}")
    if http_client is None:
        return _own(target, transport, now=now, draw=draw)
    if transport != "httpx":
        raise ConfigurationError(
            f"transport={transport!r} has no effect on an http_client that is lent: give one of the two"
        )
    lent = family_of(http_client)
    if lent is None:
        raise ConfigurationError(
            f"http_client is a {type(http_client).__name__}: give an httpx.AsyncClient or an httpx2.AsyncClient"
        )
    return Lent(http_client, lent)


def _own(
    target: Target, transport: TransportName, *, now: Callable[[], float], draw: Callable[[], float]
) -> Connections:
    try:
        if transport != "aiohttp":
            own = family(transport)
            return Owned(Environment.of(target, own), own, now=now, draw=draw)
        from hpp_async._http import over_aiohttp  # noqa: PLC0415 - it needs the extra, and takes long to load
    except ImportError:
        raise ConfigurationError(
            f"transport={transport!r} needs a package that is not installed: {with_extra(transport)}"
        ) from None
    own = family("httpx")
    environment = Environment.of(target, own)
    over_aiohttp.load_ahead(environment, own)
    return Owned(environment, own, over_aiohttp.transport, now=now, draw=draw)
