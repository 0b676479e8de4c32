"""The attempts of one call: what is tried again, how often, and after which pauses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hpp_async import HPPError, NotProcessedError, RateLimitedError, ResponseError, ServerError, TransportError
from hpp_async._core.token_bucket import Quota
from hpp_async._http.retry import longest_read, with_retries

pytestmark = pytest.mark.anyio


class Paced:
    """A pace that records the pauses, and always draws *drawn*."""

    def __init__(self, drawn: float = 1.0) -> None:
        self.pauses: list[float] = []
        self._drawn = drawn

    @property
    def draw(self) -> Callable[[], float]:
        return lambda: self._drawn

    def answered(self, quota: Quota, now: float, status_code: int) -> None:
        raise AssertionError

    def refused(self, retry_after: float | None, now: float) -> None:
        raise AssertionError

    async def again(self, delay: float) -> None:
        self.pauses.append(delay)


def unavailable() -> ServerError:
    return ServerError("503", session_id="session", status_code=503)


def limited(retry_after: float | None) -> RateLimitedError:
    return RateLimitedError("429", session_id="session", status_code=429, retry_after=retry_after)


HINTED = (
    limited,
    lambda hint: ServerError("503", session_id="session", status_code=503, retry_after=hint),
    lambda hint: NotProcessedError("425", session_id="session", status_code=425, retry_after=hint),
)
"""Transient answers that may say when to ask again."""


def dropped() -> TransportError:
    return TransportError("reset", session_id="session", is_dropped=True)


async def tried(*failures: HPPError, attempts: int, drawn: float = 1.0) -> tuple[int, list[float], HPPError | None]:
    """Make a request that raises *failures* first; return the number of attempts, the pauses, and the last error."""
    pace, left, made = Paced(drawn), list(failures), 0

    async def request() -> str:
        nonlocal made
        made += 1
        if left:
            raise left.pop(0)
        return "reading"

    try:
        result = await with_retries(request, attempts=attempts, pace=pace)
    except HPPError as error:
        return made, pace.pauses, error
    assert result == "reading"
    return made, pace.pauses, None


async def test_pauses_double_from_half_a_second_to_five() -> None:
    made, pauses, error = await tried(*[unavailable()] * 6, attempts=7)

    assert (made, error) == (7, None)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


@pytest.mark.parametrize(("drawn", "pause"), [(0.0, 0.0), (0.25, 0.125), (1.0, 0.5)])
async def test_a_pause_is_drawn_between_zero_and_the_whole_delay(drawn: float, pause: float) -> None:
    assert await tried(unavailable(), attempts=2, drawn=drawn) == (2, [pause], None)


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_the_last_attempts_error_is_raised(attempts: int) -> None:
    failures = [unavailable() for _ in range(3)]

    made, pauses, error = await tried(*failures, attempts=attempts)

    assert (made, len(pauses)) == (attempts, attempts - 1)
    assert error is failures[attempts - 1]


@pytest.mark.parametrize(
    ("hint", "drawn", "pause"),
    [(None, 1.0, 0.5), (None, 0.0, 0.0), (0.1, 1.0, 0.5), (0.1, 0.0, 0.1), (3.0, 1.0, 3.0), (5.0, 1.0, 5.0)],
)
@pytest.mark.parametrize("of", HINTED, ids=["429", "503", "425"])
async def test_a_pause_is_at_least_what_the_provider_asks_for(
    of: Callable[[float | None], HPPError], hint: float | None, drawn: float, pause: float
) -> None:
    assert await tried(of(hint), attempts=2, drawn=drawn) == (2, [pause], None)


async def test_a_hint_is_heeded_after_every_attempt() -> None:
    made, pauses, error = await tried(unavailable(), limited(4.0), unavailable(), attempts=4, drawn=0.0)

    assert (made, pauses, error) == (4, [0.0, 4.0, 0.0], None)


@pytest.mark.parametrize("of", HINTED, ids=["429", "503", "425"])
async def test_a_hint_of_more_than_five_seconds_is_left_to_the_caller(of: Callable[[float | None], HPPError]) -> None:
    hint = of(5.001)

    assert await tried(hint, attempts=3) == (1, [], hint)


async def test_what_is_not_transient_is_raised_at_once() -> None:
    refused = ResponseError("400", session_id="session", status_code=400)

    assert await tried(refused, attempts=3) == (1, [], refused)
    assert await tried(unavailable(), refused, attempts=3) == (2, [0.5], refused)


async def test_a_dropped_connection_is_tried_again_once_within_the_budget_and_not_counted() -> None:
    second = dropped()

    assert await tried(dropped(), attempts=1) == (2, [0.0], None)
    assert await tried(dropped(), second, attempts=1) == (2, [0.0], second)
    assert await tried(dropped(), unavailable(), attempts=2) == (3, [0.0, 0.5], None)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 10.0), (3, 40.0)])
def test_the_longest_read_has_a_pause_between_each_two_attempts(attempts: int, seconds: float) -> None:
    assert longest_read(attempts, 10.0) == seconds
