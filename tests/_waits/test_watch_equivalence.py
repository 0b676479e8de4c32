"""A watch on many sessions reports of each what a wait on it reports; hypothesis draws lives and failures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpp_async import (
    FINAL,
    OUTCOME,
    BudgetPaused,
    Event,
    Expired,
    HPPClient,
    HPPError,
    Outcome,
    PollSchedule,
    ReadBudget,
    ShardsOwned,
    ShardTakenOver,
    Transition,
    TransitionSeen,
    WaitEnded,
    WaitError,
)
from hpp_async.testing import (
    Answered,
    Fault,
    FaultKind,
    Missing,
    Refused,
    ScriptedProvider,
    Stalled,
    VirtualClock,
)

pytestmark = pytest.mark.thorough

STATUSES: Final = ("WAITING", "IN_PROGRESS", "BACK", "AWAITING_3DS", "FAILED", "ERROR", "COMPLETED", "CANCELLED")
ODD: Final = 0.3
"""Added to every time at which something happens: the reads go out at whole seconds, so none is in doubt."""

Said = list[tuple[object, ...]]


@attrs.frozen
class Life:
    changes: Sequence[tuple[int, str]] = ()
    faults: Sequence[Fault] = ()
    lifetime: int = 400


def fault(start: int, length: int, kind: FaultKind) -> Fault:
    return Fault(kind, start=start + ODD, until=start + length + ODD)


faults = st.builds(
    fault,
    st.integers(0, 300),
    st.integers(1, 120),
    st.sampled_from([*map(Answered, (503, 503, 400, 401)), Missing(), Refused(), Stalled(0)]),
)
lives = st.builds(
    Life,
    st.lists(st.tuples(st.integers(1, 350), st.sampled_from(STATUSES)), max_size=5, unique_by=lambda change: change[0]),
    st.lists(faults, max_size=2),
    st.integers(20, 500),
)


class Faulty(ScriptedProvider):
    """A provider whose sessions have the drawn lives, faults included."""

    def __init__(self, lives: Sequence[Life]) -> None:
        super().__init__(VirtualClock(datetime(2026, 1, 15, 12, 0, 0, 250_000, tzinfo=UTC)))
        self.lives = {f"session-{number}": life for number, life in enumerate(lives)}
        for name, life in self.lives.items():
            steps = [(after + ODD, status) for after, status in life.changes]
            self.add(steps, session_id=name, lifetime=timedelta(seconds=life.lifetime + ODD))
            for one in life.faults:
                self.model.add_fault(attrs.evolve(one, session=name))

    def quick_client(self, events: list[Event]) -> HPPClient:
        """Return a client without randomness, whose budget is never short."""
        return HPPClient(
            auth=self.auth,
            endpoint=self.endpoint,
            http_client=self.http_client,
            clock=self.clock,
            schedule=PollSchedule.every(7),
            budget=ReadBudget(1e9, max_in_flight=1000),
            attempts=1,
            outage_tolerance=60,
            observers=[events.append],
            _draw=lambda: 0.0,
        )


def in_words(news: Transition | Outcome | HPPError) -> tuple[object, ...]:
    """Return what must be equal for a wait and a watch: no correlation ids, and nothing that a watch does not keep."""
    match news:
        case Transition():
            return news.previous, news.status, news.sequence, news.is_last, news.token, news.session.read_at
        case Outcome():
            confirmed = news.confirmed if isinstance(news, Expired) else None
            return type(news), news.session.read_at, news.status, news.is_final, confirmed
        case WaitError():
            return type(news), str(news), news.token, news.reads, type(news.last_error)
        case _:
            return (type(news),)


async def watched(lives: Sequence[Life], stop_on: frozenset[str]) -> tuple[dict[str, Said], list[Event]]:
    provider, seen = Faulty(lives), list[Event]()
    said: dict[str, Said] = {name: [] for name in provider.lives}
    async with provider.quick_client(seen) as client, client.watch(list(said), stop_on=stop_on) as watch:
        async for event in watch:
            said[event.session_id].append(in_words(event.news))
            assert event.token is None or event.session_id in event.token
    return said, seen


async def waited(lives: Sequence[Life], stop_on: frozenset[str]) -> tuple[dict[str, Said], list[Event]]:
    provider, seen = Faulty(lives), list[Event]()
    said: dict[str, Said] = {}

    async def follow(name: str) -> None:
        wait = client.wait_for_outcome(name, stop_on=stop_on)
        ending: Outcome | HPPError
        try:
            ending = await wait
        except HPPError as error:
            ending = error
        said[name] = [*map(in_words, wait.transitions), in_words(ending)]

    async with provider.quick_client(seen) as client, anyio.create_task_group() as tasks:
        for name in provider.lives:
            tasks.start_soon(follow, name)
    return said, seen


def by_session(events: list[Event]) -> dict[str, list[object]]:
    """Return the events of each session, whichever number its wait has; of reads and sleeps only that there was one."""
    told: dict[str, list[object]] = {}
    for event in events:
        match event:
            case BudgetPaused() | ShardsOwned() | ShardTakenOver():
                pass
            case TransitionSeen() | WaitEnded():
                told.setdefault(event.session_id, []).append(attrs.evolve(event, wait=0))
            case _:
                told.setdefault(event.session_id, []).append(type(event))
    return told


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=25)
@given(st.lists(lives, min_size=1, max_size=8), st.sampled_from([OUTCOME, FINAL]))
@example([Life(((5, "IN_PROGRESS"), (20, "FAILED"), (30, "COMPLETED")))] * 3, FINAL)
@example([Life(faults=[fault(50, 100, kind)]) for kind in (Answered(503), Missing())], OUTCOME)
def test_a_watch_reports_of_each_session_what_a_wait_on_it_reports(
    backend: str, lives: list[Life], stop_on: frozenset[str]
) -> None:
    said, seen = anyio.run(watched, lives, stop_on, backend=backend)
    expected, expected_seen = anyio.run(waited, lives, stop_on, backend=backend)

    assert said == expected
    assert by_session(seen) == by_session(expected_seen)
