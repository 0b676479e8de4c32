"""The classes of httpx or of httpx2, under the same names, so that code that uses either package is written once."""

from __future__ import annotations

import importlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from functools import cache, lru_cache
from typing import Any, Final, Protocol, TypeVar, cast

import attrs
import httpx

from hpp_async._http.secret_url import Concealed, Redaction, SecretURL

FAMILIES: Final = ("httpx", "httpx2")
"""The packages. httpx2 is a continuation of httpx: its classes have the same names, and do not mix with httpx's."""

_REMEMBERED_URLS: Final = 1024
_Class = TypeVar("_Class")


class HTTPClient(Protocol):
    """An `httpx.AsyncClient`, or an `httpx2.AsyncClient`: what `HPPClient` can borrow as its ``http_client``."""

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed."""
        ...

    def send(self, request: Any, *, stream: bool = ..., auth: Any = ..., follow_redirects: Any = ...) -> Awaitable[Any]:
        """Send a request of the client's own family, and return the response, of that family too."""
        ...


@attrs.frozen(eq=False, repr=False)
class Family:
    """
    What this library uses of httpx or of httpx2. All of it has httpx's types: httpx2's classes have the same methods.

    Attributes:
        url: makes a URL. It is cached, because a session is read many times, and parsing its URL costs as much as all
            other work on a request.
        secret_url: a URL class whose ``repr`` shows the host alone.
        discreet_request: a request class whose ``repr`` does not show the URL.
    """

    name: str
    url: Callable[[str], httpx.URL]
    secret_url: type[httpx.URL]
    request: type[httpx.Request]
    discreet_request: type[httpx.Request]
    headers: type[httpx.Headers]
    stream: type[httpx.ByteStream]
    timeout: type[httpx.Timeout]
    auth: type[httpx.Auth]
    error: type[httpx.HTTPError]
    status_error: type[httpx.HTTPStatusError]
    transport: type[httpx.AsyncHTTPTransport]
    limits: type[httpx.Limits]
    proxy: type[httpx.Proxy]
    ssl_context: Callable[[], ssl.SSLContext]

    def parsed(self, url: str | SecretURL) -> httpx.URL:
        """Return *url* as a URL of the family."""
        return self.url(url) if isinstance(url, str) else self.secret_url(str(url))


@cache
def family(name: str) -> Family:
    """
    Return the family of this name. Its package is imported by the first call.

    Raises:
        ImportError: it is not installed.
    """
    module: Any = importlib.import_module(name)
    logging.getLogger(name).addFilter(Redaction())
    return Family(
        name=name,
        url=lru_cache(maxsize=_REMEMBERED_URLS)(module.URL),
        secret_url=_both(Concealed, module.URL),
        request=module.Request,
        discreet_request=_both(_Discreet, module.Request),
        headers=module.Headers,
        stream=module.ByteStream,
        timeout=module.Timeout,
        auth=module.Auth,
        error=module.HTTPError,
        status_error=module.HTTPStatusError,
        transport=module.AsyncHTTPTransport,
        limits=module.Limits,
        proxy=module.Proxy,
        ssl_context=module.create_ssl_context,
    )


def family_of(http_client: object) -> Family | None:
    """Return the family of an ``AsyncClient``, or of an instance of a subclass; ``None`` for anything else."""
    return next((family(name) for name in FAMILIES if "AsyncClient" in names_of(http_client, name)), None)


def names_of(value: object, *families: str) -> set[str]:
    """Return the names of the classes of these families, by default of both, that *value* is an instance of."""
    return {one.__name__ for one in type(value).__mro__ if one.__module__ in (families or FAMILIES)}


class _Discreet:
    """A base for request classes: their ``repr`` does not show the URL, because error reporters print locals."""

    method: str

    def __repr__(self) -> str:
        return f"<Request {self.method}>"


def _both(first: type, second: type[_Class]) -> type[_Class]:
    return cast("type[_Class]", type(second.__name__, (first, second), {}))
