"""A real pgbouncer between a fleet and its database."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fleet_scene import scene
from postgres import Cluster, free_port

from hpp_async import ConfigurationError
from hpp_async.fleet import Fleet, PostgresStore

pytestmark = pytest.mark.anyio

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
server_round_robin = {round_robin}
ignore_startup_parameters = extra_float_digits
{user}
"""


@asynccontextmanager
async def pgbouncer(
    database: Cluster, home: Path, mode: str, *, size: int = 5, round_robin: int = 0
) -> AsyncGenerator[str]:
    """Run a pgbouncer before the database, and give the way through it; or skip the test where there is none."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None and os.environ.get("CI"):
        pytest.fail("pgbouncer is not installed, and CI is set: see .ci/run")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    port = free_port()
    configuration = home / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            database=f"{database.port} user=fleet dbname=postgres",
            port=port,
            mode=mode,
            size=size,
            round_robin=round_robin,
            user="user = nobody" if os.geteuid() == 0 else "",
        )
    )
    for path in (configuration, *[home, *home.parents][:-2]):
        path.chmod(0o755)
    process = await asyncio.create_subprocess_exec(program, str(configuration), stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            if b"process up" in line:
                break
        yield f"host=127.0.0.1 port={port} user=fleet dbname=postgres"
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize(("size", "round_robin"), [(1, 0), (5, 0), (5, 1)], ids=["one", "last", "round-robin"])
async def test_transaction_mode_is_refused(database: Cluster, tmp_path: Path, size: int, round_robin: int) -> None:
    async with (
        scene(database) as here,
        pgbouncer(database, tmp_path, "transaction", size=size, round_robin=round_robin) as way,
        PostgresStore(way) as store,
    ):
        async with store.transaction() as tx:  # a few servers in the pool
            await tx.execute("SELECT 1")
        fleet = Fleet(here.fleet._client, store, shards=8)
        with pytest.raises(ConfigurationError, match="a connection pooler"):
            await fleet.work(lambda *_: asyncio.sleep(0))
        [session] = await here.add(1)
        with pytest.raises(ConfigurationError, match="a connection pooler"):
            await fleet.wait_for_outcome(session)
        await fleet.notify(session)  # what needs no session of its own goes through


async def test_session_mode_is_as_good_as_none(database: Cluster, tmp_path: Path) -> None:
    async with scene(database) as here, pgbouncer(database, tmp_path, "session", size=20) as way:
        sessions = await here.add(5)
        await here.start("one", way)
        await here.are_owned_by(1)
        here.pay(sessions)
        await here.are_booked_once(sessions)
