"""From a seed to a life: the same seed, the same life, on every machine and interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import attrs

from hpp_async import SessionStatus, UnknownStatus
from hpp_async.testing import (
    Act,
    Answered,
    Cut,
    Dateless,
    Dropped,
    Envelope,
    Fault,
    FaultKind,
    Foreign,
    Garbled,
    Hint,
    Missing,
    Operation,
    Refused,
    Scarce,
    Script,
    Skewed,
    Slow,
    Stale,
    Stalled,
    Throttled,
    Undated,
    becomes,
    cancels,
    declines,
    disabled,
    errors,
    extends,
    forgotten,
    goes_back,
    identifies,
    opens,
    pays,
    retries,
    returns,
    vanishes,
)
from simulation.life import FINAL, OUTCOME, Caller, Cancel, Death, Freeze, Life, Manner, Style, expiries_of, session_id

_EARLY: Final = frozenset({SessionStatus.BACK, UnknownStatus("AWAITING_3DS")})
_STORIES: Final[tuple[tuple[Act, ...], ...]] = (
    (opens, pays),
    (opens, pays),
    (opens, declines, retries, pays),
    (opens, declines, declines, pays),
    (opens, errors, retries, cancels),
    (opens, goes_back, returns, pays),
    (opens, goes_back),
    (opens, declines),
    (opens, errors),
    (opens, becomes("AWAITING_3DS"), returns, pays),
    (identifies, opens, cancels),
    (opens, cancels),
    (pays,),
    (disabled,),
    (opens, vanishes),
    (),
)
"""What consumers do on the page (tracking page), new statuses of a provider that adds some included."""

_BODIES = (b"", b"{}", b"[]", b"<html>try later</html>", b'{"status": nul', b'{"status": null}', b'{"status": ""}')
_HINTS = ("0", "1", "2.5", "30", "-5", "999999", "soon", "", "Thu, 15 Jan 2026 12:05:00 GMT")


def life_of(seed: int) -> Life:
    """Return the life that *seed* stands for."""
    chance = Random(seed)
    sessions = tuple(_script(chance) for _ in range(chance.choice((1, 1, 1, 2, 3))))
    length = max(expiry for script in sessions for expiry in expiries_of(script))
    callers = tuple(_caller(chance, len(sessions), length) for _ in range(chance.choice((1, 1, 2, 3, 5))))

    def moments(most: int) -> tuple[tuple[float, int], ...]:
        drawn = [(chance.uniform(0.0, length), chance.randrange(len(sessions))) for _ in range(chance.randint(0, most))]
        return tuple(sorted(drawn))

    callbacks = moments(4)
    if callbacks and chance.random() < 0.4:
        callbacks = tuple(sorted((*callbacks, *[(at + chance.choice((0.0, 1.0)), on) for at, on in callbacks])))
    life = Life(
        seed=seed,
        sessions=sessions,
        readable_for=chance.choice((0.0, 3.0, 86_400.0, 86_400.0)),
        faults=tuple(_faults(chance, len(sessions), length)),
        callers=callers,
        is_called=chance.random() < 0.4,
        callbacks=callbacks,
        disables=moments(2) if chance.random() < 0.3 else (),
        looks=moments(2) if chance.random() < 0.3 else (),
        deaths=_deaths(chance, length) if chance.random() < 0.3 else (),
        closed_at=chance.uniform(0.0, length) if chance.random() < 0.12 else None,
        latency=chance.choice((0.0, 0.2, 0.2, 0.2, 3.0, 3.0, 15.0)),
        reads_per_second=chance.choice((1.0, 5.0, 12.5, 12.5)),
        in_flight=chance.choice((1, 2, 10, 10)),
        attempts=chance.choice((1, 3, 3)),
        outage_tolerance=chance.choice((60.0, 600.0, 600.0)),
        freezes=_freezes(chance, length) if chance.random() < 0.15 else (),
        timers_late_by=chance.choice((0.002, 0.05, 0.5)) if chance.random() < 0.15 else 0.0,
    )
    return attrs.evolve(
        life,
        callbacks=tuple(sorted((*life.callbacks, *_flood(chance, len(sessions), length)))),
        looks=tuple(sorted((*life.looks, *_flood(chance, len(sessions), length)))),
    )


def _flood(chance: Random, sessions: int, length: float) -> tuple[tuple[float, int], ...]:
    """Return what comes many times a second for a while, if anything does."""
    if chance.random() >= 0.07:
        return ()
    start, session, a_second = chance.uniform(0.0, length), chance.randrange(sessions), chance.choice((3, 10, 30))
    return tuple((start + number / a_second, session) for number in range(chance.choice((5, 50, 150))))


def _script(chance: Random) -> Script:
    lifetime = chance.choice((60.0, 120.0, 300.0, 300.0, 900.0)) * chance.uniform(0.5, 1.5)
    happens: list[tuple[float, Act]] = []
    expiry = lifetime
    if chance.random() < 0.2:
        at, more = chance.uniform(0.0, lifetime), chance.uniform(10.0, 600.0)
        happens.append((at, extends(expires_in=more)))
        expiry = at + more
    if chance.random() < 0.1:
        happens.append((chance.uniform(0.0, expiry * 1.2), forgotten))
    at, story = 0.0, list[tuple[float, Act]]()
    for act in chance.choice(_STORIES):
        at = round(at + chance.choice((0.0, 1.0, chance.expovariate(1 / 20), chance.expovariate(1 / 60))), 3)
        story.append((at, act))
    if story and chance.random() < 0.1:  # in the last second
        at, act = story[-1]
        story[-1] = (round(max(expiry - chance.uniform(0.1, 1.0), at), 3), act)
    # Nobody can do anything on a page that has expired.
    happens += [(at, act) for at, act in story if at < expiry or at == 0.0]
    acts, before = list[Act](), 0.0
    for at, act in sorted(happens, key=lambda happening: happening[0]):
        acts.append(act(after=at - before))
        before = at
    return Script(*acts, lifetime=lifetime)


def _kind(chance: Random) -> FaultKind:
    envelope = chance.choice(tuple(Envelope))
    ahead = chance.choice(((), (("Date", "Thu, 15 Jan 2026 14:00:00 GMT"),)))
    odd = (chance.choice(("X-Ratelimit-Reset", "Retry-After")), chance.choice(_HINTS))
    return chance.choice(
        (
            Slow(chance.choice((1.0, 5.0, 9.0))),
            Dropped(is_done=chance.random() < 0.5, is_reset=chance.random() < 0.5),
            Refused(),
            Stalled(10.0),
            Cut(),
            Answered(chance.choice((500, 502, 503, 504)), ahead, envelope),
            Answered(429, (odd,), envelope),
            Throttled(chance.choice((0.0, 0.5, 2.0, 20.0, 100.0)), chance.choice(tuple(Hint)), envelope),
            Answered(chance.choice((302, 400, 409)), envelope=envelope),
            Answered(chance.choice((401, 403)), envelope=envelope),
            Garbled(chance.choice(_BODIES)),
            Foreign(),
            Missing(chance.choice(("NOT_FOUND", "NOT_FOUND", "SESSION_COMPLETED"))),
            Answered(404, envelope=envelope, error_code=chance.choice((None, None, "SESSION_COMPLETED"))),
            Stale(chance.uniform(0.1, 3.0)),
            Stale(chance.uniform(1.0, 60.0)),
            Stale(chance.uniform(1.0, 60.0)),
            Stale(chance.uniform(10.0, 300.0)),
            Undated(),
            Dateless(),
            Skewed(chance.choice((-7200.0, -60.0, 60.0, 7200.0, 7200.0))),
            Scarce(40, chance.choice((0, 5, 9)), chance.choice((0.0, 1.0, 2.0, 40.0))),
        )
    )


def _faults(chance: Random, sessions: int, length: float) -> Iterator[Fault]:
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        yield _fault(chance, sessions, length)
    if chance.random() < 0.2:  # some replicas are always behind
        yield Fault(Stale(chance.uniform(1.0, 60.0)), share=0.3, until=length)


def _fault(chance: Random, sessions: int, length: float) -> Fault:
    kind, whom = _kind(chance), dict[str, Any]()
    is_doubtful = isinstance(kind, Missing) or (isinstance(kind, Answered) and kind.status_code in (401, 403, 404))
    if (is_doubtful or isinstance(kind, Skewed)) and chance.random() < 0.8:
        whom["in_a_row"] = chance.choice((1, 2))  # lone ones are to be seen through, many in a row are the truth
    match chance.randrange(8):
        case 0:
            whom["on"] = Operation.CALLBACK
        case 1:
            whom["on"] = chance.choice((Operation.READ, Operation.DISABLE))
        case 2:
            whom["session"] = session_id(chance.randrange(sessions))
        case 3:
            whom["first"] = chance.randint(1, 5)
        case _:
            pass
    start = chance.choice((0.0, chance.uniform(0.0, length)))
    until = start + chance.choice((5.0, 30.0, 100.0, 100.0, 1000.0))
    # Where all replicas are behind, none is: it takes some.
    share = chance.choice((0.2, 0.5) if isinstance(kind, Stale) else (0.2, 0.5, 1.0))
    return Fault(kind, start=start, until=until, share=share, **whom)


def _caller(chance: Random, sessions: int, length: float) -> Caller:
    starts_at = chance.choice((0.0, 0.0, chance.uniform(0.0, length)))
    style = chance.choice(tuple(Style))
    cancels = tuple(
        Cancel(
            at=chance.choice((None, starts_at + chance.uniform(0.0, length / 2))),
            turns=chance.randrange(16),
            manner=chance.choice(tuple(Manner)),
            away=chance.choice((0.0, 0.0, 3.0, chance.uniform(0.0, 2 * length))),
        )
        for _ in range(chance.choice((0, 0, 1, 2, 6)))
    )
    return Caller(
        session=chance.randrange(sessions),
        starts_at=starts_at,
        style=style,
        stop_on=chance.choice((OUTCOME, OUTCOME, FINAL, FINAL, _EARLY)),
        timeout=chance.choice((None, None, 0.0, chance.uniform(0.0, length))),
        interval=chance.choice((None, None, None, 1.0, 7.0)),
        linger=0.0 if style is Style.AWAIT else chance.choice((0.0, 0.0, 1.0, chance.uniform(0.0, 120.0))),
        cancels=cancels,
    )


def _freezes(chance: Random, length: float) -> tuple[Freeze, ...]:
    at, freezes = 0.0, list[Freeze]()
    for _ in range(chance.randint(1, 2)):
        at += chance.uniform(0.0, length / 2)
        freezes.append(Freeze(at=at, seconds=chance.choice((3.0, 30.0, 700.0, 7200.0))))
        at = freezes[-1].until
    return tuple(freezes)


def _deaths(chance: Random, length: float) -> tuple[Death, ...]:
    at, deaths = 0.0, list[Death]()
    for _ in range(chance.randint(1, 2)):
        at += chance.uniform(0.0, length / 2)
        down_for = chance.choice((0.0, 5.0, chance.uniform(0.0, length)))
        deaths.append(Death(at=at, down_for=down_for))
        at += down_for
    return tuple(deaths)
