"""The shops of examples/ as their users run them: each by its one command, in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs
import pytest

ROOT: Final = Path(__file__).parents[2]
AUTH: Final = ("PK00000_test", "not-a-secret")
SHOPS: Final = ("shop_fastapi", "shop_aiohttp")


@attrs.define
class RunningShop:
    """A shop that runs, and where its process listens, also if there is a proxy before it."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait()

    def _is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True


@contextmanager
def running_shop(
    name: str, endpoint: str, port: int, database: str, *, url: str | None = None
) -> Generator[RunningShop]:
    """Run a shop of `SHOPS` until the end of the context, and yield it when it answers; *url* is that of a proxy."""
    environment = os.environ | {
        "DATABASE_URL": database,
        "HPP_ENDPOINT": endpoint,
        "HPP_USERNAME": AUTH[0],
        "HPP_PASSWORD": AUTH[1],
        "PORT": str(port),
        "SHOP_URL": url or f"http://127.0.0.1:{port}",
    }
    command = [sys.executable, "-m", name]
    shop = RunningShop(subprocess.Popen(command, cwd=ROOT / "examples", env=environment), port)
    try:
        while not shop._is_up():
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"the shop has ended with exit code {shop.process.wait(0.05)}")
        yield shop
    finally:
        if shop.process.poll() is None:
            shop.process.kill()
        shop.process.wait()
