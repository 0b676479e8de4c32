"""The provider's status callbacks over HTTP, to this machine only."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

import anyio
import httpx

from hpp_async._core.endpoint import is_loopback
from hpp_async._provider.callbacks import PATIENCE
from hpp_async._provider.posting import Posting
from hpp_async.testing import Provider, StatusCallback

_LOG: Final = logging.getLogger("hpp_async.simulator")
_LOOKS_APART: Final = 0.05
"""Seconds between two looks for callbacks; sessions, and time, are moved at any time, and from any thread."""


async def call(provider: Provider, *, patience: float = PATIENCE.total_seconds()) -> None:
    """
    Post *provider*'s callbacks as they are due, for ever; merchants have *patience* seconds for a 2xx.

    Those that are not for a loopback host are not sent, and one log line for a session says so: nothing here may talk
    to other machines.
    """
    refused: set[str] = set()

    def sends(callback: StatusCallback) -> bool:
        if _is_here(callback.url):
            return True
        if callback.session_id not in refused:
            refused.add(callback.session_id)
            _LOG.warning(
                "session %s: its callbacks are not sent, status_update is on another machine than this one",
                callback.session_id,
            )
        return False

    async def run_out(is_over: anyio.Event) -> None:
        with anyio.move_on_after(patience):
            await is_over.wait()

    def say(callback: StatusCallback, is_heard: bool, said: str | None) -> None:
        what = f"answered {said}" if is_heard else f"got {said or f'nothing within {patience:g} s'}"
        _LOG.info("session %s: callback %d %s", callback.session_id, callback.call, what)

    async with httpx.AsyncClient(trust_env=False, timeout=patience) as http:
        posting = Posting(provider=provider, http=http, patience=run_out, sends=sends, ended=say)
        await posting.run(partial(anyio.sleep, _LOOKS_APART))


def _is_here(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https"):
            return False
        return is_loopback(parsed.host)
    except httpx.InvalidURL:
        return False
