"""What a wait can have heard, and what is known of its time: the words that the checks are written in."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from simulation.life import FINAL, changes_of
from simulation.record import Record, Request, Seen, Served, WaitRecord
from simulation.world import START

TINY: Final = 1e-6
GRACE: Final = 5.0
"""Seconds after expiry at which the last look is taken."""
SETTLING: Final = 2.0
"""Seconds between looks that settle a doubt."""
MINUTE: Final = 60.0
SHORTEST_PAUSE: Final = 0.05
"""Seconds for which an answer that asks for none closes the budget, and slows it down afterwards."""


def reads_of(record: Record, wait: WaitRecord) -> list[Request]:
    """Return the reads of the wait's session in its process, as they ended."""
    found = [
        request
        for request in record.requests
        if is_read_of(request, wait) and request.ended_at is not None and request.served.kind != "lost"
    ]
    return sorted(found, key=landed_at)


def is_read_of(request: Request, wait: WaitRecord) -> bool:
    """Tell whether *request* is a read of the wait's session in its process."""
    return (request.process, request.session, request.method) == (wait.process, wait.of.session, "GET")


def landed_at(request: Request) -> float:
    assert request.ended_at is not None, "asked of requests that ended"
    return request.ended_at


def is_landed(request: Request, moment: float) -> bool:
    """Tell whether the request had ended at *moment*."""
    return request.ended_at is not None and request.ended_at <= moment


def end_of(record: Record, wait: WaitRecord) -> float:
    """Return when the wait ended, or its process; after everything, for one that goes on for ever."""
    return record.closed.get(wait.process, record.life.end) if wait.ended_at is None else wait.ended_at


def answers_heard(record: Record, wait: WaitRecord) -> list[Request]:
    end = end_of(record, wait)
    return [request for request in reads_of(record, wait) if wait.started_at <= landed_at(request) <= end]


def chain_of(record: Record, wait: WaitRecord) -> list[WaitRecord]:
    """Return the waits of the same caller up to this one: each but the first goes on from the token before."""
    return [other for other in record.waits if other.caller == wait.caller and other.process <= wait.process]


def heard_in_chain(record: Record, wait: WaitRecord) -> list[Request]:
    """Return what the wait, and those that it goes on from, may have heard."""
    return [request for one in chain_of(record, wait) for request in may_share(record, one)]


def may_share(record: Record, wait: WaitRecord) -> list[Request]:
    """Return what the wait may have heard: a reading that was young when it began will do for it."""
    before = [request for request in readings_in(reads_of(record, wait)) if landed_at(request) < wait.started_at]
    young = [request for request in before[-1:] if request.asked_at >= wait.started_at - smallest_delay(wait)]
    return young + answers_heard(record, wait)


def ways_to_hear(record: Record, wait: WaitRecord) -> list[list[Request]]:
    """
    Return every list of answers that an undisturbed wait can have heard.

    Where a freeze ends, an answer comes in the very moment in which a wait begins or its time is over: before or after.
    Where answers take no time, a read for somebody else may begin and end in the very moment in which a wait ends.
    """
    heard = answers_heard(record, wait)
    ways = [heard, may_share(record, wait)]
    thaws = {freeze.until for freeze in record.life.freezes}
    if wait.started_at in thaws:
        ways.append([request for request in heard if landed_at(request) > wait.started_at])
    if wait.ended_at in thaws and wait.ending == "WaitTimeoutError":
        ways += [[request for request in way if landed_at(request) < wait.ended_at] for way in ways]
    return [heard for way in ways for heard in ends_of(way)]


def ends_of(heard: list[Request]) -> list[list[Request]]:
    """Return *heard*, and what is left of it without reads at its end that may have been for somebody else."""
    ends = [heard]
    for before, after in pairwise(reversed(heard)):
        if before.asked_at < landed_at(after):
            break
        ends.append(ends[-1][:-1])
    return ends


def smallest_delay(wait: WaitRecord) -> float:
    return 2.0 * 0.9 if wait.of.interval is None else wait.of.interval


def is_at_it(wait: WaitRecord, moment: float) -> bool:
    """Tell whether the caller was at it all around *moment*."""
    return any(began_at < moment < ended_at for began_at, ended_at in wait.steps)


def time_at_it(wait: WaitRecord, start: float, end: float) -> float:
    return sum(max(0.0, min(end, ended) - max(start, began)) for began, ended in wait.steps)


def time_awake(record: Record, wait: WaitRecord, start: float, end: float) -> float:
    """Return for how many of these seconds the caller was at it, and its process not frozen."""
    return sum(
        max(0.0, min(end, ended) - max(start, began)) - record.life.frozen(max(start, began), min(end, ended))
        for began, ended in wait.steps
    )


def is_undisturbed(wait: WaitRecord) -> bool:
    """Whether the wait heard every answer: one sitting, and nothing between its steps."""
    return len(wait.sittings) == 1 and not wait.of.linger


def is_alone(record: Record, wait: WaitRecord) -> bool:
    """Whether nobody else asks about the session: a failure is told to those who asked, and to no other."""
    others = [call for call in record.calls if call.process == wait.process and call.name != "notify"]
    return len(record.waits_on(wait.of.session, wait.process)) == 1 and all(
        call.session != wait.of.session for call in others
    )


def readings_in(requests: list[Request]) -> list[Request]:
    return [request for request in requests if request.served.kind == "reading"]


def is_an_answer(request: Request) -> bool:
    return request.served.kind in ("reading", "missing")


def believed_of(answers: list[Request], wait: WaitRecord, newest: float | None) -> tuple[list[Served], Request | None]:
    """
    Return the changes that a wait which hears *answers* must see, and the answer that must end it, if any.

    *newest* is the newest date that the wait knows from before; see `newest_before`.
    """
    status = None if wait.since is None else wait.since.status
    changes: list[Served] = []
    for answer in answers:
        served = answer.served
        is_final = served.status in FINAL
        if not is_final and (
            status in FINAL or (served.updated_at is not None and newest is not None and served.updated_at < newest)
        ):
            continue
        if served.updated_at is not None:
            newest = served.updated_at if newest is None else max(newest, served.updated_at)
        if served.status != status:
            changes.append(served)
        status = served.status
        if status in wait.stops_on:
            return changes, answer
    return changes, None


def newest_before(record: Record, wait: WaitRecord) -> list[float | None]:
    """
    Return what the newest date of a reading can be that the wait's resume token carries.

    The token remembers more than its own transition, which may be undated: the dates of the transitions before it, and
    of readings that showed no change. Which of those readings the caller's earlier waits heard is not always known, so
    there may be several such dates.
    """
    since = wait.since
    if since is None:
        return [None]
    earlier = [other for other in record.waits if other.caller == wait.caller and other.process < wait.process]
    shown = [date_of(seen) for other in earlier for seen in other.known if seen.sequence <= since.sequence]
    said = {request.served.updated_at for other in earlier for request in readings_in(may_share(record, other))}
    least = max((date for date in shown if date is not None), default=None)
    later = sorted(date for date in said if date is not None and (least is None or date > least))
    return [least, *later]


def date_of(seen: Seen) -> float | None:
    updated_at = seen.session.updated_at
    return None if updated_at is None else (updated_at - START).total_seconds()


def true_statuses(record: Record, session: int, until: float) -> set[str]:
    """Return every status the session was in by then."""
    changes = [status for at, status in changes_of(record.life.sessions[session]) if at <= until + TINY]
    disabled = {"DISABLED" for at, which in record.disabled if which == session and at <= until}
    return {"WAITING", *changes, *disabled}


def pauses_of(record: Record, process: int) -> list[tuple[float, float]]:
    """Return from when to when, at the most, answers to *process* closed the budget; none twice."""
    found: list[tuple[float, float]] = []
    for request in sorted((r for r in record.requests if r.ended_at is not None), key=landed_at):
        served, since = request.served, landed_at(request)
        if request.process != process or (served.kind != "limited" and served.pause is None):
            continue
        until = since + min(MINUTE, MINUTE if served.pause is None else max(SHORTEST_PAUSE, served.pause))
        since = max(since, found[-1][1]) if found else since
        if until > since:
            found.append((since, until))
    return found
