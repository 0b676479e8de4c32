"""
The metrics, and what each event adds to them: the same for Prometheus and for OpenTelemetry.

The values of every attribute come from a list that is fixed in the code: whatever the provider or a hook invents
becomes ``other``, and no session id is among them. So the number of time series is bounded.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, assert_never

import attrs

import hpp_async
from hpp_async import (
    AnyStatus,
    BudgetPaused,
    DealFailed,
    Event,
    ReadFailed,
    ReadFinished,
    SessionParked,
    ShardsOwned,
    ShardTakenOver,
    Slept,
    TransitionSeen,
    WaitDropped,
    WaitEnded,
    WaitStarted,
)

OTHER: Final = "other"
"""The value for whatever has no name of its own here."""

SERVER: Final = "server.address"
STATUS_CODE: Final = "http.response.status_code"
ERROR: Final = "error.type"
STATUS: Final = "hpp.session.status"
PREVIOUS: Final = "hpp.session.previous_status"
ENDING: Final = "hpp.ending"
REASON: Final = "hpp.budget.reason"
TAKEOVER: Final = "hpp.takeover.reason"

_ERRORS: Final = frozenset(name for name in hpp_async.__all__ if name.endswith("Error"))
OUTCOMES_OF_WAITS: Final = ("Completed", "Failed", "Cancelled", "Errored", "Disabled", "Expired", "Stopped")
_ERRORS_OF_WAITS: Final = (
    "AuthenticationError",
    "ClientClosedError",
    "ConfigurationError",
    "ExpiryUnknownError",
    "OutageError",
    "SessionNotFoundError",
    "SessionVanishedError",
    "WaitTimeoutError",
)
_ENDINGS: Final = _ERRORS.union(OUTCOMES_OF_WAITS)
_HTTP: Final = frozenset(HTTPStatus)

Attributes = dict[str, str | int]


class Kind(enum.Enum):
    """What a metric is."""

    HISTOGRAM = enum.auto()
    COUNTER = enum.auto()
    UP_DOWN = enum.auto()


@attrs.frozen(kw_only=True)
class Metric:
    """
    One metric: its name and *unit* as OpenTelemetry writes them.

    *attributes* are the names of all attributes that it can have, *buckets* the upper bounds of a histogram, and
    *known* the values of the only attribute that are known before they occur. A figure that *is_shared* is the same in
    all processes, and is not added up over them.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    is_shared: bool = False
    buckets: tuple[float, ...] = ()
    known: tuple[str, ...] = ()


READ_DURATION: Final = Metric(
    name="hpp.client.read.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Duration of reads of a session, from the first attempt to the last.",
    attributes=(SERVER, STATUS_CODE, ERROR),
    # Those that the semantic conventions give for http.client.request.duration, and two for reads of several attempts.
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0),
)
NEWS_AGE: Final = Metric(
    name="hpp.client.news.age",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Age of a change of status when it was read, by the provider's clock; first sightings do not count.",
    attributes=(STATUS,),
    buckets=(1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 21600.0, 86400.0),
)
READ_LATENESS: Final = Metric(
    name="hpp.client.read.lateness",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="How long after they were due reads began: the budget is short, or the event loop is busy.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
WAIT_DURATION: Final = Metric(
    name="hpp.client.wait.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Duration of waits, from the first step to their ending.",
    attributes=(ENDING,),
    buckets=(
        1.0,
        5.0,
        10.0,
        30.0,
        60.0,
        120.0,
        300.0,
        600.0,
        1800.0,
        3600.0,
        7200.0,
        21600.0,
        43200.0,
        86400.0,
        172800.0,
    ),
)
OUTCOMES: Final = Metric(
    name="hpp.client.outcomes",
    kind=Kind.COUNTER,
    unit="{outcome}",
    description="Waits that ended, by the class of their outcome or error.",
    attributes=(ENDING,),
    known=(*OUTCOMES_OF_WAITS, *_ERRORS_OF_WAITS),
)
TRANSITIONS: Final = Metric(
    name="hpp.client.transitions",
    kind=Kind.COUNTER,
    unit="{transition}",
    description="Changes of status that waits saw, first sightings included.",
    attributes=(PREVIOUS, STATUS),
)
SESSIONS_OPEN: Final = Metric(
    name="hpp.client.sessions.open",
    kind=Kind.UP_DOWN,
    unit="{session}",
    description="Sessions that a wait or a watch follows now.",
)
BUDGET_PAUSED: Final = Metric(
    name="hpp.client.budget.paused",
    kind=Kind.COUNTER,
    unit="s",
    description="Seconds for which all reads paused: after a 429 (refused), or to spare the quota (quota).",
    attributes=(REASON,),
    known=("quota", "refused"),
)
SHARDS_OWNED: Final = Metric(
    name="hpp.fleet.shards.owned",
    kind=Kind.UP_DOWN,
    unit="{shard}",
    description="Shards of a fleet that the workers of this process own now.",
)
SHARDS_LIMIT: Final = Metric(
    name="hpp.fleet.shards.limit",
    kind=Kind.UP_DOWN,
    unit="{shard}",
    description="Shards of the fleet for which this process works, whoever owns them.",
    is_shared=True,
)
TAKEOVERS: Final = Metric(
    name="hpp.fleet.takeovers",
    kind=Kind.COUNTER,
    unit="{shard}",
    description="Shards that were taken over: from an owner that handed them over (handed_over), or that died (lost).",
    attributes=(TAKEOVER,),
    known=("handed_over", "lost"),
)
PARKED: Final = Metric(
    name="hpp.fleet.parked",
    kind=Kind.COUNTER,
    unit="{session}",
    description="Sessions that were parked for a person, because deal_with failed ten times in a row.",
)
DEAL_FAILURES: Final = Metric(
    name="hpp.fleet.deal.failures",
    kind=Kind.COUNTER,
    unit="{failure}",
    description="How often deal_with, or its transaction, failed.",
)
METRICS: Final = (
    READ_DURATION,
    NEWS_AGE,
    READ_LATENESS,
    WAIT_DURATION,
    OUTCOMES,
    TRANSITIONS,
    SESSIONS_OPEN,
    BUDGET_PAUSED,
    SHARDS_OWNED,
    SHARDS_LIMIT,
    TAKEOVERS,
    PARKED,
    DEAL_FAILURES,
)


class Measurements:
    """What events add to the metrics. It counts the sessions that are open, and the shards of each worker."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._shards: dict[int, ShardsOwned] = {}
        """The last event of each worker that goes on."""

    def of(self, event: Event) -> Iterator[tuple[Metric, float, Attributes]]:
        """Yield each metric that *event* changes, by how much, and the attributes."""
        match event:
            case ReadFinished():
                yield READ_DURATION, event.seconds, _of_read(event)
            case ReadFailed():
                error = event.error if event.error in _ERRORS else OTHER
                yield READ_DURATION, event.seconds, {**_of_read(event), ERROR: error}
            case TransitionSeen():
                status = status_name(event.status)
                previous = "none" if event.previous is None else status_name(event.previous)
                yield TRANSITIONS, 1, {PREVIOUS: previous, STATUS: status}
                if event.previous is not None and event.age is not None:
                    yield NEWS_AGE, event.age, {STATUS: status}
            case Slept():
                yield READ_LATENESS, event.late_by, {}
            case BudgetPaused():
                yield BUDGET_PAUSED, event.added, {REASON: "refused" if event.is_refused else "quota"}
            case WaitStarted():
                self._open[event.session_id] += 1
                if self._open[event.session_id] == 1:
                    yield SESSIONS_OPEN, 1, {}
            case WaitEnded():
                ending: Attributes = {ENDING: ending_name(event.ending)}
                yield OUTCOMES, 1, ending
                yield WAIT_DURATION, event.seconds, ending
                yield from self._closed(event.session_id)
            case WaitDropped():
                yield from self._closed(event.session_id)
            case ShardsOwned():
                yield from self._owned(event)
            case ShardTakenOver():
                yield TAKEOVERS, 1, {TAKEOVER: "handed_over" if event.was_handed_over else "lost"}
            case DealFailed():
                yield DEAL_FAILURES, 1, {}
            case SessionParked():
                yield DEAL_FAILURES, 1, {}
                yield PARKED, 1, {}
            case _ as never:
                assert_never(never)

    def _owned(self, event: ShardsOwned) -> Iterator[tuple[Metric, float, Attributes]]:
        before = self._shards.pop(event.worker, None)
        if event.shards:
            self._shards[event.worker] = event
        yield SHARDS_OWNED, event.owned - (0 if before is None else before.owned), {}
        yield SHARDS_LIMIT, event.shards - (0 if before is None else before.shards), {}

    def _closed(self, session_id: str) -> Iterator[tuple[Metric, float, Attributes]]:
        self._open[session_id] -= 1
        if self._open[session_id] <= 0:
            del self._open[session_id]
            yield SESSIONS_OPEN, -1, {}


def _of_read(event: ReadFinished | ReadFailed) -> Attributes:
    found: Attributes = {SERVER: event.host}
    if event.status_code is not None and event.status_code in _HTTP:
        found[STATUS_CODE] = event.status_code
    return found


def status_name(status: AnyStatus) -> str:
    """Return the status; `OTHER` for one that the provider invented after this version."""
    return str(status) if status.is_recognized else OTHER


def ending_name(ending: str) -> str:
    """Return the ending's name; `OTHER` for the name of a class that is not the library's."""
    return ending if ending in _ENDINGS else OTHER
