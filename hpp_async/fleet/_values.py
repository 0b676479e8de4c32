"""What a fleet says of its sessions and its shards, in any process."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from hpp_async import AnyStatus


@attrs.frozen(kw_only=True)
class News:
    """
    What the fleet has stored of a session: its status after the last event that was dealt with.

    No token and no personal data is in it. Read from your own tables what ``deal_with`` stored to book the order.

    Attributes:
        session_id: the session.
        status: its status; ``None`` before the first reading.
        ending: how the fleet's work on the session ended: the name of an outcome class, such as ``"Completed"``, or of
            an error class; ``"Discarded"``; ``None`` while it goes on.
        data: the event as plain data, by `WatchEvent.to_dict` without secrets; ``None`` before the first one.
        age: for how many seconds this has been stored, by the database's clock; ``None`` before the first event.
        is_followed: whether a worker owned the session's shard when this was read. If not, the status may be old.
        is_parked: whether ``deal_with`` failed so often that the session waits for a person.
    """

    session_id: str
    status: AnyStatus | None
    ending: str | None
    data: Mapping[str, object] | None = attrs.field(repr=False)
    age: float | None
    is_followed: bool
    is_parked: bool

    @property
    def is_last(self) -> bool:
        """Whether the fleet is done with the session."""
        return self.ending is not None


@attrs.frozen(kw_only=True)
class FleetSession:
    """
    One session of the overview.

    Attributes:
        session_id: the session.
        shard: the shard that it belongs to.
        status: its status after the last event that was dealt with; ``None`` before the first.
        parked_ago: how many seconds ago it was parked; ``None`` if it is not.
        failures: how many times in a row ``deal_with`` failed.
        error: the class name of the last error that ``deal_with`` raised; ``"DealOverdueError"`` if it kept the event
            loop busy for longer than the lease; ``"DealCutError"`` if its connection broke again and again; ``None`` if
            it has not failed. The message of an error is not stored: it could hold anything.
        raised_at: the file and the line of your code that raised it, such as ``"shop/worker.py:42"``; ``None`` if it
            was raised elsewhere.
        added_ago: how many seconds ago it was added.
    """

    session_id: str
    shard: int
    status: AnyStatus | None
    parked_ago: float | None
    failures: int
    error: str | None
    raised_at: str | None
    added_ago: float

    @property
    def is_parked(self) -> bool:
        """Whether it waits for a person: ``deal_with`` failed ten times. `Fleet.add` takes it up again."""
        return self.parked_ago is not None


@attrs.frozen(kw_only=True)
class Shard:
    """
    One shard of the overview.

    Attributes:
        number: from 0.
        owner: the worker that owns it, as in `FleetWorker`; ``None`` if nobody does.
        sessions: how many sessions in it are followed.
        unread: how many of these have no first reading yet.
        unread_for: for how many seconds the oldest of them has waited since it was added; ``None`` if there is none.
        failing: of how many sessions the news comes again, because ``deal_with`` failed.
        parked: how many more sessions wait for a person.
    """

    number: int
    owner: int | None
    sessions: int
    unread: int
    unread_for: float | None
    failing: int
    parked: int


@attrs.frozen(kw_only=True)
class FleetWorker:
    """
    One worker of the overview.

    Attributes:
        owner: the process id of its backend in PostgreSQL, which differs from one worker to the next; 0 in SQLite.
        name: its process id and its host, such as ``"4711@web-1"``; ``None`` if that is not known.
        late_by: how late its reads are, in whole seconds, as of at most a second ago: the largest `Watch.late_by` of
            its shards. ``None`` if that is not known.
    """

    owner: int
    name: str | None
    late_by: int | None
