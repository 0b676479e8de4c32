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
from hpp_async.simulator._journal import Journal
from hpp_async.simulator._overview import overview_routes
from hpp_async.simulator._payment import payment_routes
from hpp_async.simulator._refusals import RefusedError
from hpp_async.testing import Provider

OPENAPI: Final = "/openapi.json"


def application(provider: Provider, *, served_as: str | None = None, journal: Journal | None = None) -> Starlette:
    """
    Return an application that answers every request as *provider* does.

    It has some paths of its own: ``/openapi.json`` describes it all, ``/hpp/payments/…`` are the payment pages,
    and ``/simulator`` shows and controls the provider. Callbacks are sent by `serve`, not by the application.

    If *served_as* is given, ``/simulator`` answers only requests to this host or to a loopback host: otherwise a web
    site could reach it through a host name of its own that resolves to this machine (DNS rebinding). *journal* is where
    requests are noted.
    """
    journal = Journal() if journal is None else journal

    async def description(_: Request) -> Response:
        return Response(openapi(), media_type="application/json")

    # What is not listed here is the provider's API. It alone needs credentials.
    app = Starlette(
        routes=[
            Route(OPENAPI, description, methods=["GET"]),
            *control_routes(provider, journal),
            *payment_routes(provider),
            *overview_routes(provider, journal),
            style_route(),
            Mount("/", partial(deliver, provider, journal)),
        ],
        exception_handlers={RefusedError: refused},
    )
    app.state.served_as = served_as
    return app


def openapi() -> bytes:
    """Return the simulator's own OpenAPI description of the provider and of the control API, JSON."""
    return files("hpp_async.simulator").joinpath("openapi.json").read_bytes()
