"""The shops of examples/ as processes: they stop on a signal, although browsers are connected."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest
from support.shops import AUTH, running_shop

from hpp_async.testing import Consumer, Provider

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
pytestmark = [
    pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples are not part of the wheel"),
    pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals"),
]


@pytest.fixture
def provider() -> Provider:
    return Provider(now=lambda: datetime.now(UTC), auth=AUTH, quota=None, consumer=Consumer.NOBODY)


@pytest.fixture
def endpoint(provider: Provider) -> Generator[str]:
    simulator = pytest.importorskip("hpp_async.simulator", reason="needs the simulator extra")
    with simulator.serve(provider) as url:
        yield url


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("name", "number"),
    [("shop_fastapi", signal.SIGTERM), ("shop_fastapi", signal.SIGINT), ("shop_aiohttp", signal.SIGTERM)],
)
def test_a_shop_that_is_told_to_stop_ends_its_streams_and_is_gone(
    name: str, number: signal.Signals, provider: Provider, endpoint: str, port: int, tmp_path: Path
) -> None:
    with (
        running_shop(name, endpoint, port, str(tmp_path / "shop.db")) as shop,
        httpx.Client(base_url=shop.url, timeout=60, trust_env=False) as browser,
    ):
        assert browser.post("/orders").status_code == 303
        path = httpx.URL(provider.lives[-1].merchant_urls["success"]).path
        with browser.stream("GET", f"{path}/events") as stream:
            lines = stream.iter_lines()
            while '"status": "WAITING"' not in next(lines):
                pass
            shop.process.send_signal(number)
            rest = list(lines)  # to the proper end of the answer
        shop.process.wait()

    assert '"state": "paid"' not in "\n".join(rest)
