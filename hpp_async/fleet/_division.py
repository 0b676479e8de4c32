"""
Who follows which sessions: sessions are divided into shards, and shards among the workers.

A session belongs to a shard by a hash of its id, which is the same in every process. The workers divide the shards so
that no worker has two more than another. Each worker computes the same shares from the same survey, takes free shards
up to its share, and gives back what it has beyond its share. No worker decides for another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

import attrs

BUCKETS: Final = 4096
"""The hash of a session's id is one of so many numbers. It is stored, and the number of shards is not part of it."""


def bucket_of(session_id: str) -> int:
    """Return the hash of *session_id*: the same in every process, and in every version of Python."""
    return int.from_bytes(hashlib.sha256(session_id.encode()).digest()[:4]) % BUCKETS


def shard_of(session_id: str, shards: int) -> int:
    """Return which of so many *shards* the session belongs to."""
    return bucket_of(session_id) % shards


@attrs.frozen(kw_only=True)
class Survey:
    """
    What the lock manager says of all workers at one time.

    Attributes:
        me: the worker that asked.
        workers: every worker there is.
        owners: the owner of each shard that has one.
    """

    me: int
    workers: frozenset[int]
    owners: Mapping[int, int]


@attrs.frozen
class Moves:
    """What a worker does next: the shards that it gives back, and the free shards that it tries to take."""

    give_back: tuple[int, ...] = ()
    take: tuple[int, ...] = ()


def shares(workers: Collection[int], shards: int) -> dict[int, int]:
    """Return how many of the *shards* each worker is to have."""
    each, rest = divmod(shards, len(workers))
    return {worker: each + (rank < rest) for rank, worker in enumerate(sorted(workers))}


def moves(survey: Survey, shards: int, *, leaving: Collection[int] = ()) -> Moves:
    """Return what the worker that made the *survey* does next; *leaving* are shards that it is giving back already."""
    share = shares(survey.workers | {survey.me}, shards)[survey.me]
    mine = [shard for shard, owner in survey.owners.items() if owner == survey.me and shard not in leaving]
    if len(mine) > share:
        return Moves(give_back=tuple(sorted(mine)[share:]))
    free = sorted(set(range(shards)) - survey.owners.keys())
    # Each worker begins elsewhere: workers that come at the same time then hardly try for the same shard.
    first = len(free) * sorted(survey.workers | {survey.me}).index(survey.me) // len(survey.workers | {survey.me})
    return Moves(take=tuple((free[first:] + free[:first])[: share - len(mine)]))
