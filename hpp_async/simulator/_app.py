"""The provider in memory as an ASGI application."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from hpp_async.simulator._control import control_routes
from hpp_async.simulator._delivery import deliver
from hpp_async.testing import Provider
from hpp_async.testing._consumers import script_of

OPENAPI: Final = "/openapi.json"


def application(provider: Provider) -> Starlette:
    """
    Return an application that answers as *provider* does, every method and path.

    Its own are ``/openapi.json``, which describes the provider, and ``/simulator/…``, which controls it. Callbacks are
    sent by `serve`, not by the application.
    """

    async def payment_page(_: Request) -> Response:
        story = script_of(provider.consumer).story
        return PlainTextResponse(f"Nothing to click here: a scripted consumer {story}.\n")

    async def description(_: Request) -> Response:
        return Response(openapi(), media_type="application/json")

    # The page is where redirect_url leads, without credentials; everything else is the API.
    return Starlette(
        routes=[
            Route(OPENAPI, description, methods=["GET"]),
            *control_routes(provider),
            Route("/hpp/payments/{key}", payment_page),
            Mount("/", partial(deliver, provider)),
        ]
    )


def openapi() -> bytes:
    """Return the simulator's own OpenAPI description of the provider, JSON."""
    return files("hpp_async.simulator").joinpath("openapi.json").read_bytes()
