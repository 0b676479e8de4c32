"""What a fleet does, on a screen of 80 columns or as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import attrs

from hpp_async.cli._records import Record, line
from hpp_async.cli._words import duration, printable, say
from hpp_async.fleet import FleetSession, FleetWorker, Shard

_NAME: Final = 40
_PLACE: Final = 36
_REST: Final = len("  999 h 59 min  sessions  ")
"""The name, the next two columns and the shard numbers share 80 characters; the shard numbers are cut to fit."""


@attrs.frozen(kw_only=True)
class Overview:
    """All workers and shards, and the sessions that are parked."""

    workers: Sequence[FleetWorker]
    shards: Sequence[Shard]
    parked: Sequence[FleetSession]

    def owned_by(self, owner: int | None) -> list[Shard]:
        """Return the shards that the worker *owner* owns; for ``None``, those that nobody owns."""
        # A worker may have come or gone between two queries.
        known = {worker.owner for worker in self.workers}
        return [shard for shard in self.shards if (shard.owner if shard.owner in known else None) == owner]


def print_overview(overview: Overview, *, as_json: bool) -> None:
    """Print the overview, and on stderr what to do next."""
    if as_json:
        print(line(_record(overview)), flush=True)
    else:
        print("\n".join(_lines(overview)), flush=True)
    ownerless = [shard for shard in overview.shards if shard.owner is None]
    if ownerless:
        say(f"no worker follows {len(ownerless)} of {_count(len(overview.shards), 'shard')}: start one")
    if overview.parked:
        say("Next: mend what deal_with fails at, and then run hpp-async fleet retry SESSION...")


def _record(overview: Overview) -> Record:
    return {
        "type": "fleet",
        "workers": [attrs.asdict(worker) for worker in overview.workers],
        "shards": [attrs.asdict(shard) for shard in overview.shards],
        "parked": [attrs.asdict(session) for session in overview.parked],
    }


def _lines(overview: Overview) -> Iterator[str]:
    shards = overview.shards
    unread, failing = sum(shard.unread for shard in shards), sum(shard.failing for shard in shards)
    oldest = max((shard.unread_for for shard in shards if shard.unread_for is not None), default=0.0)
    yield f"followed: {_count(sum(shard.sessions for shard in shards), 'session')} in {_count(len(shards), 'shard')}"
    yield f"not read yet: {unread}" + (f", the first for {duration(oldest)}" if unread else "")
    yield f"failing: {failing}"
    yield f"parked: {len(overview.parked)}"
    yield ""
    yield from _columns([("worker", "late by", "sessions", "shards"), *_workers(overview)], right=(1, 2))
    if overview.parked:
        yield ""
        yield from _columns([("parked for", "session", "status", "error"), *_parked(overview)], right=(0,))


def _workers(overview: Overview) -> Iterator[tuple[str, ...]]:
    names = {worker.owner: printable(worker.name or "in another process")[:_NAME] for worker in overview.workers}
    width = 80 - _REST - max(map(len, [*names.values(), "nobody"]))
    for worker in overview.workers:
        late_by = "?" if worker.late_by is None else duration(worker.late_by)
        yield names[worker.owner], late_by, *_owned(overview.owned_by(worker.owner), width)
    ownerless = overview.owned_by(None)
    if ownerless:
        yield "nobody", "-", *_owned(ownerless, width)


def _owned(shards: Sequence[Shard], width: int) -> tuple[str, str]:
    numbers = ", ".join(_ranges([shard.number for shard in shards])) or "none"
    return str(sum(shard.sessions for shard in shards)), textwrap.shorten(numbers, width, placeholder=" ...")


def _ranges(numbers: Sequence[int]) -> Iterator[str]:
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        found = [number for _, number in group]
        yield str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}"


def _parked(overview: Overview) -> Iterator[tuple[str, ...]]:
    for session in overview.parked:
        parked_for = duration(session.parked_ago or 0.0)
        yield parked_for, printable(session.session_id), printable(session.status or "-"), session.error or "-"
        if session.raised_at is not None:
            yield "", printable(f"at {session.raised_at}"[:_PLACE]), "", ""


def _columns(rows: Sequence[tuple[str, ...]], *, right: Sequence[int]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
