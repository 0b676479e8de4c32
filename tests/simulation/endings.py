"""Endings (DESIGN.md, section 1): what was reported is true, what was true is reported, in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hpp_async import Expired, Outcome, Stopped
from simulation.hearing import (
    GRACE,
    MINUTE,
    TINY,
    answers_heard,
    believed_of,
    chain_of,
    date_of,
    end_of,
    ends_of,
    heard_in_chain,
    is_alone,
    is_an_answer,
    is_at_it,
    is_landed,
    is_undisturbed,
    landed_at,
    may_share,
    newest_before,
    readings_in,
    reads_of,
    time_awake,
    true_statuses,
    ways_to_hear,
)
from simulation.life import FINAL, expiries_of
from simulation.record import Record, Request, Served, WaitRecord
from simulation.world import START

ATTEMPT: Final = 10.0
"""Seconds that an attempt of a read has by default, and so the last look of a timeout."""

LOOKS: Final = 3
"""Looks that must agree before a 404, a 401 or a 403 on a session that was seen is believed."""

UNKNOWN_FOR: Final = 72 * 3600.0

_NAMES: Final = {
    "COMPLETED": "Completed",
    "FAILED": "Failed",
    "CANCELLED": "Cancelled",
    "ERROR": "Errored",
    "DISABLED": "Disabled",
}


def an_outcome_is_what_the_provider_said(record: Record, wait: WaitRecord) -> Iterator[str]:
    """Nothing that is not an outcome is ever reported as one."""
    outcome = wait.outcome
    if outcome is None or isinstance(outcome, Expired):
        return
    status = str(outcome.status)
    if status not in wait.stops_on:
        yield f"{status} does not stop it"
    if type(outcome).__name__ != _NAMES.get(status, Stopped.__name__):
        yield f"{status} is a {type(outcome).__name__}"
    decided = [
        request
        for request in readings_in(may_share(record, wait))
        if request.served.status == status and _says(request.served, outcome)
    ]
    if not decided:
        yield f"no answer that it can have heard says {status}"
    if status not in true_statuses(record, wait.of.session, end_of(record, wait)):
        yield f"the session was never {status}"
    newest = max((moment for seen in wait.known if (moment := date_of(seen)) is not None), default=None)
    updated_at = outcome.session.updated_at
    if (
        status not in FINAL
        and newest is not None
        and updated_at is not None
        and (updated_at - START).total_seconds() < newest
    ):
        yield f"{status} is stale"


def _says(served: Served, outcome: Outcome) -> bool:
    updated_at = outcome.session.updated_at
    return served.updated_at == (None if updated_at is None else (updated_at - START).total_seconds())


def no_outcome_is_missed(record: Record, wait: WaitRecord) -> Iterator[str]:
    """An answer that ends the wait ends it then, where its caller was at it, and with what it says."""
    for request in readings_in(answers_heard(record, wait)):
        ended_at = landed_at(request)
        if request.served.status in FINAL and is_at_it(wait, ended_at):
            yield f"{request.served.status} came at {ended_at:.3f}, and it went on until {end_of(record, wait):.3f}"
    if not is_undisturbed(wait) or wait.has_died:
        return
    endings = [
        believed_of(readings_in(heard), wait, newest)[1]
        for heard in ways_to_hear(record, wait)
        for newest in newest_before(record, wait)
    ]
    if None in endings or wait.ending in ("AuthenticationError", "SessionVanishedError", "ClientClosedError"):
        return  # what other checks judge
    if wait.outcome is None or not any(
        ending is not None and ending.served.status == wait.outcome.status for ending in endings
    ):
        yield f"{[ending and ending.served.status for ending in endings]} should have ended it"


def expiry_is_true(record: Record, wait: WaitRecord) -> Iterator[str]:
    """``expires_at`` has passed on the provider's clock, and the last look shows no outcome."""
    outcome = wait.outcome
    if not isinstance(outcome, Expired):
        return
    # A transition that is the last has told the ending, which a busy caller takes later.
    told_at = min([end_of(record, wait), *(seen.at for seen in wait.yielded if seen.is_last)])
    answers = [request for request in may_share(record, wait) if landed_at(request) <= told_at]
    readings = readings_in(answers)
    if _is_misled(answers):
        return
    said = [request.served.expires_at for request in readings if request.served.expires_at is not None]
    first, *_ = expiries_of(record.life.sessions[wait.of.session])
    if wait.since is not None:  # it had moved before a restart, and perhaps after the transition in the token
        first = min([first, *_expiries_known_before(record, wait)])
    if is_undisturbed(wait):
        last, expires_at = answers[-1], said[-1] if said else first  # the last that was said; it may have moved since
    else:  # one that was away has the last reading from then, and may not have heard of a move
        last, expires_at = (readings if outcome.confirmed else answers)[-1], min(said, default=first)
    if last.served.true_at < expires_at - 1.0:
        yield f"before it expired, at {expires_at:.3f}"
    if outcome.confirmed:
        # The client dates an answer without a Date by its earlier readings, whoever asked for them.
        by_client = [r for r in record.requests if r.process == wait.process and is_landed(r, end_of(record, wait))]
        if all(request.served.date is None for request in readings_in(by_client)):
            yield "no reading has a Date, and this machine's calendar proves nothing"
        is_stale = any(_is_newer(request.served, last.served) for request in readings)
        if last.served.kind != "reading" or (last.served.status in wait.stops_on and not is_stale):
            yield f"the last look said {last.served.kind} {last.served.status}"
        # A Date tells whole seconds, and so does what is made of how long an answer took.
        if last.served.true_at < expires_at + GRACE - 2.0 - TINY:
            yield "the last look was taken before the grace was over"
    elif last.served.kind != "missing":
        yield f"the last look said {last.served.kind}, not 404"
    if wait.since is not None and wait.since.status in FINAL:
        yield f"it was known to be {wait.since.status}"


def _expiries_known_before(record: Record, wait: WaitRecord) -> list[float]:
    """Return every expiry that the caller's waits before a restart can have heard of."""
    earlier = [other for other in record.waits if other.caller == wait.caller and other.process < wait.process]
    said = [request.served.expires_at for other in earlier for request in readings_in(may_share(record, other))]
    return [expires_at for expires_at in said if expires_at is not None]


def _is_newer(served: Served, other: Served) -> bool:
    return served.updated_at is not None and other.updated_at is not None and served.updated_at > other.updated_at


def _is_misled(answers: list[Request]) -> bool:
    """Whether the last five readings, or the last three 404s, have clocks that are ahead: so many are believed."""
    missing = [request for request in answers if request.served.kind == "missing"]
    return _are_ahead(readings_in(answers)[-5:]) or (len(missing) >= LOOKS and _are_ahead(missing[-LOOKS:]))


def _are_ahead(answers: list[Request]) -> bool:
    dates = [(request.served.date, request.served.true_at) for request in answers]
    are_ahead = [date > true_at + 30.0 for date, true_at in dates if date is not None]
    return bool(are_ahead) and all(are_ahead)


def an_error_has_its_reason(record: Record, wait: WaitRecord) -> Iterator[str]:
    """ "We could not find out" is said for the reasons of the table, and for no other."""
    heard = may_share(record, wait)
    # A token remembers the 404s and refusals before it.
    before = [request for one in chain_of(record, wait)[:-1] for request in may_share(record, one)]
    ends = [before + end for end in ends_of(heard)]
    was_shown = any(is_at_it(wait, landed_at(request)) for request in readings_in(answers_heard(record, wait)))
    seen = was_shown or wait.since is not None
    ended_at = end_of(record, wait)
    match wait.ending:
        case "SessionNotFoundError":
            if seen or not any(_last_is(end, "missing") and not _tells_of_completion(end) for end in ends):
                yield f"the session was {'seen' if seen else 'not seen'}, the last answer {heard[-1:]}"
        case "SessionVanishedError":
            was_final = wait.since is not None and wait.since.status in FINAL
            if not was_final and not any(_tells_of_completion(end) or _is_agreed_to_be_missing(end) for end in ends):
                yield "three looks did not agree"
        case "AuthenticationError":
            refused = [end for end in ends if _last_is(end, "unauthorized")]
            if not refused:
                yield f"the last answer was {heard[-1:]}"
            elif seen and all(_refusals(end) < LOOKS for end in refused):
                yield f"the session was seen, and no {LOOKS} looks agreed"
        case "ExpiryUnknownError":
            first = landed_at(readings_in(heard_in_chain(record, wait))[0])
            if ended_at < first + UNKNOWN_FOR - TINY:
                yield f"{ended_at - first:.0f} s after it was first seen"
            if any(request.served.expires_at is not None and request.served.date is not None for request in heard):
                yield "a reading told when it expires"
        case "WaitTimeoutError":
            assert wait.of.timeout is not None
            deadline = wait.started_at + wait.of.timeout
            if ended_at < deadline - TINY:
                yield f"before its timeout at {deadline:.3f}"
            has_looked = any(request.asked_at >= deadline - TINY for request in heard)
            if not has_looked and ended_at < deadline + ATTEMPT - TINY:
                yield "without a last look, or the time for one"
        case "OutageError":
            chain = chain_of(record, wait)
            good = max([chain[0].started_at, *(landed_at(r) for r in readings_in(heard_in_chain(record, wait)))])
            looked = sum(time_awake(record, one, good, ended_at) for one in chain)
            # A gap between two looks counts with what was planned and the longest read, whether the process was frozen
            # in it, or a new one began.
            gaps = sum(freeze.at < ended_at and freeze.until > good for freeze in record.life.freezes)
            gaps += sum(good < one.started_at for one in chain[1:])
            if looked < record.life.outage_tolerance - gaps * _longest_gap(record, wait) - TINY:
                yield f"after {looked:.3f} s without a readable answer"
        case "ClientClosedError":
            if wait.process not in record.closed or ended_at < record.closed[wait.process]:
                yield "while the client was open"
        case _:
            pass


def _last_is(answers: list[Request], kind: str) -> bool:
    return bool(answers) and answers[-1].served.kind == kind


def _tells_of_completion(answers: list[Request]) -> bool:
    return bool(answers) and answers[-1].served.error_code == "SESSION_COMPLETED"


def _is_agreed_to_be_missing(answers: list[Request]) -> bool:
    missing = [request.served.kind == "missing" for request in answers if is_an_answer(request)]
    return len(missing) >= LOOKS and all(missing[-LOOKS:])


def _longest_gap(record: Record, wait: WaitRecord) -> float:
    """Return the longest that can pass from one failure to the next: what was planned, and a read with its attempts."""
    hints = [min(300.0, request.served.pause or 0.0) for request in answers_heard(record, wait)]
    return max([64.0, *hints]) + record.life.attempts * (ATTEMPT + 5.0)


def _refusals(answers: list[Request]) -> int:
    """Return how many answers since the last reading refuse the credentials."""
    kinds = [request.served.kind for request in answers]
    since = len(kinds) - kinds[::-1].index("reading") if "reading" in kinds else 0
    return kinds[since:].count("unauthorized")


def it_ends_when_it_must(record: Record, wait: WaitRecord) -> Iterator[str]:
    """At once where the table says so, or three looks agree; soon after timeout and tolerance, if somebody is at it."""
    heard = answers_heard(record, wait) if is_alone(record, wait) else []
    for number, request in enumerate(heard, 1):
        kind, code, ended_at = request.served.kind, request.served.error_code, landed_at(request)
        was_read = wait.since is not None or any(landed_at(r) < ended_at for r in readings_in(reads_of(record, wait)))
        is_refused = not was_read or (is_undisturbed(wait) and _refusals(heard[:number]) >= LOOKS)
        is_at_once = (kind == "unauthorized" and is_refused) or (kind == "missing" and code == "SESSION_COMPLETED")
        if is_at_once and is_at_it(wait, ended_at):
            yield f"{kind} {code or ''} came at {ended_at:.3f}, and it went on until {end_of(record, wait):.3f}"
    if wait.of.timeout is not None:
        late = time_awake(record, wait, wait.started_at + wait.of.timeout, end_of(record, wait))
        if late > ATTEMPT + 2 * record.life.timers_late_by + TINY:
            yield f"{late:.3f} s after its timeout"
    chain = chain_of(record, wait)
    quiet_since = chain[0].started_at
    answers = [r for r in heard_in_chain(record, wait) if is_an_answer(r) or r.served.kind == "unauthorized"]
    for ended_at in [*map(landed_at, answers), end_of(record, wait)]:
        looked = sum(time_awake(record, one, quiet_since, ended_at) for one in chain)
        # A look, its attempts, and the pauses that headers asked for. A caller that was away, or died with a transition
        # in hand, goes on from before.
        if looked > record.life.outage_tolerance + 15 * MINUTE:
            yield f"{looked:.0f} s without a readable answer, until {ended_at:.3f}"
        quiet_since = ended_at


def disabling_is_true(record: Record) -> Iterator[str]:
    """``None`` where the provider disabled it or it was cancelled before, an outcome where it was over already."""
    for call in record.calls:
        if call.name != "disable" or call.ended_at is None:
            continue
        done = any(call.began_at <= at <= call.ended_at for at, session in record.disabled if session == call.session)
        true = true_statuses(record, call.session, call.ended_at)
        if call.result is None and not done and "CANCELLED" not in true:
            yield f"the call at {call.began_at:.3f} says that it is disabled"
        result = call.result
        if isinstance(result, Outcome) and not (result.is_final and str(result.status) in true):
            yield f"the call at {call.began_at:.3f} gives {result.status}, where {sorted(true)} was true"
