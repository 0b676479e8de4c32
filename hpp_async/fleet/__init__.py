"""
More than one process: a fleet of workers divides the sessions, and a database keeps them.

`SQLiteStore` needs nothing else; `PostgresStore` needs the extra ``postgres``.
"""

from typing import TYPE_CHECKING

from hpp_async.fleet._fleet import Fleet
from hpp_async.fleet._sqlite import SQLiteStore, SQLiteTransaction
from hpp_async.fleet._store import Store
from hpp_async.fleet._values import FleetSession, FleetWorker, News, Shard
from hpp_async.fleet._wait import FleetWait

if TYPE_CHECKING:
    from hpp_async.fleet._postgres import PostgresStore, PostgresTransaction

__all__ = [
    "Fleet",
    "FleetSession",
    "FleetWait",
    "FleetWorker",
    "News",
    "PostgresStore",
    "PostgresTransaction",
    "SQLiteStore",
    "SQLiteTransaction",
    "Shard",
    "Store",
]

if not TYPE_CHECKING:  # pragma: no branch - for type checkers: to them a module with this function has every name

    def __getattr__(name: str) -> object:
        if name not in ("PostgresStore", "PostgresTransaction"):
            raise AttributeError(f"module 'hpp_async.fleet' has no attribute {name!r}")
        try:
            from hpp_async.fleet import _postgres  # noqa: PLC0415 - psycopg is an extra
        except ModuleNotFoundError as error:
            raise ImportError(
                f"{name} needs psycopg, which the extra postgres installs: pip install 'hpp-async[postgres]'"
            ) from error
        return getattr(_postgres, name)
