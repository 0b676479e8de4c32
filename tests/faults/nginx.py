"""A real nginx in front of a server: started, reloaded and stopped by a test, in a directory of the test's."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import attrs
import pytest
from anyio.abc import Process
from fault_server import reserved_port

_CONFIGURATION: Final = """
{user}
daemon off;
worker_processes 1;
worker_shutdown_timeout {grace};
pid {home}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    log_format connections "$connection $connection_requests $status";
    access_log {home}/access.log connections;
    limit_req_zone $server_name zone=merchant:1m rate={rate};
    limit_req_status 429;
    proxy_connect_timeout 5s;
    proxy_read_timeout {patience};
    proxy_max_temp_file_size 0;
    server {{
        listen 127.0.0.1:{port};
        server_name hpp;
        {settings}
        location / {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_pass_header Date;
        }}
    }}
}}
"""


def path_of_nginx() -> str:
    """Return where nginx is, or skip the test: but in CI, which installs it, its absence is an error."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None and os.environ.get("CI"):
        pytest.fail("nginx is not on PATH, and CI is set: see .ci/run")
    if found is None:
        pytest.skip("nginx is not on PATH")
    return found


@attrs.define
class Nginx:
    """
    An nginx that runs.

    Attributes:
        url: where it listens.
        log: what it said on its standard error.
    """

    url: str
    home: Path
    _process: Process
    log: list[str] = attrs.field(init=False, factory=list[str])
    _news: anyio.Event = attrs.field(init=False, factory=anyio.Event)

    async def connections(self) -> list[tuple[int, int, int]]:
        """Stop it, and return for each answer its connection's number, its place on that connection, and its status."""
        self._process.send_signal(signal.SIGQUIT)  # it writes its account before it ends
        await self._process.wait()
        lines = (self.home / "access.log").read_text().splitlines()
        return [(int(connection), int(place), int(status)) for connection, place, status in map(str.split, lines)]

    async def reload(self) -> None:
        """Let it replace its workers, and return when the new ones are there."""
        started = self._started()
        self._process.send_signal(signal.SIGHUP)
        await self._until(started + 1)

    async def listen(self, lines: AsyncIterable[bytes]) -> None:
        """Take down what it says, until it ends."""
        rest = b""
        async for piece in lines:
            *whole, rest = (rest + piece).split(b"\n")
            self.log += [line.decode(errors="replace") for line in whole]
            self._news.set()
            self._news = anyio.Event()
        self.log.append("ended")
        self._news.set()

    async def ready(self) -> None:
        """Return when it takes connections."""
        await self._until(1)

    def _started(self) -> int:
        return sum(re.search(r"start worker process \d", line) is not None for line in self.log)

    async def _until(self, started: int) -> None:
        while self._started() < started:
            assert "ended" not in self.log, "\n".join(self.log)
            await self._news.wait()


@asynccontextmanager
async def nginx(
    upstream: str, home: Path, *, settings: str = "", rate: str = "10000r/s", patience: str = "5s", grace: str = "5s"
) -> AsyncGenerator[Nginx]:
    """
    Run nginx in front of *upstream*, with more *settings* of its server.

    Args:
        rate: of the zone ``merchant``, for `limit_req`.
        patience: how long it waits for the upstream.
        grace: how long a worker that was replaced may go on with what it has.
    """
    program = path_of_nginx()
    with reserved_port() as port:
        configuration = home / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                # As root its workers would be somebody else, who may not look into this directory.
                user="user root;" if os.geteuid() == 0 else "",
                home=home,
                port=port,
                upstream=upstream,
                settings=settings,
                rate=rate,
                patience=patience,
                grace=grace,
            )
        )
        async with (
            await anyio.open_process([program, "-p", str(home), "-c", str(configuration)], stdin=None) as process,
            anyio.create_task_group() as tasks,
        ):
            assert process.stderr is not None
            running = Nginx(f"http://127.0.0.1:{port}", home, process)
            tasks.start_soon(running.listen, process.stderr)
            try:
                await running.ready()
                yield running
            finally:
                with anyio.CancelScope(shield=True):
                    if process.returncode is None:
                        process.terminate()
                    await process.wait()
