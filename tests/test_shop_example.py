"""The shop of examples/ under a real server: it stops on a signal, although browsers are connected."""

from __future__ import annotations

import os
import signal
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio
import httpx
import pytest

from hpp_async.testing import Provider

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples are not part of the wheel"),
    pytest.mark.skipif(sys.platform == "win32", reason="a socket cannot be handed to a process there"),
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_server_that_is_told_to_stop_ends_its_streams_and_is_gone(loop: str, number: signal.Signals) -> None:
    simulator = pytest.importorskip("hpp_async.simulator", reason="needs the simulator extra")
    provider = Provider(now=lambda: datetime.now(UTC), auth=("user", "secret"))
    with simulator.serve(provider) as endpoint, socket.create_server(("127.0.0.1", 0)) as listener:
        shop = f"http://127.0.0.1:{listener.getsockname()[1]}"
        environment = os.environ | {
            "HPP_USERNAME": "user",
            "HPP_PASSWORD": "secret",
            "HPP_ENDPOINT": endpoint,
            "SHOP_URL": shop,
        }
        command = [sys.executable, "-m", "uvicorn", "--factory", "shop:from_env", "--loop", loop]
        command += ["--fd", str(listener.fileno()), "--app-dir", str(EXAMPLES)]
        with anyio.fail_after(60):
            async with (
                await anyio.open_process(
                    command, env=environment, pass_fds=[listener.fileno()], stdout=None, stderr=None
                ) as server,
                httpx.AsyncClient(base_url=shop, timeout=30) as browser,
            ):
                path = f"/orders/{(await browser.post('/orders')).json()['number']}/events"
                async with browser.stream("GET", path) as stream:
                    lines = stream.aiter_lines()
                    told = [await anext(lines)]
                    server.send_signal(number)
                    told += [line async for line in lines]  # to its proper end
                await server.wait()

    assert told[0].startswith("id: ")
    assert told[1:] == ["event: status", 'data: "WAITING"', ""]
