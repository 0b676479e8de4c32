"""Fixtures for tests of code that waits for sessions, in virtual time: `hpp_provider` and `hpp_client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import Literal

import httpx
import pytest

from hpp_async import HPPClient
from hpp_async.testing._clock import VirtualClock
from hpp_async.testing._transport import ScriptedProvider


@pytest.fixture
def hpp_provider() -> ScriptedProvider:
    """
    Give a provider of sessions, in memory and in virtual time: see `hpp_async.testing.ScriptedProvider`.

    ``hpp_provider.add(…)`` adds a session with a script and returns its ``session_url``.
    """
    return ScriptedProvider(VirtualClock())


@pytest.fixture
def hpp_transport() -> Literal["httpx", "httpx2"]:
    """Say of which family the requests of `hpp_client` are: "httpx". Override this fixture for "httpx2"."""
    return "httpx"


@pytest.fixture
def hpp_client(
    hpp_provider: ScriptedProvider, hpp_transport: Literal["httpx", "httpx2"], request: pytest.FixtureRequest
) -> Generator[HPPClient]:
    """
    Give an `hpp_async.HPPClient` of `hpp_provider`, in virtual time, and close it in the loop in which it was used.

    It works in tests on asyncio and on trio, with every plugin, and in tests that start an event loop themselves.
    """
    loops: list[asyncio.AbstractEventLoop] = []

    async def note_loop(_: object) -> None:
        with suppress(RuntimeError):  # on trio there is no asyncio loop
            loops[:] = [asyncio.get_running_loop()]

    http_client = hpp_provider.httpx2_client if hpp_transport == "httpx2" else httpx.AsyncClient(transport=hpp_provider)
    http_client.event_hooks = {"request": [note_loop]}
    client = hpp_provider.client(http_client=http_client)
    is_with_anyio = "anyio_backend" in request.fixturenames
    closing: list[HPPClient] = request.getfixturevalue("_hpp_closing") if is_with_anyio else []
    yield client
    if loops and not loops[0].is_closed():
        # The loop is not running now: its owner has run the test, and will run the ends of fixtures.
        loops[0].run_until_complete(client.aclose())
    elif is_with_anyio:
        closing.append(client)
    else:
        _close_at_once(client)


def _close_at_once(client: HPPClient) -> None:
    """
    Close *client* outside of a loop.

    A loop that ended in order (asyncio.run, pytest-asyncio, trio) has cancelled every read, so there is nothing to wait
    for. A loop that was only closed has cancelled none, and its reads can only be abandoned.
    """
    closing = client.aclose()
    with suppress(StopIteration, RuntimeError):
        closing.send(None)
    closing.close()


@pytest.fixture
async def _hpp_closing() -> AsyncGenerator[list[HPPClient]]:
    """Give a list of clients to close in the loop of anyio's plugin: on trio only a fixture can reach that loop."""
    clients: list[HPPClient] = []
    yield clients
    for client in clients:
        await client.aclose()
