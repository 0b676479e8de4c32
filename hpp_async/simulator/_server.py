"""An HTTP server on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from functools import partial
from os import PathLike
from typing import Final, cast

import anyio
import uvicorn

from hpp_async import ConfigurationError
from hpp_async.simulator._app import application
from hpp_async.simulator._calls import call
from hpp_async.simulator._connections import Connection
from hpp_async.simulator._journal import Journal, shown_path
from hpp_async.simulator._state import StateFile, state_file
from hpp_async.testing import Provider


class _WithoutTokens(logging.Filter):
    """Takes authorization tokens and queries out of the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        client, method, path, *rest = cast("tuple[str, ...]", record.args)
        record.args = (client, method, shown_path(method, path), *rest)
        return True


_SAVE_EVERY: Final = 0.05
_ACCESS: Final = logging.getLogger("uvicorn.access")


@contextmanager
def _discreet() -> Generator[None]:
    discretion = _WithoutTokens()
    _ACCESS.addFilter(discretion)
    try:
        yield
    finally:
        _ACCESS.removeFilter(discretion)


@contextmanager
def serve(
    provider: Provider, *, host: str = "127.0.0.1", port: int = 0, state: str | PathLike[str] | None = None
) -> Generator[str]:
    """
    Serve *provider* at *host*, a loopback address; yield the base URL, which is also set as the provider's.

    In a container *host* is ``0.0.0.0`` or ``::``. Then every machine that reaches the port can control the provider,
    and answers have the URLs of the host that is asked. The base URL is the one on this machine.

    *port* 0 takes any free port. Connections are accepted as soon as the URL is yielded. The server runs in a thread of
    its own, which ends with the context, so the code in the context can use any event loop, or none. Status callbacks
    are posted to ``merchant_urls.status_update`` only if that is on a loopback host.

    *state* is a file in which sessions, payment sessions, orders and the time survive the end of the server; what is in
    it replaces the sessions that *provider* has. An answer is sent after what it says is in the file.

    Raises:
        ConfigurationError: other machines could reach *host*, *port* is not free, or *state* cannot be used.
    """
    kept = nullcontext() if state is None else state_file(provider, state)
    with _discreet(), kept as file, _listener(host, port) as listener:
        address, port = _reached_at(*listener.getsockname()[:2])
        url = provider.base_url = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
        journal = Journal()
        app = application(provider, served_as=host, journal=journal)
        # The provider's answers have a Date of their own, and need no header of uvicorn's.
        config = uvicorn.Config(
            app if file is None else file.saving(app),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        # In the main thread, uvicorn would take over the handling of signals.
        thread = threading.Thread(
            target=lambda: asyncio.run(_serve(server, listener, provider, journal, file)),
            name="hpp_async simulator",
            daemon=True,
        )
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


async def _serve(
    server: uvicorn.Server, listener: socket.socket, provider: Provider, journal: Journal, file: StateFile | None
) -> None:
    async with anyio.create_task_group() as tasks:
        if file is None:
            tasks.start_soon(call, provider, journal)
        else:
            tasks.start_soon(partial(call, provider, journal, changed=file.mark))
            tasks.start_soon(_keep, file)
        await server.serve(sockets=[listener])
        tasks.cancel_scope.cancel()


async def _keep(file: StateFile) -> None:
    """Save what changes without a request: by callbacks, and by other threads."""
    while True:
        file.save_if_marked()
        await anyio.sleep(_SAVE_EVERY)


def _reached_at(address: str, port: int) -> tuple[str, int]:
    """Return where a server that listens at *address* can be reached on this machine."""
    ip = ipaddress.ip_address(address)
    return ("127.0.0.1" if ip.version == 4 else "::1") if ip.is_unspecified else address, port


def _listener(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"port={port!r}: give a port from 1 to 65535, or 0 for any free port")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        ip = ipaddress.ip_address(address[0])
        if not (ip.is_loopback or ip.is_unspecified):
            raise ConfigurationError(
                f"host={host!r}: other machines could reach it; give 127.0.0.1 or localhost (0.0.0.0 in a container)"
            )
        return socket.create_server(address[:2], family=family)
    except (socket.gaierror, UnicodeError) as error:  # the latter where it cannot be a name: a..b
        raise ConfigurationError(
            f"host={host!r}: the name is not known; give 127.0.0.1 or localhost (0.0.0.0 in a container)"
        ) from error
    except OSError as error:
        reason, _, _ = str(error.strerror).partition(" (")
        raise ConfigurationError(
            f"cannot listen on host={host!r}, port={port} ({reason}): give another port, or 0 for any free port"
        ) from error
