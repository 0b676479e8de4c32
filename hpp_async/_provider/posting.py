"""Posting the provider's callbacks over HTTP, each when it is due, and again until it gets the answer that it wants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import anyio
import anyio.abc
import attrs
import httpx

from hpp_async._core.endpoint import is_loopback
from hpp_async._provider.callbacks import AnyCallback
from hpp_async._provider.provider import Provider


def _always(_: AnyCallback) -> bool:
    return True


@attrs.frozen(kw_only=True)
class Posting:
    """
    How a provider's callbacks are posted.

    Args:
        http: the client that posts them.
        idle: returns when another callback may be due.
        patience: takes an event; returns when the event is set, or when the merchant's time to answer is over.
        is_allowed: tells whether a callback may be posted.
        report: called after each call with the callback, whether it got an answer that ends the calls, and the status
            code or the error's name, which is ``None`` if there was no answer in time.
    """

    provider: Provider
    http: httpx.AsyncClient
    idle: Callable[[], Awaitable[object]]
    patience: Callable[[anyio.Event], Awaitable[None]]
    is_allowed: Callable[[AnyCallback], bool] = _always
    report: Callable[[AnyCallback, bool, str | None], None]

    async def run(self) -> None:
        """
        Post callbacks until cancelled.

        Calls that are under way at the cancellation count as failed: the next run repeats them.
        """
        async with anyio.create_task_group() as tasks:
            while True:
                for callback in self.provider.due_callbacks():
                    if self.is_allowed(callback):
                        tasks.start_soon(self._post, callback, tasks)
                await self.idle()

    async def _post(self, callback: AnyCallback, tasks: anyio.abc.TaskGroup) -> None:
        is_success, answer = False, None
        is_over, scope = anyio.Event(), anyio.CancelScope()

        async def give_up() -> None:
            await self.patience(is_over)
            scope.cancel()

        try:
            with scope:
                # A task beside the request: a task group around it would wrap an error of the merchant's own code.
                tasks.start_soon(give_up)
                answer = await post(self.http, callback)
                is_success = isinstance(answer, int) and callback.is_answered_by(answer)
        finally:
            is_over.set()
            if not is_success:
                self.provider.callbacks.failed(callback)
        self.report(callback, is_success, None if answer is None else str(answer))


async def post(http: httpx.AsyncClient, callback: AnyCallback, headers: Mapping[str, str] | None = None) -> int | str:
    """Post *callback* once, with *headers* of the caller's; return the status code, or the name of the error."""
    try:
        answer = await http.post(
            callback.url, content=callback.body, headers={"Content-Type": "application/json", **(headers or {})}
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
    return answer.status_code


def is_on_this_machine(url: str) -> bool:
    """Tell whether *url* is an http or https URL of a loopback host."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and is_loopback(parsed.host)
