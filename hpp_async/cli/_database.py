"""The fleet in the database that an option or the environment names. No message shows the database's password."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import typer

from hpp_async import ConfigurationError, HPPClient, HPPError
from hpp_async._extras import with_extra
from hpp_async.cli._clients import SIMULATED
from hpp_async.cli._exits import UNEXPECTED
from hpp_async.cli._words import say
from hpp_async.fleet import Fleet, SQLiteStore, Store

_VARIABLE: Final = "DATABASE_URL"
_SCHEMA: Final = "hpp"
_URL: Final = re.compile(r"(\w+)(\+\w+)?://")
_FILE_URL: Final = re.compile(r"sqlite(\+\w+)?:///")
_PATIENCE: Final = 5


def is_database(text: str) -> bool:
    """Tell whether *text* is a database rather than a session: a URL of one, libpq's settings, or a file."""
    url = _URL.match(text)
    return "=" in text or Path(text).is_file() if url is None else url[1] not in ("http", "https")


@asynccontextmanager
async def open_fleet(database: str | None, schema: str | None) -> AsyncGenerator[Fleet[Any]]:
    """
    Open the fleet in *database*, a URL or a file; if it is ``None``, in the database that the environment names.

    Raises:
        ConfigurationError: the database is not given or is refused, or there is no fleet in it.
        HPPError: the database cannot be reached, or refuses what it is asked.
    """
    source = _VARIABLE if database is None else "--database"
    text = os.environ.get(_VARIABLE, "") if database is None else database
    if not text:
        raise ConfigurationError(f"give the database with --database, or in {_VARIABLE}: a PostgreSQL URL or a file")
    if schema is not None and not schema.strip():
        raise ConfigurationError("--schema: give the name of the fleet's schema, or leave it out")
    url = _URL.match(text)
    if (url is None and "=" in text) or (url is not None and url[1] in ("postgres", "postgresql")):
        store, failed = _postgres(_URL.sub("postgresql://", text, count=1), schema or _SCHEMA, source)
    elif url is None or url[1] == "sqlite":
        if schema is not None:
            raise ConfigurationError("--schema: a SQLite file has no schemas, leave it out")
        store, failed = _sqlite(text, source), sqlite3.Error
    else:
        raise ConfigurationError(f"{source}: a fleet is in PostgreSQL or SQLite, and this is a URL of something else")
    try:
        # Nothing is sent to the provider: this client is for the session ids.
        async with HPPClient(auth=SIMULATED, endpoint="http://127.0.0.1") as client, store:
            shards = len(await Fleet(client, store).shards())  # the number that the workers have
            yield Fleet(client, store, shards=shards)
    except failed as error:
        raise HPPError(f"the database failed ({type(error).__name__})") from None


def _sqlite(text: str, source: str) -> Store[Any]:
    url = _FILE_URL.match(text)
    path = Path(text[url.end() :] if url else text)
    if not path.is_file():
        # Without a URL before it, it may be anything, such as a password in the wrong place.
        what = f"no such file: {path}" if url else "no such file, and it is no URL either"
        raise ConfigurationError(f"{source}: there is {what}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'hpp_session'").fetchone()
    except sqlite3.Error as error:
        raise ConfigurationError(f"{source}: this file cannot be read as a SQLite database ({error})") from None
    if found is None:
        raise ConfigurationError(f"{source}: there is no fleet in this file. await store.migrate() makes its tables")
    return SQLiteStore(path)


def _postgres(conninfo: str, schema: str, source: str) -> tuple[Store[Any], type[Exception]]:
    try:
        from psycopg import Error, connect  # noqa: PLC0415 - an extra
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - the same
        from psycopg.sql import Identifier  # noqa: PLC0415 - the same

        from hpp_async.fleet import PostgresStore  # noqa: PLC0415 - the same
    except ImportError:
        say(f"a fleet in PostgreSQL needs packages that are not installed: {with_extra('postgres')}")
        raise typer.Exit(UNEXPECTED) from None
    try:
        store = PostgresStore(conninfo, schema=schema)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("conninfo", source, 1)) from None
    password = conninfo_to_dict(conninfo).get("password")
    try:
        with connect(conninfo, connect_timeout=_PATIENCE, autocommit=True) as connection:
            table = Identifier(schema, "session").as_string(connection)
            found = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    except Error as error:
        said = " ".join(str(error).split()).replace(str(password or "\0"), "***")
        raise HPPError(f"the database could not be asked: {said}") from None
    if found == (None,):
        raise ConfigurationError(
            f"there is no fleet in the schema {schema!r} of this database: give another with --schema, or another "
            f"database in {_VARIABLE}. await store.migrate() makes the tables"
        )
    return store, Error
