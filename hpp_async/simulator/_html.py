"""The simulator's HTML pages and forms, rendered and read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from hpp_async.simulator._refusals import RefusedError, refuse_other_sites

STYLE: Final = "/simulator/style.css"
_EVERY: Final = 2
"""Seconds between two refreshes of a page."""
_FILES: Final = PackageLoader("hpp_async.simulator")
_TEMPLATES: Final = Environment(
    loader=_FILES,
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    # With no-referrer, browsers would send "Origin: null" even with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def page(
    name: str, status_code: int = 200, *, is_refreshed: bool = False, leads_to: Iterable[str] = (), **values: object
) -> Response:
    """
    Render the template *name* with *values*.

    Its forms may lead to this server and to the origins in *leads_to*.
    """
    every = _EVERY if is_refreshed else None
    text = _TEMPLATES.get_template(name).render(style=STYLE, refreshed_every=every, **values)
    targets = " ".join(["'self'", *leads_to])
    policy = f"default-src 'none'; style-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(text, status_code, {**_HEADERS, "Content-Security-Policy": policy})


def asks_to_refresh(request: Request) -> bool:
    """Tell whether the page should refresh itself."""
    return request.query_params.get("refresh") == "on"


async def refused(_: Request, refusal: Exception) -> Response:
    """Return the page that gives the reason."""
    assert isinstance(refusal, RefusedError)
    return page("refused.html", refusal.status_code, reason=refusal.detail)


async def form(request: Request) -> dict[str, str]:
    """
    Return the fields of the form in *request*.

    Raises:
        RefusedError: the form is on another site's page.
    """
    refuse_other_sites(request)
    return dict(parse_qsl((await request.body()).decode(errors="replace")))


def style_route() -> Route:
    """Return the route of the stylesheet."""
    style, _, _ = _FILES.get_source(_TEMPLATES, "style.css")

    async def stylesheet(_: Request) -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "no-cache"})

    return Route(STYLE, stylesheet, methods=["GET"])
