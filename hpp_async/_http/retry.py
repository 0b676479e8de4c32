"""Which failures of one read are tried again, and when. tenacity lives here only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import tenacity

from hpp_async._core.exceptions import HPPError, RateLimitedError, TransportError

T = TypeVar("T")

_FIRST_DELAY: Final = 0.25
_MAXIMUM_DELAY: Final = 5.0
"""Seconds. A hint for longer than this is for the caller: a read that sleeps for a minute looks like one that hangs."""


def _is_worth_another(error: BaseException) -> bool:
    if isinstance(error, RateLimitedError) and (error.retry_after or 0.0) > _MAXIMUM_DELAY:
        return False
    return isinstance(error, HPPError) and error.is_transient


async def with_retries(
    request: Callable[[], Awaitable[T]],
    *,
    attempts: int,
    sleep: Callable[[float], Awaitable[None]],
    draw: Callable[[], float],
) -> T:
    """
    Return what *request* returns, asking up to *attempts* times while it fails transiently.

    Between the attempts it sleeps (seconds, by *sleep*) for a full-jitter exponential backoff, *draw* being uniform in
    [0, 1), and at least as long as a 429 asks for. Cancellation passes through untouched.

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
            await sleep(0.0)
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
        return max(hint or 0.0, draw() * min(_MAXIMUM_DELAY, _FIRST_DELAY * 2.0**state.attempt_number))

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_is_worth_another),
        stop=tenacity.stop_after_attempt(attempts),
        wait=wait,
        sleep=sleep,
        reraise=True,
    )
    return await retrying(attempt)
