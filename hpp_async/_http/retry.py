"""Which failures of one read are tried again, and when. tenacity lives here only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import tenacity

from hpp_async._core.budget import Quota
from hpp_async._core.exceptions import HPPError, RateLimitedError, TransportError

T = TypeVar("T")

_FIRST_DELAY: Final = 0.25
_MAXIMUM_DELAY: Final = 5.0
"""Seconds. A hint for longer than this is for the caller: a read that sleeps for a minute looks like one that hangs."""


class Pace(Protocol):
    """What an exchange needs of the budget that its attempts are counted in; whoever starts the exchange brings it."""

    @property
    def draw(self) -> Callable[[], float]:
        """Numbers that are uniform in [0, 1), to spread the pauses between attempts."""
        ...

    def answered(self, quota: Quota, now: float) -> None:
        """Note what a good answer, received at *now* (loop seconds), says of the merchant's quota."""
        ...

    def refused(self, retry_after: float | None, now: float) -> None:
        """Note a 429, received at *now* (loop seconds), and the seconds it asks for."""
        ...

    async def again(self, delay: float) -> None:
        """Sleep for *delay* seconds, and then until the budget admits another attempt."""
        ...


def _is_worth_another(error: BaseException) -> bool:
    if isinstance(error, RateLimitedError) and (error.retry_after or 0.0) > _MAXIMUM_DELAY:
        return False
    return isinstance(error, HPPError) and error.is_transient


async def with_retries(
    request: Callable[[], Awaitable[T]],
    *,
    attempts: int,
    pace: Pace,
) -> T:
    """
    Return what *request* returns, asking up to *attempts* times while it fails transiently.

    Between two attempts it sleeps for an exponential back-off with full jitter, and at least as long as a 429 asks for.
    Cancellation passes through untouched.

    Raises:
        HPPError: the last attempt's.
    """
    try:
        try:
            return await request()
        except TransportError as error:
            if not error.is_dropped:
                raise
            # A kept-alive connection that was closed as it was used again says nothing about the provider: asked again
            # at once, once, and not counted.
            await pace.again(0.0)
            return await request()
    except HPPError as error:
        if attempts <= 1 or not _is_worth_another(error):
            raise
        first = error

    # The first attempt is made without tenacity: most reads need no second one, and a fresh retrying object costs a
    # third of a read. Fresh it must be: one that is shared by tasks mixes their states. So it is handed the failure.
    failed = [first]

    async def attempt() -> T:
        if failed:
            raise failed.pop()
        return await request()

    def wait(state: tenacity.RetryCallState) -> float:
        error = None if state.outcome is None else state.outcome.exception()
        hint = error.retry_after if isinstance(error, RateLimitedError) else None
        return max(hint or 0.0, pace.draw() * min(_MAXIMUM_DELAY, _FIRST_DELAY * 2.0**state.attempt_number))

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_is_worth_another),
        stop=tenacity.stop_after_attempt(attempts),
        wait=wait,
        sleep=pace.again,
        reraise=True,
    )
    return await retrying(attempt)
