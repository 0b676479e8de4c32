"""
More than one process: a fleet of workers divides the sessions, and a database keeps them.

`SQLiteStore` needs nothing else; `PostgresStore` needs the extra ``postgres``.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from hpp_async._extras import with_extra
from hpp_async.fleet._fleet import Fleet
from hpp_async.fleet._lifetime import StoreClosedError
from hpp_async.fleet._sqlite import SQLiteCursor, SQLiteStore, SQLiteTransaction
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
    "SQLiteCursor",
    "SQLiteStore",
    "SQLiteTransaction",
    "Shard",
    "Store",
    "StoreClosedError",
]

_OF_POSTGRES = {"PostgresStore", "PostgresTransaction"}
_PACKAGES = {"psycopg", "psycopg_pool"}

if not TYPE_CHECKING:  # pragma: no branch - for type checkers: to them a module with this function has every name

    def __getattr__(name: str) -> object:
        if name not in _OF_POSTGRES:
            raise AttributeError(f"module 'hpp_async.fleet' has no attribute {name!r}")
        try:
            from hpp_async.fleet import _postgres  # noqa: PLC0415 - psycopg is an extra
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _PACKAGES:
                raise
            raise ImportError(f"{name} needs {error.name}, which is not installed: {with_extra('postgres')}") from error
        return getattr(_postgres, name)


def __dir__() -> list[str]:
    # `help` looks at each name: one whose package is missing would end it with an error.
    has_postgres = all(map(find_spec, _PACKAGES))
    return sorted({*globals(), *__all__} - (set() if has_postgres else _OF_POSTGRES))
