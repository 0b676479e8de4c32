"""What is refused, and why: above all what another web site makes a browser here ask for."""

from __future__ import annotations

from typing import Final

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request

from hpp_async._core.endpoint import is_loopback

_READING: Final = frozenset({"GET", "HEAD"})


class RefusedError(HTTPException):
    """Nothing was done; whoever asked, a person or a program, is told why."""


def refuse_other_sites(request: Request) -> None:
    """
    Refuse what would change something, and was sent by a page of another site.

    Every browser says where such a request comes from; curl and the like say nothing, and pass.

    Raises:
        RefusedError: the request is from another site.
    """
    if request.method in _READING:
        return
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    is_foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
    if is_foreign or request.headers.get("sec-fetch-site") == "cross-site":
        raise RefusedError(403, "This was sent by another site's page, and nothing was done.")


def refuse_other_names(request: Request) -> None:
    """
    Refuse to be known by a name that this is not served by: a site may let its own name lead to this machine.

    Loopback names and addresses are always right; an application of somebody's own server takes any.

    Raises:
        RefusedError: the request is for another host.
    """
    served_as, host = request.app.state.served_as, request.headers.get("host")
    if served_as is None or host is None:
        return
    try:
        name = httpx.URL(f"http://{host}").host
    except httpx.InvalidURL:
        name = ""
    # What ends in .localhost is this machine by RFC 6761, and browsers ask nobody about it.
    is_here = is_loopback(name) or name.endswith(".localhost")
    if name != served_as.lower() and not is_here:
        raise RefusedError(403, "The simulator is not served by this name: use its address, or localhost.")
