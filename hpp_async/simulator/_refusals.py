"""Requests that are refused, above all those that another web site makes a browser on this machine send."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request

from hpp_async._provider.posting import is_on_this_machine
from hpp_async.testing import Provider

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_READING: Final = frozenset({"GET", "HEAD"})


class RefusedError(HTTPException):
    """The request was refused and changed nothing; the message gives the reason."""


def refuse_other_sites(request: Request) -> None:
    """
    Refuse a request that would change something and comes from another site's page.

    Every browser names the origin of such a request. Programs such as curl name none, and are not refused.

    Raises:
        RefusedError: the request comes from another site.
    """
    if request.method in _READING:
        return
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    is_foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
    if is_foreign or request.headers.get("sec-fetch-site") == "cross-site":
        raise RefusedError(403, "This request came from another site's page. Nothing was changed.")


def refuse_other_names(request: Request) -> None:
    """
    Refuse a request to another host name than the one that is served: a web site's name can resolve to this machine.

    Loopback names and addresses are always accepted. A server on all addresses does not know its names: there IP
    addresses and names without a dot are accepted, which no web site can let lead here. An application in a server of
    your own accepts every name.

    Raises:
        RefusedError: the request is for another host.
    """
    served_as, host = request.app.state.served_as, request.headers.get("host")
    if served_as is None or host is None:
        return
    name = _name(host)
    # A name that ends in .localhost is this machine (RFC 6761), and browsers do not look it up.
    is_here = is_on_this_machine(f"http://{host}") or name.endswith(".localhost")
    if is_on_all_addresses(served_as):
        is_here = is_here or (name != "" and ("." not in name or _is_address(name)))
    if name != served_as.lower() and not is_here:
        raise RefusedError(403, "The simulator does not have this name. Use its address, or localhost.")


def is_on_all_addresses(host: str) -> bool:
    """Tell whether a server at *host* can be reached from other machines, at all addresses of this one."""
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def base_url_of(request: Request, provider: Provider) -> str:
    """
    Return the base URL for the URLs in the answer to *request*.

    A server on all addresses is in a container, where it has another port and another name than for those outside: it
    hands out URLs of the host that it was asked under.
    """
    served_as, host = request.app.state.served_as, request.headers.get("host", "")
    if served_as is None or not is_on_all_addresses(served_as) or not _name(host):
        return provider.base_url
    return f"http://{host}"


def _name(host: str) -> str:
    """Return the host name or address in a ``Host`` header; nothing, if there is none."""
    try:
        name = httpx.URL(f"http://{host}").host
    except httpx.InvalidURL:
        return ""
    return name if _NAME.fullmatch(name) or _is_address(name) else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
