"""
For how long a worker may rely on owning its shards, and when an event that failed comes again.

PostgreSQL ends a worker's connection that is idle for the length of the lease, which frees the worker's locks.
PostgreSQL counts from the last statement that it received. The worker counts from the moment at which it sent that
statement, which is earlier. So the worker stops before another one can take its shards. Times are in seconds.
"""

from __future__ import annotations

from typing import Final

import attrs

from hpp_async import ConfigurationError

PING: Final = 0.5
"""
Seconds between two pings. A worker that was killed is found out by the next ping of another one, within a second.

With one ping a second that would take longer than a second. To wait for the dead worker's lock instead would take one
more connection per worker, with a statement that never ends: its snapshot keeps VACUUM from all rows deleted since.
"""

_SHORTEST: Final = 4 * PING
"""A shorter lease would be lost to one late answer of the database."""

_LONGEST: Final = 300.0
_BELIEVED: Final = 0.9
"""The share of the lease for which a worker believes in it: clocks of two machines run at slightly different speeds."""

PARKED_AFTER: Final = 10
"""How many times an event fails before its session is parked for a person."""

_LONGEST_PAUSE: Final = 300.0


@attrs.frozen
class Lease:
    """
    The lease of a worker on its shards.

    Raises:
        ConfigurationError: *seconds* is no number of seconds between 2 and 300.
    """

    seconds: float

    def __attrs_post_init__(self) -> None:
        length: object = self.seconds
        if isinstance(length, bool) or not isinstance(length, int | float) or not _SHORTEST <= length <= _LONGEST:
            raise ConfigurationError(
                f"lease={length!r}: give from {_SHORTEST:g} to {_LONGEST:g} seconds; a worker pings the database every "
                f"{PING:g} s, and a shorter lease would end when one answer is late"
            )

    def believed_until(self, sent_at: float) -> float:
        """Return until when the worker relies on its lease, after a ping that it sent at *sent_at*."""
        return sent_at + self.seconds * _BELIEVED

    @property
    def milliseconds(self) -> int:
        """The lease as a setting of PostgreSQL."""
        return round(self.seconds * 1000)


def retry_after(failures: int, draw: float) -> float | None:
    """
    Return after how many seconds an event that failed *failures* times comes again; ``None`` if it is to be parked.

    The pause doubles from 1 second to 5 minutes. *draw* is uniform in [0, 1), so that events that failed together
    come again at different times.
    """
    if failures >= PARKED_AFTER:
        return None
    return min(_LONGEST_PAUSE, 2.0 ** (failures - 1)) * (0.75 + draw / 2)


def reconnect_after(failures: int, draw: float) -> float:
    """Return after how many seconds a worker connects to the database again, after *failures* failed attempts."""
    return min(5.0, 0.1 * 2.0 ** min(failures - 1, 10)) * (0.75 + draw / 2)
