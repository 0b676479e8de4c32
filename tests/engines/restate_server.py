"""A Restate server of the tests' own: its data is in a temporary directory, and it listens on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import httpx
import pytest
from support.sittings import free_port

_PREFIX: Final = Path(__file__).parents[2] / ".restate"
"""Where .ci/run installs the npm package."""

_PACKAGE: Final = "node_modules/@restatedev/restate-server"


def program() -> Path | None:
    """
    Return the server's program, if it is installed.

    What npm puts on PATH is a script that starts the program as its child: a child outlives a script that is killed.
    """
    scripts = [Path(found).resolve() for found in [shutil.which("restate-server")] if found]
    homes = [script.parents[1] for script in scripts] + [_PREFIX / "lib" / _PACKAGE, _PREFIX / _PACKAGE]
    machine = {"x86_64": "x64", "AMD64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"@restatedev/restate-server-{sys.platform}-{machine}/bin/restate-server"
    found = [file for home in homes for file in (home / "node_modules" / name, home.parents[1] / name) if file.exists()]
    is_native = [script for script in scripts if script.suffix != ".js"]
    return next(iter([*found, *is_native]), None)


@attrs.frozen
class Server:
    """A server that runs, and the URLs at which it takes calls and is told about services."""

    ingress: str
    admin: str

    async def register(self, port: str) -> None:
        """Tell the server where the object is, once it is there."""
        async with httpx.AsyncClient(base_url=self.admin, trust_env=False, timeout=60) as admin:
            deployment = {"uri": f"http://127.0.0.1:{port}", "force": True}
            while not (await admin.post("/deployments", json=deployment)).is_success:  # noqa: ASYNC110 - nobody says when
                await asyncio.sleep(0.05)

    async def follow(self, session_id: str) -> str:
        """Call the exclusive handler, and return the ending of the session."""
        return str(json.loads(await self._call(f"/Session/{session_id}/follow")))

    async def call_back(self, session_id: str) -> None:
        await self._call(f"/Session/{session_id}/called_back")

    async def _call(self, path: str) -> str:
        async with httpx.AsyncClient(base_url=self.ingress, trust_env=False, timeout=60) as ingress:
            answer = await ingress.post(path)
        assert answer.is_success, answer.text
        return answer.text


@contextmanager
def restate_server(settings: Mapping[str, str] | None = None) -> Generator[Server]:
    """Run a server, or skip the test where it is not installed: but in CI its absence is an error."""
    found = program()
    if found is None and os.environ.get("CI"):
        pytest.fail("the Restate server is not installed, and CI is set: see .ci/run")
    if found is None:
        pytest.skip("the Restate server (npm package @restatedev/restate-server) is not installed")
    ingress, admin, node = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="hpp-restate-", ignore_cleanup_errors=True) as home:
        environment = {
            **os.environ,
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_ADVERTISED_HOST": "127.0.0.1",
            "RESTATE_DEFAULT_NUM_PARTITIONS": "2",
            "RESTATE_LOG_FILTER": "error,octocrab=off",
            "RESTATE_INGRESS__BIND_PORT": ingress,
            "RESTATE_ADMIN__BIND_PORT": admin,
            # A worker that was killed is called again as soon as another one is there.
            "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "50ms",
            "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "200ms",
            **(settings or {}),
        }
        command = [
            str(found),
            "--no-logo",
            "--listen-mode=tcp",
            "--bind-ip=127.0.0.1",
            f"--bind-port={node}",
            f"--base-dir={home}",
        ]
        process = subprocess.Popen(command, env=environment)
        try:
            server = Server(f"http://127.0.0.1:{ingress}", f"http://127.0.0.1:{admin}")
            for url in (f"{server.admin}/health", f"{server.ingress}/restate/health"):
                while not _is_up(url):
                    assert process.poll() is None, "the Restate server ended"
                    time.sleep(0.05)
            yield server
        finally:
            process.kill()
            process.wait()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
