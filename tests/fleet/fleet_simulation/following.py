"""What must hold of who reads: each session is followed by one process, soon after whatever happened to another one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

from fleet_simulation.record import Read, Record, Trouble, number_of
from fleet_simulation.spans import Span, gaps_between, left_of
from hpp_async.fleet._division import shard_of
from hpp_async.fleet._lease import PING


def nobody_is_forgotten(record: Record) -> Iterator[str]:
    """While a session is to be followed it is read on schedule, but for what the design allows for each trouble."""
    life = record.life
    slack = _slack(record)
    general = [*_allowed(record), *_nobody_there(record)]
    for session in sorted(record.rows):
        number, shard = number_of(session), shard_of(session, life.shards)
        in_shard = sum(shard_of(other, life.shards) == shard for other in record.rows)
        interval = max(life.interval, in_shard * life.shards / life.rate)
        busy = [
            Span(item.began_at, (item.began_at + life.lease if item.ended_at is None else item.ended_at) + slack)
            for item in record.tries
            if shard_of_number(record, item.session) == shard
        ]
        own = [
            Span(at, new.retry_at + slack)
            for at, _, new in record.committed
            if new.id == session and new.retry_at is not None
        ]
        own += [
            Span(item.began_at, (item.ended_at or item.began_at + life.lease) + 1.0 + slack)
            for item in record.tries
            if item.session == number
        ]
        reads = [read.at for read in record.reads if read.session == number]
        for span in _to_follow(record, session):
            inside = [at for at in reads if span.start <= at <= span.end]
            points = [span.start, *inside, span.end]
            for start, end in pairwise(points):
                alone = left_of(Span(start, end), [*general, *busy, *own])
                if alone > 2 * interval + life.latency + slack:
                    yield (
                        f"session {number} was not read from {start:.2f} to {end:.2f}: "
                        f"{alone:.2f} s of it without an excuse"
                    )


def shard_of_number(record: Record, number: int) -> int:
    """Return the shard of the session with this number."""
    return next(shard_of(session, record.life.shards) for session in record.rows if number_of(session) == number)


def nobody_is_followed_by_two(record: Record) -> Iterator[str]:
    """A process that has lost a shard reads none of its sessions, once another one owns it: but for a ping."""
    life = record.life
    owners = dict[int, list[tuple[float, str | None]]]()
    for at, shard, worker, is_taken in record.owned:
        owners.setdefault(shard, []).append((at, worker if is_taken else None))
    for read in _new(record.reads):
        taken = owners.get(shard_of_number(record, read.session), [])
        index = bisect_right(taken, read.at, key=lambda item: item[0]) - 1
        at, owner = taken[index] if index >= 0 else (0.0, None)
        if owner is not None and owner != read.worker and read.at - at > PING + 5 * life.travel + 0.01:
            yield (
                f"{read.worker} reads session {read.session} at {read.at:.2f}, and {owner} has owned it since {at:.2f}"
            )


def who_is_gone_is_left_alone(record: Record) -> Iterator[str]:
    """A session that was discarded, is parked, or has ended is read no more."""
    allowed = _allowed(record)
    for session in sorted(record.rows):
        number = number_of(session)
        followed = _to_follow(record, session)
        for read in _new(record.reads):
            if read.session != number or not followed or any(span.start <= read.at <= span.end for span in followed):
                continue
            since = max((span.end for span in followed if span.end < read.at), default=0.0)
            if left_of(Span(since, read.at), allowed) > 1.0 + _slack(record):
                yield f"{read.worker} reads session {number} at {read.at:.2f}, which was over at {since:.2f}"


def without_the_database_nothing_is_read(record: Record) -> Iterator[str]:
    """A process that does not reach the database stops reading before its lease is over."""
    for trouble in record.troubles:
        if trouble.kind not in ("Outage", "CutOff"):
            continue
        for read in _new(record.reads):
            is_meant = trouble.whom in ("", read.worker)
            # A process that is cut off does not hear of its connections' end.
            is_deaf = trouble.kind == "CutOff" or any(
                other.kind == "CutOff" and other.whom == read.worker and other.start <= trouble.start <= other.end
                for other in record.troubles
            )
            patience = record.life.lease if is_deaf else PING + 4 * record.life.travel + 0.1
            if is_meant and trouble.start + patience < read.at < trouble.end:
                yield f"{read.worker} reads at {read.at:.2f} without the database, which it lost at {trouble.start:.2f}"


def _new(reads: list[Read]) -> list[Read]:
    """
    Return the reads without their further attempts.

    A process that was frozen in the middle of a read tries again when it goes on. Nobody waits for the answer.
    """
    return [read for read in reads if not read.is_again]


# -- what is allowed --------------------------------------------------------------------------------------------------


def _slack(record: Record) -> float:
    """Return the seconds that some twenty messages to the database may take, one after another."""
    return 0.5 + 30 * record.life.travel


def _to_follow(record: Record, session: str) -> list[Span]:
    """Return the stretches in which the session is to be followed."""
    spans, since = list[Span](), None
    for at, _, new in record.committed:
        if new.id != session:
            continue
        if new.is_open and since is None:
            since = at
        elif not new.is_open and since is not None:
            spans.append(Span(since, at))
            since = None
    return spans if since is None else [*spans, Span(since, record.ended_at)]


def _allowed(record: Record) -> list[Span]:
    return [_span_of(record, trouble) for trouble in record.troubles]


def _span_of(record: Record, trouble: Trouble) -> Span:
    """Return for how long sessions may be without a reader, as the design says."""
    lease, slack, start, end = record.life.lease, _slack(record), trouble.start, trouble.end
    match trouble.kind:
        case "Kill":
            return Span(start, start + 1.0 + PING + slack)
        case "Freeze" | "CutOff":
            return Span(start, min(end, start + lease) + 2.0 + slack)
        case "Outage" | "Flaky":
            return Span(start, end + RECOVERY + slack)
        case _:
            return Span(start, start + 1.0 + PING + slack)


RECOVERY = 8.0
"""Seconds after an outage of the database: the longest pause between two tries, and what a try takes."""


def _nobody_there(record: Record) -> list[Span]:
    """Return when no worker is there at all, and a bit longer."""
    present = list[Span]()
    for worker, span in record.present:
        absent = [
            Span(trouble.start, trouble.end + RECOVERY + 5.0)
            for trouble in record.troubles
            if trouble.kind in ("Freeze", "CutOff") and trouble.whom == worker
        ]
        present += gaps_between(absent, Span(span.start + 1.0 + _slack(record), span.end))
    return gaps_between(present, Span(0.0, record.ended_at))
