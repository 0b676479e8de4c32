"""A PostgreSQL of the tests' own: a cluster in a temporary directory, on loopback, as a user who is not root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import pytest

if TYPE_CHECKING:
    from hpp_async.fleet import PostgresStore

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "200",
    "log_min_messages": "warning",
}


def programs() -> Path | None:
    """Return the newest directory with PostgreSQL's programs, if it is installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return homes[-1].parent if homes else None


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@attrs.define
class Cluster:
    """A cluster that runs."""

    home: Path
    bin: Path
    port: int
    _user: list[str]

    @property
    def conninfo(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=fleet dbname=postgres"

    def start(self) -> None:
        options = " ".join(f"-c {name}='{value}'" for name, value in {**_SETTINGS, "port": str(self.port)}.items())
        self._run("pg_ctl", "-w", "-D", str(self.home / "data"), "-l", str(self.home / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-w", "-D", str(self.home / "data"), "-m", mode, "stop")

    def kill(self) -> None:
        """Kill the postmaster and everything that it started, as a machine does that loses its power."""
        first = int((self.home / "data" / "postmaster.pid").read_text().split()[0])
        children = subprocess.run(
            ["pgrep", "-P", str(first)], capture_output=True, text=True, check=False
        ).stdout.split()
        for process in (first, *map(int, children)):
            os.kill(process, signal.SIGKILL)

    def create(self) -> None:
        self._run("initdb", "-D", str(self.home / "data"), "-U", "fleet", "-A", "trust", "-E", "UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._user, str(self.bin / program), *arguments]
        done = subprocess.run(command, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()


@contextmanager
def cluster() -> Generator[Cluster]:
    """Run a cluster, or skip the test where PostgreSQL is not installed: but in CI its absence is an error."""
    found = programs()
    if found is None and os.environ.get("CI"):
        pytest.fail("PostgreSQL is not installed, and CI is set: see .ci/run")
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="hpp-fleet-", ignore_cleanup_errors=True) as path:
        home, user = Path(path), list[str]()
        if os.geteuid() == 0:  # which PostgreSQL refuses
            user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            os.chown(home, 65534, 65534)
        running = Cluster(home, found, free_port(), user)
        running.create()
        running.start()
        try:
            yield running
        finally:
            if (home / "data" / "postmaster.pid").exists():
                running.stop()


def own_store(database: Cluster) -> Callable[[], PostgresStore]:
    """Return a function that opens one fleet in the database, beside which a test can make tables of its own."""
    import psycopg  # noqa: PLC0415 - it is an extra

    from hpp_async.fleet import PostgresStore  # noqa: PLC0415 - it needs the extra

    own = uuid.uuid4().hex
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA s{own}".encode())
    conninfo = f"{database.conninfo} options='-c search_path=s{own}'"
    return lambda: PostgresStore(conninfo, schema=f'odd "%s{{}}{own[:30]}')


@pytest.fixture(scope="module")
def database() -> Generator[Cluster]:
    """Run a cluster for the tests of a module."""
    pytest.importorskip("psycopg")
    with cluster() as running:
        yield running
