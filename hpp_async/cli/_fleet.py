"""The commands for a fleet: status and retry."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from hpp_async import ConfigurationError, SessionNotFoundError
from hpp_async.cli._database import is_database, open_fleet
from hpp_async.cli._options import JSONOption, VerboseOption
from hpp_async.cli._overview import Overview, print_overview
from hpp_async.cli._process import exiting

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL|FILE", help="Use this database, not DATABASE_URL. Others on this machine can see arguments."
    ),
]
SchemaOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The schema of the fleet in PostgreSQL.", show_default="hpp")
]


def status(
    *,
    database: DatabaseOption = None,
    schema: SchemaOption = None,
    as_json: JSONOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show what a fleet does."""
    with exiting(verbose):

        async def overview() -> Overview:
            async with open_fleet(database, schema) as fleet:
                return Overview(
                    workers=await fleet.workers(),
                    shards=await fleet.shards(),
                    parked=await fleet.sessions(only_parked=True),
                )

        print_overview(asyncio.run(overview()), as_json=as_json)


def retry(
    sessions: Annotated[
        list[str],
        typer.Argument(metavar="SESSION", help="Ids of parked sessions, as status prints them, or session URLs."),
    ],
    *,
    database: DatabaseOption = None,
    schema: SchemaOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Let parked sessions be followed again."""
    with exiting(verbose):
        ids = [_id_of(session) for session in sessions]

        async def take_up() -> None:
            async with open_fleet(database, schema) as fleet:
                parked = {session.session_id for session in await fleet.sessions(only_parked=True)}
                for session in ids:
                    if session not in parked:
                        raise SessionNotFoundError(
                            f"session {session} is not parked in this fleet, and nothing was changed: see hpp-async "
                            "fleet status for those that are",
                            session_id=session,
                            status_code=404,
                        )
                for session in ids:
                    await fleet.add(session)

        asyncio.run(take_up())


def _id_of(session: str) -> str:
    """Return the id of a session that is given by its id or its URL."""
    if is_database(session):  # which may have a password in it
        raise ConfigurationError("SESSION: one of them is a database: give it with --database, or in DATABASE_URL")
    return session.rstrip("/").rpartition("/")[2]
