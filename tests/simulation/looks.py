"""Looks (P5, P9) and their budget (section 5): in time, as few as promised, and shared."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from math import ceil
from typing import Final

from hpp_async.testing import Skewed
from simulation.hearing import (
    MINUTE,
    SETTLING,
    SHORTEST_PAUSE,
    TINY,
    answers_heard,
    chain_of,
    end_of,
    is_alone,
    is_at_it,
    is_read_of,
    is_undisturbed,
    landed_at,
    may_share,
    pauses_of,
    readings_in,
    reads_of,
    smallest_delay,
    time_at_it,
)
from simulation.life import changes_of, expiries_of
from simulation.record import Call, Record, Request, WaitRecord

BETWEEN_ATTEMPTS: Final = 5.0
"""Seconds that pass between two attempts of one read, at the most."""


def looks_come_in_time(record: Record, wait: WaitRecord) -> Iterator[str]:
    """From each answer to the next look: no longer than the schedule, a hint, the budget and a failure explain."""
    if not is_undisturbed(wait):
        return
    end = max((step[1] for step in wait.steps), default=wait.started_at)
    alone = is_alone(record, wait)
    reads = [request for request in record.requests if is_read_of(request, wait)]
    for request in answers_heard(record, wait):
        if request.served.kind != "reading" and not alone:
            continue
        told_at = landed_at(request)
        # By its place and not by its time: an answer without latency, and the next look, may have the same.
        place = next(place for place, read in enumerate(reads) if read is request) + 1
        after = min(reads[place].asked_at, end) if place < len(reads) else end
        longest = _longest_delay(record, wait, request)
        if after - told_at > longest + _slack(record, wait, told_at, after) + TINY:
            yield f"{after - told_at:.3f} s from the answer at {told_at:.3f} to the next look, instead of {longest:.3f}"


def _slack(record: Record, wait: WaitRecord, told_at: float, after: float) -> float:
    """Return by how many seconds a look at *after* may be late: for the budget, pauses, freezes and late timers."""
    life, pauses = record.life, pauses_of(record, wait.process)
    paused = sum(max(0.0, min(until, after) - max(since, told_at)) for since, until in pauses)
    # What is scheduled has half of the rate at least, whatever the number of looks beside the waits.
    others = len(life.callers) + len(life.disables)
    queue = min(2 * (others + len(life.looks)), 4 * others) / life.reads_per_second
    if any(r.served.kind != "reading" and told_at <= r.asked_at <= after for r in record.requests):
        queue *= life.attempts + 1  # attempts of reads that are under way go first
    # After a pause the rate climbs back from as little as a sixty-fourth.
    slow = MINUTE if any(until > told_at - 2 * MINUTE for _, until in pauses) else 0.0
    busy = (life.latency + 10.0) * life.attempts * (life.in_flight < 10)
    late = life.frozen(told_at, after) + life.timers_late_by
    return paused + queue + slow + busy + late


def a_restart_costs_nothing(record: Record, wait: WaitRecord) -> Iterator[str]:
    """The first look after a restart comes when the next look was due before it: not earlier, and not much later."""
    *before, _ = chain_of(record, wait)
    heard = [request for one in before for request in answers_heard(record, one)]
    looks = [r.asked_at for r in record.requests if is_read_of(r, wait) and r.asked_at <= end_of(record, wait)]
    if not heard or not looks or wait.of.timeout is not None or _is_crowded(record, wait):
        return
    last, first = heard[-1], looks[0]
    told_at, served = landed_at(last), last.served
    since_then = [one for one in before if one.process >= last.process]
    is_handed_over = wait.of.style == "await" or all(len(one.yielded) == len(one.known) for one in since_then)
    if not is_handed_over or not all(is_undisturbed(one) for one in [*since_then, wait]):
        return
    if served.kind != "reading" or served.lag or not is_at_it(since_then[0], told_at):
        return
    longest = _longest_delay(record, since_then[0], last)
    until = max(wait.started_at, told_at + longest)
    if first > until + _slack(record, wait, wait.started_at, first) + TINY:
        yield f"the first look comes at {first:.3f}, and was due at {until:.3f}"
    if (
        len(readings_in(heard)) == 1
        or first >= min(expiries_of(record.life.sessions[wait.of.session]))
        or served.status in wait.stops_on
    ):
        return  # the very first delay is drawn from the whole, and an expiry has looks of its own
    due = told_at + smallest_delay(wait) * (5.0 if served.status == "WAITING" and wait.of.interval is None else 1.0)
    if first < due - 0.01:
        yield f"the first look comes at {first:.3f}, and was due at {due:.3f} at the earliest"


def _is_crowded(record: Record, wait: WaitRecord) -> bool:
    """Whether something else than the schedule may have the session read in the process of the wait or before it."""
    waits = [other for other in record.waits if other.of.session == wait.of.session and other.caller != wait.caller]
    calls = [call for call in record.calls if call.session == wait.of.session]
    return bool(waits or calls or record.life.is_called)


def _longest_delay(record: Record, wait: WaitRecord, request: Request) -> float:
    served, told_at = request.served, landed_at(request)
    ahead = max([0.0, *(fault.kind.by for fault in record.life.faults if isinstance(fault.kind, Skewed))])
    is_open = served.kind == "reading" and served.status != "WAITING"
    # By the status that was said; a stale one is believed to be what was said before.
    is_waiting = not is_open or served.lag > 0.0 or served.updated_at is None
    age = told_at + ahead + 1.0
    longest = 10.0 + max(age**0.5, 0.01 * age - 8.0) if is_waiting else 2.0 + 0.01 * age
    if wait.of.interval is not None:
        longest = wait.of.interval
    if served.kind != "reading" and not any(
        landed_at(told) <= told_at for told in readings_in(answers_heard(record, wait))
    ):
        longest = max(longest, 64.0)  # before the first reading a failure is followed by a backoff alone
    if served.kind in ("missing", "unauthorized"):
        longest = max(longest, SETTLING)
    if served.kind == "limited":
        longest = max(longest, min(300.0, served.pause or 0.0))
    return longest


def reads_are_bounded(record: Record) -> Iterator[str]:
    """Over a process's life a session costs what its waits' schedules allow, and what is around them explains."""
    for process in range(1, len(record.closed) + 2):
        for session in range(len(record.life.sessions)):
            requests = [r for r in record.requests if (r.process, r.session, r.method) == (process, session, "GET")]
            waits = record.waits_on(session, process)
            allowed = sum(_allowed(record, wait) for wait in waits)
            failures = sum(request.served.kind != "reading" for request in requests)
            changes = len(changes_of(record.life.sessions[session])) + 1
            beside = sum(call.session == session for call in record.calls if call.process == process)
            allowed += 2 * failures + 2 * changes * len(waits) + 2 * beside
            if len(requests) > allowed:
                yield f"{len(requests)} reads of session {session} in process {process}, where {allowed:.0f} are enough"


def _allowed(record: Record, wait: WaitRecord) -> float:
    """Return the looks of one wait at its schedule's shortest, with those that expiry, timeout and settling cost."""
    time = time_at_it(wait, wait.started_at, end_of(record, wait))
    # While clocks differ about an expiry, each reading by which it has passed is followed by a look that settles it.
    delay = min(smallest_delay(wait), SETTLING) if _is_skewed(record) else smallest_delay(wait)
    return time / delay + 2 * len(wait.sittings) + 8


def _is_skewed(record: Record) -> bool:
    return any(isinstance(fault.kind, Skewed) for fault in record.life.faults)


def the_budget_is_kept(record: Record) -> Iterator[str]:
    """In no second more requests than the budget has, and never more than its places under way."""
    life = record.life
    for process in {request.process for request in record.requests}:
        requests = [request for request in record.requests if request.process == process]
        times = [request.asked_at for request in requests]
        most = ceil(life.reads_per_second)
        for index, begin in enumerate(times):
            count = bisect_left(times, begin + 1.0 - TINY) - index
            if count > most:
                yield f"{count} requests in the second from {begin:.3f}"
        edges = sorted(
            [(request.asked_at, 1) for request in requests]
            + [(record.closed.get(process, 1e12) if r.ended_at is None else r.ended_at, -1) for r in requests]
        )
        under_way = 0
        for at, change in edges:
            under_way += change
            if under_way > life.in_flight:
                yield f"{under_way} requests under way at {at:.3f}"


def pauses_are_kept(record: Record) -> Iterator[str]:
    """After a 429, and when the quota runs low, no request of the client goes out before the time that was said."""
    for request in record.requests:
        served = request.served
        if request.ended_at is None or (served.kind != "limited" and served.pause is None):
            continue
        pause = min(MINUTE, max(SHORTEST_PAUSE, 1.0 if served.pause is None else served.pause))
        for other in record.requests:
            if (
                other.process == request.process
                and request.ended_at + TINY < other.asked_at < request.ended_at + pause - TINY
            ):
                yield f"a request at {other.asked_at:.3f}, in the pause from {request.ended_at:.3f} for {pause:.3f} s"


def one_flight_per_session(record: Record) -> Iterator[str]:
    """At most one read of a session is in flight, and its answer goes to all."""
    last: dict[tuple[int, int], Request] = {}
    for request in record.requests:
        key = (request.process, request.session)
        if request.method != "GET":
            continue
        before = last.get(key)
        if before is not None and (before.ended_at is None or before.ended_at > request.asked_at):
            yield f"two reads of session {request.session} in flight at {request.asked_at:.3f}"
        last[key] = request


def a_young_answer_is_used(record: Record, wait: WaitRecord) -> Iterator[str]:
    """A wait that begins just after another's answer has it at once."""
    if wait.of.style == "await" or wait.since is not None or wait.of.timeout == 0.0 or not wait.yielded:
        return
    young = [request for request in may_share(record, wait) if landed_at(request) < wait.started_at - TINY]
    # An answer may take no time, so it would count as before itself.
    others = [request for request in reads_of(record, wait) if young and request is not young[0]]
    before = [request for request in others if landed_at(request) <= young[0].asked_at]
    if before and before[-1].served.kind != "reading":
        return  # a read is as old as the first of its attempts
    calls = [call for call in record.calls if call.session == wait.of.session]
    if not young or any(_is_since(call, young[0].asked_at) for call in calls):
        return
    waits = [other for other in record.waits_on(wait.of.session, wait.process) if other is not wait]
    if not any(other.started_at <= young[0].asked_at and end_of(record, other) > wait.started_at for other in waits):
        return  # an answer is kept for as long as somebody waits
    if wait.yielded[0].at > wait.started_at + TINY:
        yield f"one of {wait.started_at - young[0].asked_at:.3f} s is not"


def _is_since(call: Call, moment: float) -> bool:
    return call.began_at >= moment or call.ended_at is None or call.ended_at >= moment


def answers_are_shared(record: Record) -> Iterator[str]:
    """An answer younger than the smallest delay is used instead of asking again, unless there is a reason."""
    is_skewed = _is_skewed(record)  # and expiry in doubt
    for session in range(len(record.life.sessions)):
        gets = [request for request in record.requests if (request.session, request.method) == (session, "GET")]
        for before, after in pairwise(gets):
            if before.served.kind != "reading":
                continue
            if before.process != after.process or is_skewed:
                continue
            waits = record.waits_on(session, before.process)
            smallest = min((smallest_delay(wait) for wait in waits), default=0.0)
            gap = after.asked_at - before.asked_at
            # A notification after which nothing had changed is settled by one more look. One that came during a read is
            # answered by the next, so it may be as old as the beginning of the read before.
            began_at, prior = _began_at(gets, before), _began_at(gets, _reading_before(gets, before))
            hints = [call.began_at for call in record.calls if (call.name, call.session) == ("notify", session)]
            hints += [_ended_at(call) for call in record.calls if (call.name, call.session) == ("disable", session)]
            if gap >= SETTLING - TINY and any(prior <= hint <= before.asked_at + TINY for hint in hints):
                continue
            if gap < smallest - TINY and not _is_asked_anew(record, record.calls, before, began_at, after, waits):
                yield f"session {session} read at {before.asked_at:.3f} and again at {after.asked_at:.3f}"


def _ended_at(call: Call) -> float:
    """Return when the call was over: a session that was disabled is news to the waits on it."""
    return float("inf") if call.ended_at is None else call.ended_at


def _reading_before(gets: list[Request], request: Request) -> Request | None:
    """Return the request of the last reading before *request*."""
    before = [get for get in readings_in(gets) if get.asked_at < request.asked_at]
    return before[-1] if before else None


def _began_at(gets: list[Request], request: Request | None) -> float:
    """Return when the read began that *request* is an attempt of: with the first attempt since the reading before."""
    last = None if request is None else _reading_before(gets, request)
    return (
        0.0 if request is None else next(get.asked_at for get in gets if last is None or get.asked_at > last.asked_at)
    )


def notifications_are_bounded(record: Record) -> Iterator[str]:
    """However many callbacks come, they make a session due once a second."""
    for process in range(1, len(record.closed) + 2):
        for session in range(len(record.life.sessions)):
            key = (process, session, "GET")
            gets = [request for request in record.requests if (request.process, request.session, request.method) == key]
            run: list[Request] = []
            for before, after in pairwise(gets):
                if not _is_for_a_callback_alone(record, gets, before, after):
                    run = []
                    continue
                run = run or [before]
                run.append(after)
                # The first of these reads was made due by a callback that came after the start of the one before.
                least = len(run) - 2
                began_at = _began_at(gets, run[0])
                if after.asked_at - began_at < least - TINY:
                    yield f"{least + 1} reads of session {session} from {began_at:.3f} to {after.asked_at:.3f}"


def _is_for_a_callback_alone(record: Record, gets: list[Request], before: Request, after: Request) -> bool:
    """Whether nothing but a callback explains the read that *after* is, so soon after *before*."""
    waits = record.waits_on(before.session, before.process)
    soon = min([SETTLING, *map(smallest_delay, waits)])
    are_readings = before.served.kind == after.served.kind == "reading"
    if not are_readings or after.asked_at - before.asked_at >= soon - TINY:
        return False
    others = [call for call in record.calls if call.name != "notify"]
    return not _is_asked_anew(record, others, before, _began_at(gets, before), after, waits)


def _is_asked_anew(
    record: Record, calls: list[Call], before: Request, began_at: float, after: Request, waits: list[WaitRecord]
) -> bool:
    """Whether something between the two reads is a reason for another: a hint, a caller's time, the session's."""
    start, end = began_at - TINY, after.asked_at + TINY
    moments = [call.began_at for call in calls if call.session == before.session]
    moments += [call.ended_at for call in calls if call.session == before.session and call.ended_at is not None]
    # A call that disables a session reads it after the provider has refused that.
    deletions = [one for one in record.requests if (one.session, one.method) == (before.session, "DELETE")]
    moments += [deletion.ended_at for deletion in deletions if deletion.ended_at is not None]
    moments += [wait.started_at + wait.of.timeout for wait in waits if wait.of.timeout is not None]
    is_called = any(start <= moment <= end for moment in moments)
    expiries = expiries_of(record.life.sessions[before.session])
    is_expiring = any(expiry - 2.0 <= end for expiry in expiries)  # then doubts are settled, at a pace of their own
    # The first delay of a wait is drawn whole, so that waits that start together part.
    is_first = any(before.asked_at - 1.9 <= wait.started_at <= end for wait in waits)
    is_first = is_first or any(_first_landing(record, wait) is before for wait in waits)
    is_first = is_first or any(start <= sitting.began_at <= end for wait in waits for sitting in wait.sittings[1:])
    is_overdue = any(
        wait.of.timeout is not None and wait.started_at + wait.of.timeout <= end and end_of(record, wait) >= start
        for wait in waits
    )
    return is_called or is_expiring or is_first or is_overdue


def _first_landing(record: Record, wait: WaitRecord) -> Request | None:
    return next(iter(readings_in(may_share(record, wait))), None)


def nothing_goes_out_after_closing(record: Record) -> Iterator[str]:
    """A client that was closed asks nothing, and its waits are over."""
    for request in record.requests:
        closed_at = record.closed.get(request.process)
        if closed_at is not None and request.asked_at > closed_at + TINY:
            yield f"a request at {request.asked_at:.3f}"
        if closed_at is not None and (request.ended_at is None or request.ended_at > closed_at + TINY):
            yield f"the request of {request.asked_at:.3f} is under way until {request.ended_at}"
    for wait in record.waits:
        closed_at = record.closed.get(wait.process)
        if closed_at is not None and end_of(record, wait) > closed_at + TINY and is_at_it(wait, closed_at + TINY):
            yield f"caller {wait.caller} waits until {end_of(record, wait):.3f}"


def _over_at(record: Record, request: Request) -> float:
    """Return when the read that *request* is an attempt of is over at the latest."""
    is_last = record.life.attempts == 1 or request.served.kind in ("reading", "missing", "unauthorized", "refused")
    return float("inf") if request.ended_at is None else request.ended_at + (0.0 if is_last else BETWEEN_ATTEMPTS)


def a_callback_is_followed_by_a_read(record: Record) -> Iterator[str]:
    """A read that begins after it, while somebody waits; and whether somebody does is said."""
    for call in record.calls:
        if call.name != "notify":
            continue
        waits = record.waits_on(call.session, call.process)
        at_it = [wait for wait in waits if is_at_it(wait, call.began_at)]
        if bool(call.result) < bool(at_it) or (call.result and not waits):
            yield f"at {call.began_at:.3f} it says {call.result}, while {len(at_it)} wait"
        reads = [
            request
            for request in record.requests
            if (request.process, request.session, request.method) == (call.process, call.session, "GET")
        ]
        told = [c for c in record.calls if (c.session, c.process) == (call.session, call.process)]
        earlier = [c.began_at for c in told if c.name == "notify"]
        earlier += [_ended_at(c) for c in told if c.name == "disable"]  # which makes a read due as a callback does
        # A second after the last one, which may itself have had to wait for that.
        apart = 1.0 if any(call.began_at - 2.0 - TINY <= at < call.began_at for at in earlier) else 0.0
        # One that is under way does not count: the next does, as soon as that is over.
        free_at = max([call.began_at + apart, *(_over_at(record, r) for r in reads if r.asked_at < call.began_at)])
        paused = any(call.began_at - 2 * MINUTE < until for _, until in pauses_of(record, call.process))
        if free_at == float("inf") or paused or record.life.in_flight < 10:
            continue
        queue = 2 * (len(record.life.callers) + len(record.life.looks) + 2) / record.life.reads_per_second
        until = record.life.thawed(free_at + queue + record.life.timers_late_by)
        for wait in at_it:
            stays = all(is_at_it(wait, call.began_at + step * (until - call.began_at) / 8) for step in range(9))
            if stays and not any(call.began_at - TINY <= r.asked_at <= until for r in reads):
                yield f"nothing is read within {until - call.began_at:.2f} s of the callback at {call.began_at:.3f}"
                break
