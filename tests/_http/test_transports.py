"""Which connections a client gets, and which arguments are refused."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from support.servers import request_of, serve, wire

from hpp_async import ConfigurationError, HPPClient
from hpp_async._http.connections import Owned
from hpp_async._http.environment import Environment
from hpp_async._http.family import family
from hpp_async._http.over_aiohttp import OverAiohttp, transport
from hpp_async.testing import Provider, VirtualClock

AUTH = ("user", "secret-pw")
ENDPOINT = "http://localhost:1"


def refusal(**options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        HPPClient(auth=AUTH, endpoint=ENDPOINT, **options)
    return str(caught.value)


def test_an_unknown_transport_is_refused_with_those_that_there_are() -> None:
    assert refusal(transport="requests") == "transport='requests': give one of 'httpx', 'httpx2', 'aiohttp'"


@pytest.mark.parametrize(("name", "package"), [("httpx2", "httpx2"), ("aiohttp", "httpx_aiohttp")])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    family.cache_clear()
    monkeypatch.delitem(sys.modules, "hpp_async._http.over_aiohttp", raising=False)
    monkeypatch.delattr("hpp_async._http.over_aiohttp", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # importing it raises ImportError

    assert refusal(transport=name).endswith(f"install hpp-async with the extra '{name}'")


@pytest.mark.parametrize("http_client", [httpx.AsyncClient, httpx2.AsyncClient])
def test_a_transport_for_a_lent_client_is_refused(http_client: Callable[[], Any]) -> None:
    assert "give one of the two" in refusal(http_client=http_client(), transport="httpx2")


@pytest.mark.parametrize("http_client", [httpx.Client, httpx2.Client, object])
def test_what_is_no_asynchronous_client_is_refused(http_client: Callable[[], Any]) -> None:
    assert "give an httpx.AsyncClient or an httpx2.AsyncClient" in refusal(http_client=http_client())


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("name", ["httpx2", "aiohttp"])
def test_a_client_from_the_environment_takes_a_transport(name: Any, loop: str) -> None:
    model = Provider(now=VirtualClock().provider_time, quota=None)

    async def handle(head: bytes, _: object) -> bytes:
        return wire(model.answer(*request_of(head)))

    async def read() -> str:
        async with serve(handle) as url:
            environ = {"HPP_USERNAME": "user", "HPP_PASSWORD": "pw", "HPP_ENDPOINT": url}
            async with HPPClient.from_env(environ, transport=name) as client:
                return (await client.read_session(model.create())).status

    assert anyio.run(read, backend=loop) == "WAITING"


TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.mark.parametrize(
    ("loop", "proxy", "kind"),
    [
        ("asyncio", None, OverAiohttp),
        ("asyncio", "http://proxy.example", httpx.AsyncHTTPTransport),
        ("trio", None, httpx.AsyncHTTPTransport),
    ],
)
def test_aiohttp_is_used_on_asyncio_without_a_proxy(loop: str, proxy: str | None, kind: type) -> None:
    environment = Environment(TRUST, None if proxy is None else httpx.Proxy(proxy))

    async def made() -> object:
        return transport(environment, family("httpx"))

    assert type(anyio.run(made, backend=loop)) is kind


def test_a_connection_over_aiohttp_without_a_request_is_dropped_without_ado() -> None:
    async def take() -> Owned:
        connections = Owned(Environment(TRUST), family("httpx"), transport, now=lambda: 0.0, draw=lambda: 0.0)
        await connections.take()
        return connections

    anyio.run(take).drop()


def test_a_proxy_is_that_of_the_family() -> None:
    made: Any = family("httpx2").proxy("http://user:pw@proxy.example")

    assert isinstance(made, httpx2.Proxy)
    assert repr(family("httpx2")) != repr(family("httpx"))
