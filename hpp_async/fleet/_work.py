"""What all shards of a worker have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from itertools import count
from typing import Final, Generic

import attrs

from hpp_async import AnyStatus, HPPClient, WatchEvent
from hpp_async.fleet._lease import Lease, retry_after
from hpp_async.fleet._store import Store, Tx

_numbers: Final = count(1)


@attrs.frozen(kw_only=True)
class Work(Generic[Tx]):
    """
    What all shards of a worker have in common.

    Attributes:
        client: reads the sessions.
        store: where they are kept.
        shards: how many shards there are.
        lease: for how long a transaction may be idle.
        stop_on: the statuses that end a session, beside the final ones.
        deal_with: the user's function.
        pause: the seconds before an event that failed so many times comes again; ``None`` to park its session.
        number: tells the workers of this process apart, for observers.
        loading: held while the sessions of one shard are loaded or their tokens stored. With thousands of sessions
            either keeps the event loop busy: for all shards at once, it would be for longer than the lease.
        cuts: how many times in a row the connection broke while an event of the session was dealt with.
    """

    client: HPPClient
    store: Store[Tx]
    shards: int
    lease: Lease
    stop_on: Collection[AnyStatus | str]
    deal_with: Callable[[WatchEvent, Tx], Awaitable[object]]
    pause: Callable[[int, float], float | None] = retry_after
    number: int = attrs.field(init=False, factory=lambda: next(_numbers))
    loading: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)
    cuts: dict[str, int] = attrs.field(init=False, factory=dict[str, int])
