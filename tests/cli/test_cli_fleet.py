"""The commands for a fleet, on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from postgres import Cluster, database
from support.commands import AUTH, run

import hpp_async.fleet
from hpp_async import HPPClient
from hpp_async.cli._overview import Overview, print_overview
from hpp_async.fleet import Fleet, FleetSession, FleetWorker, Shard, SQLiteStore, Store
from hpp_async.fleet._sqlite import _lock

__all__ = ["database"]


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


def prepare(store: Store[Any], *todo: Callable[[Fleet[Any]], Coroutine[Any, Any, object]]) -> None:
    """Make the tables of a fleet with two shards, and do something with it."""

    async def do() -> None:
        async with HPPClient(auth=AUTH, endpoint="http://127.0.0.1") as client, store:
            await store.migrate()
            fleet = Fleet(client, store, shards=2)
            async with store.transaction() as tx:
                await store.run(tx, "settle_shards", 2)
            for act in todo:
                await act(fleet)

    asyncio.run(do())


def adding(*sessions: str, parked: bool = False) -> Callable[[Fleet[Any]], Coroutine[Any, Any, None]]:
    async def add(fleet: Fleet[Any]) -> None:
        for session in sessions:
            async with fleet._store.transaction() as tx:
                await fleet.add(session, tx=tx)
                if parked:
                    await fleet._store.run(tx, "park", session)

    return add


def execute(conninfo: str, sql: bytes) -> None:
    import psycopg  # noqa: PLC0415 - an extra

    with psycopg.connect(conninfo) as connection:
        connection.execute(sql)


async def nothing(*_: object) -> None:
    pass


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A fleet with two sessions, one of which is parked."""
    path = tmp_path / "shop.db"
    prepare(SQLiteStore(path), adding("open"), adding("stuck", parked=True))
    return path


@pytest.fixture
def url(database: Cluster) -> str:
    execute(database.conninfo, b"DROP SCHEMA IF EXISTS hpp CASCADE")
    return f"postgresql://fleet:a-password@127.0.0.1:{database.port}/postgres"


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_the_status_shows_shards_and_what_is_parked(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fleet", "status", "--database", str(file)) == 0

    out, err = capsys.readouterr()
    assert re.sub(r"\d+ s\b", "0 s", out).splitlines() == [
        "followed: 1 session in 2 shards",
        "not read yet: 1, the first for 0 s",
        "failing: 0",
        "parked: 1",
        "",
        "worker  late by  sessions  shards",
        "nobody        -         1  0-1",
        "",
        "parked for  session  status  error",
        "       0 s  stuck    -       -",
    ]
    assert err.splitlines() == [
        "hpp-async: no worker follows 2 of 2 shards: start one",
        "hpp-async: Next: mend what deal_with fails at, and then run hpp-async fleet retry SESSION...",
    ]


def test_the_status_is_json_for_machines(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    with closing(_lock(str(file)) or sqlite3.connect(":memory:")):  # as a worker of another process does
        assert run("fleet", "status", "--json") == 0

    status = json.loads(capsys.readouterr().out)
    assert list(status) == ["type", "workers", "shards", "parked"]
    assert status["workers"] == [{"owner": 0, "name": None, "late_by": None}]
    assert [(shard["number"], shard["owner"]) for shard in status["shards"]] == [(0, 0), (1, 0)]
    assert sum(shard["unread"] for shard in status["shards"]) == 1
    assert [session["session_id"] for session in status["parked"]] == ["stuck"]
    assert list(status["parked"][0]) == [
        "session_id", "shard", "status", "parked_ago", "failures", "error", "raised_at", "added_ago"
    ]  # fmt: skip
    assert list(status["shards"][0]) == ["number", "owner", "sessions", "unread", "unread_for", "failing", "parked"]


def test_a_screen_has_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    owners = [7] + [8 if number % 2 else 9 for number in range(61)] + [None, None]
    print_overview(
        Overview(
            workers=[
                FleetWorker(owner=7, name=f"4194304@{'a-long-name.' * 2}", late_by=0),
                FleetWorker(owner=8, name="12@web-2", late_by=4000),
                FleetWorker(owner=10, name=None, late_by=None),
            ],
            shards=[
                Shard(number=number, owner=owner, sessions=900, unread=0, unread_for=None, failing=1, parked=1)
                for number, owner in enumerate(owners)
            ],
            parked=[
                FleetSession(
                    session_id="74262d63-df75-4629-bf35-8a7f2fdaa32a",
                    shard=0,
                    status=None,
                    parked_ago=300_000.0,
                    failures=10,
                    error="ZeroDivisionError",
                    raised_at="shop/worker.py:42",
                    added_ago=0.0,
                )
            ],
        ),
        as_json=False,
    )

    out, err = capsys.readouterr()
    assert out.splitlines()[5:10] == [
        "worker                              late by  sessions  shards",
        "4194304@a-long-name.a-long-name.        0 s       900  0",
        "12@web-2                          1 h 6 min     27000  2, 4, 6, 8, 10, ...",
        "in another process                        ?         0  none",
        "nobody                                    -     29700  1, 3, 5, 7, 9, 11, ...",
    ]
    assert all(len(line) <= 80 for line in out.splitlines())
    assert err.startswith("hpp-async: no worker follows 2 of 64 shards: start one\n")


# -- a session that was parked ----------------------------------------------------------------------------------------


def test_what_was_parked_is_followed_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fleet", "retry", "stuck", "--database", str(file)) == 0
    assert capsys.readouterr() == ("", "")
    assert run("fleet", "status", "--database", str(file)) == 0
    assert "followed: 2 sessions" in capsys.readouterr().out


def test_only_what_is_parked_is_followed_again_and_else_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fleet", "retry", "stuck", "open", "--database", str(file)) == 11
    assert "session open is not parked in this fleet, and nothing was changed" in capsys.readouterr().err
    assert run("fleet", "status", "--database", str(file)) == 0
    assert "parked: 1\n" in capsys.readouterr().out


def test_a_parked_session_can_be_given_by_its_url(file: Path) -> None:
    assert run("fleet", "retry", "https://api.example/hpp/v1/sessions/stuck", "--database", str(file)) == 0


@pytest.mark.parametrize(
    "where", ["postgresql://shop:hunter2@db.example/shop", "password=hunter2", "sqlite:///x", None]
)
def test_a_database_in_the_place_of_a_session_is_pointed_out_and_not_shown(
    file: Path, capsys: pytest.CaptureFixture[str], where: str | None
) -> None:
    # Found by a newcomer: it said of the URL, password included, that it was not parked.
    assert run("fleet", "retry", where or str(file), "stuck", "--database", str(file)) == 2

    err = capsys.readouterr().err
    assert err == "hpp-async: SESSION: one of them is a database: give it with --database, or in DATABASE_URL\n"


# -- on PostgreSQL ----------------------------------------------------------------------------------------------------


def test_the_status_of_workers_in_postgresql(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url.replace("postgresql://", "postgresql+asyncpg://"))

    async def work(fleet: Fleet[Any]) -> None:
        working = asyncio.create_task(fleet.work(nothing))
        while any(shard.owner is None for shard in await fleet.shards()):  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(0)
        assert await asyncio.to_thread(run, "fleet", "status") == 0
        assert await asyncio.to_thread(run, "fleet", "retry", "stuck") == 0
        working.cancel()
        await asyncio.wait([working])

    prepare(hpp_async.fleet.PostgresStore(url), adding("stuck", parked=True), work)

    out, err = capsys.readouterr()
    assert "parked: 1\n" in out
    name = f"{os.getpid()}@{socket.gethostname()}"[: 63 - len("hpp_async late=0 ")]
    assert f"\n{name}      0 s         0  0-1\n" in out
    assert err.count("\n") == 1
    assert "a-password" not in out + err


def test_a_database_without_a_fleet_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(hpp_async.fleet.PostgresStore(url))

    assert run("fleet", "status", "--database", url, "--schema", "another") == 2
    assert "there is no fleet in the schema 'another' of this database" in capsys.readouterr().err


def test_a_database_that_fails_is_said_in_a_sentence(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(hpp_async.fleet.PostgresStore(url))
    execute(url, b"ALTER TABLE hpp.session ALTER bucket TYPE text")

    assert run("fleet", "status", "--database", url) == 13
    assert capsys.readouterr().err == "hpp-async: the database failed (UndefinedFunction)\n"


@pytest.mark.parametrize("name", ["a-password", "no-such-database"])
def test_a_database_that_cannot_be_reached_is_said_without_the_password(
    capsys: pytest.CaptureFixture[str], url: str, name: str
) -> None:
    assert run("fleet", "status", "--database", url.replace("/postgres", f"/{name}")) == 13

    err = capsys.readouterr().err
    assert err.startswith("hpp-async: the database could not be asked: connection failed: ")
    assert "a-password" not in err
    assert len(err.splitlines()) == 1


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "database",
    [
        "postgresql://shop:pa@ss@db.example/shop",
        "postgresql://shop:pa/ss@db.example/shop",
        "postgresql://shop:12/ss@db.example/shop",
        "postgresql://shop:pa%ss@db.example/shop",
        "mysql://shop:pass@db.example/shop",
        "shop:pass",
        "",
    ],
)
def test_a_database_is_refused_without_showing_what_may_be_a_password(
    capsys: pytest.CaptureFixture[str], database: str
) -> None:
    assert run("fleet", "status", "--database", database) == 2

    err = capsys.readouterr().err
    assert err.startswith(("hpp-async: --database: ", "hpp-async: give the database with --database"))
    assert "ss" not in err.replace("PASSWORD", "").replace("password", "")


@pytest.mark.parametrize("url", ["sqlite:///{}", "sqlite+aiosqlite:///{}"])
def test_a_file_is_given_by_its_url_as_well_and_is_not_made(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert run("fleet", "status", "--database", url.format(file)) == 0
    assert run("fleet", "status", "--database", url.format(tmp_path / "no.db")) == 2
    assert capsys.readouterr().err.endswith(f"hpp-async: --database: there is no such file: {tmp_path}/no.db\n")
    assert not (tmp_path / "no.db").exists()


@pytest.mark.parametrize("schema", ["", " "])
def test_an_empty_schema_is_refused(capsys: pytest.CaptureFixture[str], schema: str) -> None:
    assert run("fleet", "status", "--database", "postgresql://shop@db.example/shop", "--schema", schema) == 2
    assert "--schema: give the name of the fleet's schema, or leave it out" in capsys.readouterr().err


def test_a_missing_database_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fleet", "status") == 2
    assert "give the database with --database, or in DATABASE_URL" in capsys.readouterr().err


def test_a_file_without_a_fleet_is_refused_and_stays_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE something (else_ TEXT)")
    (tmp_path / "text").write_text("no database, but long enough to be taken for the head of one" * 3, "utf-8")
    before = (tmp_path / "other.db").read_bytes()

    assert run("fleet", "status", "--database", str(tmp_path / "other.db")) == 2
    assert "there is no fleet in this file" in capsys.readouterr().err
    assert (tmp_path / "other.db").read_bytes() == before
    assert run("fleet", "status", "--database", str(tmp_path / "text")) == 2
    assert "cannot be read as a SQLite database" in capsys.readouterr().err


def test_a_file_has_no_schemas(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fleet", "status", "--database", str(file), "--schema", "hpp") == 2
    assert "--schema: a SQLite file has no schemas" in capsys.readouterr().err


def test_a_file_with_other_tables_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as other:
        other.execute("CREATE TABLE hpp_session (id TEXT)")
        other.execute("CREATE TABLE hpp_setting (name TEXT, value INTEGER)")

    assert run("fleet", "status", "--database", str(tmp_path / "old.db")) == 2
    assert "the tables in the file" in capsys.readouterr().err


def test_a_file_that_fails_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(tmp_path / "odd.db")) as other:
        other.execute("CREATE VIEW hpp_session AS SELECT no_such_function() AS id")
        other.execute("CREATE TABLE hpp_setting (name TEXT, value INTEGER)")

    assert run("fleet", "status", "--database", str(tmp_path / "odd.db")) == 13
    assert capsys.readouterr().err == "hpp-async: the database failed (OperationalError)\n"
