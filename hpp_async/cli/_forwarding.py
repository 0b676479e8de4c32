"""Posting status callbacks to a URL of the user's own, again if need be, and marked as ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import anyio
import attrs
import httpx

from hpp_async import Session, __version__
from hpp_async._provider.callbacks import CALLS, PATIENCE, StatusCallback, first_call
from hpp_async._provider.posting import is_on_this_machine, post

MARK: Final = "Hpp-Async-Listen"
"""The header by which a callback of ours is told from one of the provider's."""
PAUSES: Final = tuple(2.0**number for number in range(CALLS - 1))
"""Seconds between the calls about one change, of which there are as many as the provider makes."""
_HEADERS: Final = {"User-Agent": f"hpp-async/{__version__}", MARK: "1"}
_AT_ONCE: Final = 10
_PORTS: Final = 65_536
_PLACEHOLDER: Final = "{{session_id}}"


@attrs.frozen(kw_only=True)
class Post:
    """
    One call about a change.

    Attributes:
        call: 1 for the first call about the change.
        answer: the status code; or why there is none, the name of an error.
        seconds: how long it took.
        is_success: whether the answer ends the calls.
        again_in: seconds until the next call; ``None`` if this is the last one.
    """

    event_id: str
    call: int
    answer: int | str
    seconds: float
    is_success: bool
    again_in: float | None


def refusal_of(url: str) -> str | None:
    """Return why nothing can be posted to *url*, which may have a placeholder; ``None`` if it can."""
    bare = _without_placeholder(url)
    if not {"{", "}"}.isdisjoint(bare):
        return f"it has braces that are no placeholder: {_PLACEHOLDER} is replaced and nothing else"
    try:
        parsed = httpx.URL(bare)
        is_complete = parsed.scheme in ("http", "https") and parsed.host != "" and (parsed.port or 0) < _PORTS
    except (httpx.InvalidURL, UnicodeError):  # the second for a host name that IDNA does not have
        is_complete = False
    if not is_complete:
        return "give an http or https URL, such as http://127.0.0.1:8000/klarna"
    if bare[:5].lower() == "http:" and not is_on_this_machine(bare):
        return "give https, because tokens and personal data are posted (http is for loopback hosts only)"
    return None


def origin_of(url: str) -> str:
    """Return scheme, host and port of *url*, which has no refusal: the rest of it may be a secret."""
    parsed = httpx.URL(_without_placeholder(url))
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"


def _without_placeholder(url: str) -> str:
    return url.replace(_PLACEHOLDER, "x")


class Forwarder:
    """
    Posts the changes of sessions to *url*, as an asynchronous context.

    No proxy is used to this machine; the certificates are those of the environment. Credentials of the provider's are
    not known here, and redirects are not followed.

    Args:
        patience: seconds that one call may take.
        pauses: seconds between the calls about one change.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float = PATIENCE.total_seconds(),
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        self._url = url
        is_local = is_on_this_machine(_without_placeholder(url))
        self._http = httpx.AsyncClient(
            trust_env=not is_local,
            verify=httpx.create_ssl_context(),
            timeout=None,  # noqa: S113 - `_post` has a time limit for the whole call
        )
        self._patience = patience
        self._pauses = pauses
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def forward(self, session_id: str, reading: Session, report: Callable[[Post], None]) -> bool:
        """
        Post *reading* until a call gets a 2xx or the calls are used up; return whether one got it.

        *report* is called after each call. The same change has the same ``event_id``, in every call and every process.
        """
        change = f"{reading.status}/{reading.updated_at}"
        callback = first_call(session_id, change, url=self._url, session=reading.raw, due_at=datetime.now(UTC))
        call, pauses = 0, iter(self._pauses)
        while True:
            call += 1
            async with self._turns:
                answer, seconds = await self._post(callback)
            is_success = isinstance(answer, int) and callback.is_answered_by(answer)
            post = Post(
                event_id=callback.event_id,
                call=call,
                answer=answer,
                seconds=seconds,
                is_success=is_success,
                again_in=None if is_success else next(pauses, None),
            )
            report(post)
            if post.again_in is None:
                return is_success
            await asyncio.sleep(post.again_in)

    async def _post(self, callback: StatusCallback) -> tuple[int | str, float]:
        began_at = time.perf_counter()
        answer: int | str = "no answer in time"
        with anyio.move_on_after(self._patience):
            answer = await post(self._http, callback, _HEADERS)
        return answer, time.perf_counter() - began_at
