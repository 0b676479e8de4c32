"""The provider in memory as an ASGI application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from hpp_async.testing import Provider


def application(provider: Provider) -> Starlette:
    """Return an application that answers as *provider* does, every method and path."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = provider.answer(request.method, request.url.path, headers, await request.body())
        response = Response(answer.body, answer.status_code, dict(answer.headers))
        await response(scope, receive, send)

    async def payment_page(_: Request) -> Response:
        return PlainTextResponse(f"Nothing to click here: a scripted consumer {provider.consumer.story}.\n")

    # The page is where redirect_url leads, without credentials; everything else is the API.
    return Starlette(routes=[Route("/hpp/payments/{key}", payment_page), Mount("/", answer)])
