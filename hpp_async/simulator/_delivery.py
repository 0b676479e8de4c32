"""The provider's answers over HTTP, with the faults that affect them."""

from __future__ import annotations

from contextlib import suppress

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hpp_async.simulator._connections import close, hold
from hpp_async.simulator._journal import Journal
from hpp_async.simulator._refusals import base_url_of
from hpp_async.simulator._state import SAVE
from hpp_async.testing import Cut, Dropped, Provider, Refused, Stalled


async def deliver(provider: Provider, journal: Journal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the request in *scope* as *provider* does, or break its connection; note it in *journal*."""
    request = Request(scope, receive)
    method, path = request.method, str(scope["path"])
    with suppress(ClientDisconnect):
        body = await request.body()
        faults = provider.draw_faults(method, path)
        if faults.delay and await _has_left(scope, receive, faults.delay):
            return
        answer = None
        if faults.is_done:
            headers = {name.lower(): value for name, value in request.headers.items()}
            answer = provider.answer(
                method, path, headers, body, faults=faults, base_url=base_url_of(request, provider)
            )
        journal.note_request(provider.now(), method, path, answer, faults)
        if faults.breach is not None and SAVE in scope:
            scope[SAVE]()
        match faults.breach:
            case Refused() | Dropped(is_reset=True):
                close(scope, is_reset=True)
            case Stalled() | Dropped():
                close(scope, is_reset=False)
            case Cut():
                assert answer is not None, "the first half of the answer is sent"
                if answer.body:  # an empty body has no half
                    await _send_half(Response(answer.body, answer.status_code, dict(answer.headers)), send)
                close(scope, is_reset=False)
            case _:
                assert answer is not None, "a connection that does not break carries an answer"
                await Response(answer.body, answer.status_code, dict(answer.headers))(scope, receive, send)
                return
        await _has_left(scope, receive, None)


async def _has_left(scope: Scope, receive: Receive, seconds: float | None) -> bool:
    """Wait until the client has left, or *seconds* have passed; tell whether it has left."""
    hold(scope)
    with anyio.move_on_after(seconds):
        await receive()  # the message after the body says that the client has left
        return True
    hold(scope, is_held=False)
    return False


async def _send_half(response: Response, send: Send) -> None:
    start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    await send(start)
    half = bytes(response.body)[: len(response.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
