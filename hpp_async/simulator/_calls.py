"""The provider's status callbacks over HTTP, to this machine only."""

from __future__ import annotations

import ipaddress
import logging
from functools import partial
from typing import Final

import anyio
import httpx

from hpp_async.testing import Provider, StatusCallback

_LOG: Final = logging.getLogger("hpp_async.simulator")
_LOOKS_APART: Final = 0.05
"""Seconds between two looks for callbacks; sessions change at any time, and from any thread."""
PATIENCE: Final = 3.0
"""Seconds that the merchant has for a 2xx (status callbacks page)."""


async def call(provider: Provider, *, patience: float = PATIENCE) -> None:
    """
    Post *provider*'s callbacks as they are due, for ever; merchants have *patience* seconds for a 2xx.

    Those that are not for a loopback host are not sent, and one log line for a session says so: nothing here may talk
    to other machines.
    """
    refused: set[str] = set()
    async with (
        httpx.AsyncClient(trust_env=False, timeout=patience) as http,
        anyio.create_task_group() as tasks,
    ):
        while True:
            for callback in provider.due_callbacks() if provider.owes_callbacks else ():
                if _is_here(callback.url):
                    tasks.start_soon(partial(_post, provider, callback, http, patience))
                elif callback.session_id not in refused:
                    refused.add(callback.session_id)
                    _LOG.warning(
                        "session %s: its callbacks are not sent, status_update is on another machine than this one",
                        callback.session_id,
                    )
            await anyio.sleep(_LOOKS_APART)


async def _post(provider: Provider, callback: StatusCallback, http: httpx.AsyncClient, patience: float) -> None:
    said = f"nothing within {patience:g} s"
    with anyio.move_on_after(patience):
        try:
            answer = await http.post(callback.url, content=callback.body, headers={"Content-Type": "application/json"})
        except httpx.HTTPError as error:
            said = type(error).__name__
        else:
            said = str(answer.status_code)
            if answer.is_success:
                _LOG.info("session %s: callback %d answered %s", callback.session_id, callback.call, said)
                return
    _LOG.info("session %s: callback %d got %s", callback.session_id, callback.call, said)
    provider.callbacks.failed(callback)


def _is_here(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https"):
            return False
        return parsed.host == "localhost" or ipaddress.ip_address(parsed.host).is_loopback
    except (httpx.InvalidURL, ValueError):
        return False
