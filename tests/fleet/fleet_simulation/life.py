"""What a life of a fleet is, as plain frozen data. Times are virtual seconds from its beginning."""

from __future__ import annotations

from typing import Final, Literal

import attrs

SHOP: Final = "shop"
"""The process that adds sessions, gets callbacks and waits for outcomes; workers are called w0, w1, …"""


@attrs.frozen(kw_only=True)
class Sold:
    """
    A session: what its consumer does, and what the shop does with it.

    Attributes:
        added_at: when the shop adds it. Until then nobody follows it.
        changes: when it gets which status; it begins as WAITING.
        discarded_at: when the shop discards it, if it does.
        added_again_at: when it adds it again then.
        callbacks: when a callback comes, at which process of the fleet.
        failing: so many tries of ``deal_with`` raise; more than the fleet makes, and it is parked.
        slow: the seconds that ``deal_with`` takes.
    """

    added_at: float
    changes: tuple[tuple[float, str], ...]
    discarded_at: float | None = None
    added_again_at: float | None = None
    callbacks: tuple[float, ...] = ()
    failing: int = 0
    slow: float = 0.0


@attrs.frozen(kw_only=True)
class Kill:
    """A process is killed, and another one started after a while, if it is."""

    at: float
    worker: int
    down_for: float
    inside: str = ""
    """A statement of the fleet's, by its name: it happens once this process has performed it in a transaction."""


@attrs.frozen(kw_only=True)
class Restart:
    """A process gets SIGTERM, and another one is started a while after its end."""

    at: float
    worker: int
    down_for: float


@attrs.frozen(kw_only=True)
class Freeze:
    """A process is stopped for a while: a virtual machine that is moved, SIGSTOP, a swapping host."""

    at: float
    whom: str
    seconds: float
    inside: str = ""


@attrs.frozen(kw_only=True)
class CutOff:
    """A process does not reach the database for a while; nothing is closed, and what was sent arrives afterwards."""

    at: float
    whom: str
    seconds: float
    inside: str = ""


@attrs.frozen(kw_only=True)
class Outage:
    """The database is restarted."""

    at: float
    seconds: float


@attrs.frozen(kw_only=True)
class Terminated:
    """Somebody ends connections of a process at the database: one of them, all, or the one that listens."""

    at: float
    whom: str
    which: Literal["one", "all", "listener"] = "one"
    inside: str = ""


@attrs.frozen(kw_only=True)
class Flaky:
    """For a while connections break in the middle of statements: before they are done, or before the answer is out."""

    at: float
    seconds: float
    share: float


Disturbance = Kill | Restart | Freeze | CutOff | Outage | Terminated | Flaky


@attrs.frozen(kw_only=True)
class Life:
    """
    A life of a fleet.

    Attributes:
        workers: how many there are, each with the hours by which its calendar is wrong.
        starts: when each of them starts.
        interval: seconds between two reads of a session.
        rate: the fleet's reads per second.
        parked_after: so many failures of ``deal_with``.
        travel: the most seconds that a message takes to the database, or back.
        latency: the most seconds that a read takes.
        jitter: the share of the interval that is random.
        quota: the provider's requests per second, if it has a limit.
        own_calls: requests per second that the merchant makes beside the fleet.
    """

    seed: int
    skews: tuple[float, ...]
    starts: tuple[float, ...]
    sold: tuple[Sold, ...]
    disturbances: tuple[Disturbance, ...]
    shards: int = 4
    lease: float = 2.0
    interval: float = 2.0
    rate: float = 50.0
    parked_after: int = 10
    travel: float = 0.004
    latency: float = 0.2
    jitter: float = 0.0
    quota: int | None = None
    own_calls: float = 0.0
    length: float = 60.0
