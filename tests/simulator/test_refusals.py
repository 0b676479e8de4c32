"""Other web sites: what they make a browser send to the simulator is refused; the requests of programs are not."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from typing import Final

import httpx
import pytest
from starlette.routing import Route

from hpp_async._provider.requests import page_path
from hpp_async.simulator import Calendar, application, serve
from hpp_async.simulator._control import Resource
from hpp_async.testing import Consumer, Provider, Slow

AUTH: Final = ("PK00000_test", "not-a-secret")
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)

CHANGES: Final = (
    ("POST", "/simulator/sessions/{session_id}/acts", '{"act": "pays"}'),
    ("POST", "/simulator/faults", '{"kind": "dropped"}'),
    ("DELETE", "/simulator/faults/{key}", ""),
    ("DELETE", "/simulator/faults", ""),
    ("POST", "/simulator/time", '{"advance": 3600}'),
    ("POST", "/simulator", "create=1"),
    ("POST", "/hpp/payments/{key}", "act=pays"),
    ("POST", "/simulator/reset", ""),
)
"""Everything that needs no credentials and changes something: method, route, and a body that would do it."""

READ: Final = ("/simulator", "/simulator/sessions", "/simulator/journal", "/simulator/health")

FOREIGN: Final = (
    {"Origin": "https://shop.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "{own}", "Sec-Fetch-Site": "cross-site"},
)
OWN: Final[tuple[dict[str, str], ...]] = (
    {},
    {"Origin": "{own}"},
    {"Origin": "{own}", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
)


@pytest.fixture
def provider() -> Provider:
    provider = Provider(now=Calendar(START, clock=lambda: 0.0), auth=AUTH, consumer=Consumer.NOBODY)
    provider.create(session_id="one")
    provider.create(session_id="two")
    provider.add_fault(Slow(0))
    return provider


@pytest.fixture
def web(provider: Provider) -> Generator[httpx.Client]:
    with serve(provider) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def send(web: httpx.Client, change: tuple[str, str, str], headers: dict[str, str]) -> httpx.Response:
    """Send *change* with *headers*; it is about session one, the page of session two, or the first fault."""
    method, route, body = change
    page = page_path("two") if route.startswith("/hpp") else None
    path = page or route.format(session_id="one", key="1")
    own = str(web.base_url).rstrip("/")
    return web.request(
        method, path, content=body, headers={name: said.format(own=own) for name, said in headers.items()}
    )


def everything(provider: Provider) -> tuple[object, ...]:
    """Return all that a change could change."""
    statuses = {session_id: provider.status(session_id) for session_id in provider.sessions}
    return provider.now(), statuses, dict(provider.faults.all)


def test_every_changing_route_is_tested_here(provider: Provider) -> None:
    routes = [route for route in application(provider).routes if isinstance(route, Route)]
    changes = {
        (method, route.path)
        for route in routes
        for method in (route.endpoint.handlers if isinstance(route.endpoint, Resource) else route.methods or ())
        if method not in ("GET", "HEAD")
    }

    assert changes == {(method, route) for method, route, _ in CHANGES}


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_requests_from_another_sites_page_change_nothing(
    provider: Provider, web: httpx.Client, headers: dict[str, str]
) -> None:
    before = everything(provider)

    answers = [send(web, change, headers) for change in CHANGES]

    assert [answer.status_code for answer in answers] == [403] * len(CHANGES)
    assert all("Nothing was changed." in answer.text for answer in answers)
    assert everything(provider) == before


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_its_own_pages_and_programs_are_accepted(
    provider: Provider, web: httpx.Client, headers: dict[str, str]
) -> None:
    for change in CHANGES:
        before = everything(provider)

        assert send(web, change, headers).status_code < 400
        assert everything(provider) != before


def test_a_shop_can_link_to_the_payment_page(provider: Provider, web: httpx.Client) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Host": "tunnel.example"}

    assert web.get(page_path("one"), headers=headers).status_code == 200
    assert provider.status("one") == "IN_PROGRESS"


def test_the_providers_api_needs_credentials_only(web: httpx.Client) -> None:
    headers = {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site", "Host": "tunnel.example"}
    body = {"payment_session_url": "https://api.klarna.com/payments/v1/sessions/1"}

    created = web.post("/hpp/v1/sessions", json=body, headers=headers, auth=AUTH)

    assert created.status_code == 201
    assert web.get("/hpp/v1/sessions/one", headers=headers, auth=AUTH).status_code == 200


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.0.0.1", "localhost.evil.example", "[", "a:b"])
def test_requests_to_another_host_name_are_refused(provider: Provider, web: httpx.Client, host: str) -> None:
    before = everything(provider)
    own = {"Host": host, "Origin": f"http://{host}"}  # so a browser takes both for one site

    answers = [web.get(path, headers=own) for path in READ]
    answers += [send(web, change, own) for change in CHANGES if change[1].startswith("/simulator")]

    assert [answer.status_code for answer in answers] == [403] * (len(CHANGES) - 1 + len(READ))
    assert all("The simulator does not have this name." in answer.text for answer in answers)
    assert everything(provider) == before


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:80", "[::1]:80", "hpp.localhost"])
def test_every_name_of_loopback_is_accepted(web: httpx.Client, host: str) -> None:
    assert web.get("/simulator/sessions", headers={"Host": host}).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("served_as", "status_code"), [("Desk.example", 200), ("other.example", 403), (None, 200)], ids=str
)
async def test_the_served_name_is_accepted_and_every_name_if_none_is_given(
    provider: Provider, anyio_backend_name: str, served_as: str | None, status_code: int
) -> None:
    transport = httpx.ASGITransport(application(provider, served_as=served_as))
    async with httpx.AsyncClient(transport=transport, base_url="http://desk.example:8000") as http:
        answer = await http.get("/simulator/sessions")

    assert answer.status_code == status_code


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "status_code"),
    [
        ("localhost:8888", 200),
        ("172.17.0.2:8888", 200),
        ("[2001:db8::1]:8888", 200),
        ("klarna:8888", 200),
        ("evil.example", 403),
        ("10.0.0.1.evil.example", 403),
        ("[", 403),
    ],
)
@pytest.mark.parametrize("served_as", ["0.0.0.0", "::"])
async def test_on_all_addresses_no_name_is_accepted_that_a_web_site_could_have(
    provider: Provider, anyio_backend_name: str, served_as: str, host: str, status_code: int
) -> None:
    transport = httpx.ASGITransport(application(provider, served_as=served_as))
    async with httpx.AsyncClient(transport=transport, base_url="http://desk.example") as http:
        answer = await http.get("/simulator/sessions", headers={"Host": host})

    assert answer.status_code == status_code


@pytest.mark.parametrize("host", ["localhost:18888", "[", ""])
def test_on_all_addresses_urls_are_those_of_the_host_that_is_asked(provider: Provider, host: str) -> None:
    body = {"payment_session_url": "https://api.klarna.com/payments/v1/sessions/1"}
    with serve(provider, host="0.0.0.0") as url, httpx.Client(base_url=url, auth=AUTH, trust_env=False) as shop:
        created = shop.post("/hpp/v1/sessions", json=body, headers={"Host": host}).json()

    expected = f"http://{host}" if host.startswith("localhost") else url
    assert url.startswith("http://127.0.0.1:")
    assert created["session_url"] == f"{expected}/hpp/v1/sessions/{created['session_id']}"
    assert created["redirect_url"].startswith(f"{expected}/hpp/payments/")
    assert created["qr_code_url"].startswith(f"{expected}/hpp/payments/")
