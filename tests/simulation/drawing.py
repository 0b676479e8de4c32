"""From a seed to a life: the same seed, the same life, on every machine and interpreter."""

from __future__ import annotations

from random import Random

from simulation.life import (
    FINAL,
    OUTCOME,
    Answered,
    Caller,
    Cancel,
    Dateless,
    Death,
    Dropped,
    Fault,
    Foreign,
    Garbled,
    Life,
    Manner,
    Missing,
    Refused,
    Scarce,
    Skewed,
    Slow,
    Stale,
    Stalled,
    Style,
    Timeline,
    Trouble,
    Undated,
)

_STORIES = (
    ("IN_PROGRESS", "COMPLETED"),
    ("IN_PROGRESS", "COMPLETED"),
    ("IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED"),
    ("IN_PROGRESS", "FAILED", "FAILED", "COMPLETED"),
    ("IN_PROGRESS", "ERROR", "IN_PROGRESS", "CANCELLED"),
    ("IN_PROGRESS", "BACK", "IN_PROGRESS", "COMPLETED"),
    ("IN_PROGRESS", "BACK"),
    ("IN_PROGRESS", "FAILED"),
    ("IN_PROGRESS", "ERROR"),
    ("IN_PROGRESS", "AWAITING_3DS", "IN_PROGRESS", "COMPLETED"),
    ("MANUAL_ID_CHECK", "IN_PROGRESS", "CANCELLED"),
    ("IN_PROGRESS", "CANCELLED"),
    ("COMPLETED",),
    ("DISABLED",),
    ("IN_PROGRESS",),
    (),
)
"""What consumers do on the page (tracking page), new statuses of a provider that adds some included."""

_BODIES = (b"", b"{}", b"[]", b"<html>try later</html>", b'{"status": nul', b'{"status": null}', b'{"status": ""}')
_HINTS = ("0", "1", "2.5", "30", "-5", "999999", "soon", "", "Thu, 15 Jan 2026 12:05:00 GMT")


def life_of(seed: int) -> Life:
    """Return the life that *seed* stands for."""
    chance = Random(seed)
    sessions = tuple(_timeline(chance) for _ in range(chance.choice((1, 1, 1, 2, 3))))
    length = max(session.end for session in sessions)
    callers = tuple(_caller(chance, len(sessions), length) for _ in range(chance.choice((1, 1, 2, 3, 5))))

    def moments(most: int) -> tuple[tuple[float, int], ...]:
        drawn = [(chance.uniform(0.0, length), chance.randrange(len(sessions))) for _ in range(chance.randint(0, most))]
        return tuple(sorted(drawn))

    callbacks = moments(4)
    if callbacks and chance.random() < 0.4:
        callbacks = tuple(sorted((*callbacks, *[(at + chance.choice((0.0, 1.0)), on) for at, on in callbacks])))
    return Life(
        seed=seed,
        sessions=sessions,
        troubles=tuple(_trouble(chance, length) for _ in range(chance.choice((0, 1, 1, 2, 3)))),
        callers=callers,
        callbacks=callbacks,
        disables=moments(1) if chance.random() < 0.2 else (),
        looks=moments(2) if chance.random() < 0.3 else (),
        deaths=_deaths(chance, length) if chance.random() < 0.3 else (),
        closed_at=chance.uniform(0.0, length) if chance.random() < 0.08 else None,
        latency=chance.choice((0.0, 0.2, 0.2, 3.0, 3.0)),
        reads_per_second=chance.choice((1.0, 5.0, 12.5, 12.5)),
        in_flight=chance.choice((1, 2, 10, 10)),
        attempts=chance.choice((1, 3, 3)),
        outage_tolerance=chance.choice((60.0, 600.0, 600.0)),
    )


def _timeline(chance: Random) -> Timeline:
    lifetime = chance.choice((60.0, 120.0, 300.0, 300.0, 900.0)) * chance.uniform(0.5, 1.5)
    moves: list[tuple[float, float]] = []
    if chance.random() < 0.2:
        at = chance.uniform(0.0, lifetime)
        moves.append((at, at + chance.uniform(10.0, 600.0)))
    expiry = moves[-1][1] if moves else lifetime
    at, steps = 0.0, list[tuple[float, str]]()
    for status in chance.choice(_STORIES):
        at += chance.choice((0.0, 1.0, chance.expovariate(1 / 20), chance.expovariate(1 / 60)))
        steps.append((round(at, 3), status))
    if steps and chance.random() < 0.1:  # in the last second
        steps[-1] = (round(max(expiry - chance.uniform(0.1, 1.0), steps[-1][0]), 3), steps[-1][1])
    return Timeline(
        # Nobody can do anything on a page that has expired.
        steps=tuple(step for step in steps if step[0] < expiry or step[0] == 0.0),
        lifetime=lifetime,
        moves=tuple(moves),
        readable_for=chance.choice((0.0, 3.0, 86_400.0, 86_400.0)),
        forgotten_at=chance.uniform(0.0, expiry * 1.2) if chance.random() < 0.1 else None,
    )


def _fault(chance: Random) -> Fault:
    limits: tuple[tuple[str, str], ...] = (
        (),
        (("X-Ratelimit-Reset", chance.choice(_HINTS)),),
        (("Retry-After", chance.choice(_HINTS)),),
    )[chance.randrange(3)]
    return chance.choice(
        (
            Slow(chance.choice((1.0, 5.0, 9.0))),
            Dropped(),
            Refused(),
            Stalled(10.0),
            Answered(chance.choice((500, 502, 503, 504))),
            Answered(429, limits),
            Answered(429, limits),
            Answered(chance.choice((302, 400, 409))),
            Answered(chance.choice((401, 403))),
            Garbled(chance.choice(_BODIES)),
            Foreign(),
            Missing(),
            Missing(chance.choice(("NOT_FOUND", "SESSION_COMPLETED"))),
            Stale(chance.uniform(0.1, 3.0)),
            Stale(chance.uniform(0.1, 3.0)),
            Undated(),
            Dateless(),
            Skewed(chance.choice((-7200.0, -60.0, 60.0, 7200.0, 7200.0))),
            Scarce(40, chance.choice((0, 5, 9)), chance.choice((0.0, 1.0, 2.0, 40.0))),
        )
    )


def _trouble(chance: Random, length: float) -> Trouble:
    fault = _fault(chance)
    is_doubtful = isinstance(fault, Missing | Skewed)  # lone ones are to be seen through, many in a row are the truth
    if isinstance(fault, Answered) and fault.status_code in (401, 403) and chance.random() < 0.7:
        fault = Answered(503)
    return Trouble(
        fault=fault,
        start=chance.choice((0.0, chance.uniform(0.0, length))),
        length=chance.choice((5.0, 30.0, 100.0, 100.0, 1000.0)),
        share=chance.choice((0.2, 0.5, 1.0)),
        in_a_row=chance.choice((1, 2)) if is_doubtful and chance.random() < 0.8 else None,
    )


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
        stop_on=chance.choice((OUTCOME, OUTCOME, FINAL, FINAL, frozenset({"BACK"}))),
        timeout=chance.choice((None, None, 0.0, chance.uniform(0.0, length))),
        interval=chance.choice((None, None, None, 1.0, 7.0)),
        linger=0.0 if style is Style.AWAIT else chance.choice((0.0, 0.0, 1.0, chance.uniform(0.0, 120.0))),
        cancels=cancels,
    )


def _deaths(chance: Random, length: float) -> tuple[Death, ...]:
    at, deaths = 0.0, list[Death]()
    for _ in range(chance.randint(1, 2)):
        at += chance.uniform(0.0, length / 2)
        down_for = chance.choice((0.0, 5.0, chance.uniform(0.0, length)))
        deaths.append(Death(at=at, down_for=down_for))
        at += down_for
    return tuple(deaths)
