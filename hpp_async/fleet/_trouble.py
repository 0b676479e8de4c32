"""What an error of PostgreSQL says about the database."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

_UNUSABLE: Final = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InsufficientPrivilege,
)

_PASSING: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.IdleInTransactionSessionTimeout,  # this process was frozen in the middle of a transaction
)

_NO_WRITES: Final = (
    psycopg.errors.DiskFull,
    psycopg.errors.IoError,
    psycopg.errors.ReadOnlySqlTransaction,  # on a standby; and what hosted databases switch to before a disk is full
)


def refusal(error: Exception, schema: str) -> str | None:
    """Return what to change if *error* says that the fleet's tables cannot be used in *schema*."""
    if not isinstance(error, _UNUSABLE):
        return None
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"the database's user may not use the fleet's tables in the schema {schema!r}: grant it that"
    if isinstance(error, psycopg.errors.UndefinedColumn):
        return f"the tables in the schema {schema!r} are not those of this version of hpp_async"
    return f"there is no fleet in the schema {schema!r} of this database: await store.migrate() makes it"


def is_unreachable(error: Exception) -> bool:
    """Tell whether *error* says that the database could not be reached, or that the connection broke."""
    return (
        isinstance(error, psycopg.InterfaceError | PoolTimeout | OSError)
        or (
            isinstance(error, psycopg.OperationalError)
            # The others are of one statement: a deadlock, a serialization failure, a lock that was not available.
            and (error.sqlstate is None or error.sqlstate[:2] in {"08", "57"})
        )
    )


def is_passing(error: Exception) -> bool:
    """Tell whether a statement of the fleet's own may succeed later."""
    return is_unreachable(error) or takes_no_writes(error) or isinstance(error, _PASSING)


def takes_no_writes(error: Exception) -> bool:
    """Tell whether *error* says that the disk is full or fails, or that the database is read-only."""
    return isinstance(error, _NO_WRITES)
