"""The provider in memory as an ASGI application."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from hpp_async.simulator._control import control_routes
from hpp_async.simulator._delivery import deliver
from hpp_async.simulator._html import refused, style_route
from hpp_async.simulator._overview import overview_routes
from hpp_async.simulator._payment import payment_routes
from hpp_async.simulator._refusals import RefusedError
from hpp_async.testing import Provider

OPENAPI: Final = "/openapi.json"


def application(provider: Provider, *, served_as: str | None = None) -> Starlette:
    """
    Return an application that answers as *provider* does, every method and path.

    Its own are ``/openapi.json``, which describes the provider, ``/hpp/payments/…``, the payment pages, and
    ``/simulator``, which shows and controls it. Callbacks are sent by `serve`, not by the application.

    Where *served_as* is given, ``/simulator`` is for requests to that host, or to one of loopback, and to no other: so
    no web site can reach it by a name of its own that leads here.
    """

    async def description(_: Request) -> Response:
        return Response(openapi(), media_type="application/json")

    # The pages and their like need no credentials; everything else is the API.
    app = Starlette(
        routes=[
            Route(OPENAPI, description, methods=["GET"]),
            *control_routes(provider),
            *payment_routes(provider),
            *overview_routes(provider),
            style_route(),
            Mount("/", partial(deliver, provider)),
        ],
        exception_handlers={RefusedError: refused},
    )
    app.state.served_as = served_as
    return app


def openapi() -> bytes:
    """Return the simulator's own OpenAPI description of the provider, JSON."""
    return files("hpp_async.simulator").joinpath("openapi.json").read_bytes()
