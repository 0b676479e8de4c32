"""429 in every form that a header can have, storms of it, and the budget under all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

import pytest
from clocks import StillClock
from exchange import FIELDS, LEAK, Exchange, Fault, named
from fault_server import always, drawn, scripted
from scene import Scene, by_turns, on_two_loops, scene
from wire_faults import BODIES, SERVER_ERRORS, THROTTLES

from hpp_async import BudgetPaused, OutageError, RateLimitedError, ReadBudget

pytestmark = pytest.mark.anyio

Headers = Callable[[Exchange], Mapping[str, str]]


def _in(seconds: float, name: str = "Retry-After") -> Headers:
    """Name a date so many seconds after the answer's own."""

    def headers(exchange: Exchange) -> dict[str, str]:
        moment = parsedate_to_datetime(exchange.answer.headers["Date"]) + timedelta(seconds=seconds)
        return {name: format_datetime(moment, usegmt=True)}

    return headers


def _said(**headers: str) -> Headers:
    return lambda _: named(**headers)


GUESS: Final = None
"""No usable hint: the first guess is a second, the provider's own window."""

HINTS: Final[dict[str, tuple[Headers, float | None]]] = {
    "missing": (_said(), GUESS),
    "seconds": (_said(Retry_After="3"), 3.0),
    "a fraction": (_said(Retry_After="1.5"), 1.5),
    "zero": (_said(Retry_After="0"), 0.0),
    "blanks around it": (_said(Retry_After="  4 "), 4.0),
    "negative": (_said(Retry_After="-5"), GUESS),
    "absurd": (_said(Retry_After="999999999"), 999_999_999.0),
    "beyond floats": (_said(Retry_After="9" * 400), GUESS),
    "infinite": (_said(Retry_After="inf"), GUESS),
    "not a number": (_said(Retry_After="nan"), GUESS),
    "a word": (_said(Retry_After="soon " + LEAK.decode()), GUESS),
    "empty": (_said(Retry_After=""), GUESS),
    "twice": (_said(Retry_After="2, 3"), GUESS),
    "a date": (_in(7), 7.0),
    "a date that is now": (_in(0), 0.0),
    "a date in the past": (_in(-3600), GUESS),
    "a date a year ahead": (_in(31_536_000), 31_536_000.0),
    "a date that is none": (_said(Retry_After="Thu, 99 Jan 2026 12:00:00 GMT"), GUESS),
    "reset": (_said(X_Ratelimit_Reset="2"), 2.0),
    "reset and later": (_said(X_Ratelimit_Reset="2", Retry_After="5"), 5.0),
    "reset and sooner": (_said(X_Ratelimit_Reset="5", Retry_After="2"), 5.0),
    "reset and a word": (_said(X_Ratelimit_Reset="2", Retry_After="soon"), 2.0),
    "reset negative": (_said(X_Ratelimit_Reset="-1"), GUESS),
    "reset absurd": (_said(X_Ratelimit_Reset="1e12"), 1e12),
    "reset a word": (_said(X_Ratelimit_Reset="never"), GUESS),
    "reset a date": (_in(6, "X-Ratelimit-Reset"), 6.0),
    "odd limits": (_said(X_Ratelimit_Limit="-3, x;w=1", X_Ratelimit_Remaining="many", X_Ratelimit_Reset=";"), GUESS),
}
"""What a 429 says of when to come back, and how many seconds that is."""

SHORTEST, LONGEST, WINDOW = 0.05, 60.0, 1.0
"""Seconds of a pause: the least, the most, and the first guess (`hpp_async._core.budget`)."""


def _throttle(headers: Headers) -> Fault:
    async def fault(exchange: Exchange) -> None:
        await exchange.say(b'{"error_code": "' + LEAK + b'"}', status=429, more=headers(exchange))

    return fault


STORM: Final = [*(_throttle(headers) for headers, _ in HINTS.values()), *THROTTLES.values()]

QUOTAS: Final[dict[str, tuple[Headers, float]]] = {
    "plenty": (_said(X_Ratelimit_Limit="40, 40;w=1", X_Ratelimit_Remaining="15", X_Ratelimit_Reset="1"), 0.0),
    "the last": (_said(X_Ratelimit_Limit="40, 40;w=1", X_Ratelimit_Remaining="0", X_Ratelimit_Reset="3"), 3.0),
    "few": (_said(X_Ratelimit_Limit="40", X_Ratelimit_Remaining="9", X_Ratelimit_Reset="2"), 2.0),
    "few, and no reset": (_said(X_Ratelimit_Limit="40", X_Ratelimit_Remaining="9"), WINDOW),
    "few, reset at once": (_said(X_Ratelimit_Limit="40", X_Ratelimit_Remaining="9", X_Ratelimit_Reset="0"), SHORTEST),
    "few, reset negative": (_said(X_Ratelimit_Limit="40", X_Ratelimit_Remaining="9", X_Ratelimit_Reset="-9"), WINDOW),
    "few, reset absurd": (
        _said(X_Ratelimit_Limit="40", X_Ratelimit_Remaining="1", X_Ratelimit_Reset="9" * 400),
        LONGEST,
    ),
    "remaining negative": (_said(X_Ratelimit_Limit="40", X_Ratelimit_Remaining="-1"), 0.0),
    "remaining a word": (_said(X_Ratelimit_Limit="40", X_Ratelimit_Remaining="none"), 0.0),
    "remaining alone": (_said(X_Ratelimit_Remaining="0", X_Ratelimit_Reset="30"), 0.0),
    "limit zero": (_said(X_Ratelimit_Limit="0", X_Ratelimit_Remaining="0", X_Ratelimit_Reset="30"), 0.0),
    "limit a word": (_said(X_Ratelimit_Limit="none", X_Ratelimit_Remaining="0", X_Ratelimit_Reset="30"), 0.0),
}
"""What a good answer says of the quota, and for how many seconds the reads then rest."""


def pauses(here: Scene) -> list[float]:
    return [event.seconds for event in here.told.events if isinstance(event, BudgetPaused)]


@on_two_loops
@pytest.mark.parametrize("name", HINTS)
async def test_a_429_in_any_form_is_waited_out_by_all_reads(name: str, caplog: pytest.LogCaptureFixture) -> None:
    headers, hint = HINTS[name]
    async with scene(caplog, attempts=1) as here:
        here.server.plan = scripted(_throttle(headers))
        other = here.server.provider.create([(0, "WAITING", FIELDS)])
        error = await here.read_error()
        await here.client.read_session(other)  # of another session, and it rests all the same

        assert isinstance(error, RateLimitedError)
        assert error.retry_after == hint
        refused_at, next_at = here.server.moments
        pause = WINDOW if hint is None else min(LONGEST, max(SHORTEST, hint))
        assert pauses(here) == pytest.approx([pause])
        assert next_at - refused_at >= pause - 1e-6


@on_two_loops
@pytest.mark.parametrize("name", QUOTAS)
async def test_reads_rest_while_a_quota_in_any_form_runs_low(name: str, caplog: pytest.LogCaptureFixture) -> None:
    headers, pause = QUOTAS[name]
    async with scene(caplog, attempts=1) as here:
        here.server.plan = scripted(lambda exchange: exchange.say(exchange.body, more=headers(exchange)))
        reading = await here.client.read_session(here.session_id)
        await here.client.read_session(here.session_id)

        assert reading.status == "WAITING"
        assert pauses(here) == pytest.approx([pause] if pause else [])
        said_at, next_at = here.server.moments
        assert next_at - said_at >= pause - 1e-6


@by_turns(HINTS)
async def test_a_wait_outlives_a_storm_of_one_form(name: str, caplog: pytest.LogCaptureFixture) -> None:
    storm = _throttle(HINTS[name][0])
    async with scene(caplog) as here:
        here.server.plan = here.life(scripted(None, *[storm] * 12, None, *[storm] * 12), every=7)

        here.assert_right(await here.outcome())
        assert here.server.done[storm] == 24
        assert max(pauses(here)) <= LONGEST


@on_two_loops
@pytest.mark.parametrize("seed", range(6))
async def test_waits_outlive_a_storm_of_all_forms_within_one_budget(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock = StillClock()
    others = [*SERVER_ERRORS.values(), *BODIES.values()]
    async with scene(caplog, time=clock, budget=ReadBudget(5.0, max_in_flight=4)) as here:
        here.server.think = lambda: clock.take(here.server.draw.uniform(0.0, 2.0))
        here.server.plan = drawn(seed, 0.5, *STORM, *others[seed::6])
        await here.crowd(8, opened=30, paid=90, every=2.0)

        assert here.server.busiest <= 4


async def test_a_storm_without_a_hint_costs_less_and_less(caplog: pytest.LogCaptureFixture) -> None:
    storm = _throttle(_said())
    async with scene(caplog, attempts=1, outage_tolerance=3600) as here:
        here.server.plan = always(storm)
        with pytest.raises(OutageError) as caught:
            await here.client.wait_for_outcome(here.session_id)
        here.hear(caught.value)

        assert type(caught.value.__cause__) is RateLimitedError
        assert here.server.done[storm] <= 6 + 3600 / 32  # 1, 2, 4 … 32 seconds, and then at most one in that long


async def test_a_budget_above_the_providers_quota_leaves_the_merchant_his_reserve(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene(caplog, budget=ReadBudget(200.0)) as here:
        here.server.provider.quota = 20
        await here.crowd(40, opened=15, paid=30, every=2.0)

        seconds = Counter(int(moment) for moment in here.server.moments)  # as the provider counts
        assert max(seconds.values()) == 16  # the one after which less than a quarter is left was the last
        assert not any(event.is_refused for event in here.told.events if isinstance(event, BudgetPaused))
