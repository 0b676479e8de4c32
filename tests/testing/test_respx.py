"""respx routes the provider's endpoint to the scripted provider."""

from __future__ import annotations

import httpx
import httpx2
import pytest
import respx

from hpp_async import Completed, Endpoint, HPPClient, TransportError
from hpp_async.testing import Dropped, ScriptedProvider, mock_provider, opens, pays

pytestmark = pytest.mark.anyio


def client_of(provider: ScriptedProvider) -> HPPClient:
    """Return a client as a shop makes it: it owns its httpx client."""
    return HPPClient(auth=provider.auth, endpoint=provider.endpoint, clock=provider.clock)


@pytest.mark.parametrize("base_url", [None, "https://api.playground.klarna.com"])
async def test_a_client_that_owns_its_httpx_client_is_answered(provider: ScriptedProvider, base_url: str) -> None:
    session = provider.add([opens(after=60), pays(after=60)])
    with respx.mock(base_url=base_url) as router:
        route = mock_provider(router, provider)
        async with client_of(provider) as client:
            outcome = await client.wait_for_outcome(session)

    assert isinstance(outcome, Completed)
    assert route.call_count == len(provider.requests) > 2


async def test_the_fixture_of_respx_works(provider: ScriptedProvider, respx_mock: respx.MockRouter) -> None:
    mock_provider(respx_mock, provider)
    elsewhere = respx_mock.get("https://shop.example/").respond(204)
    async with httpx.AsyncClient(auth=provider.auth) as http:
        body = {"payment_session_url": f"{provider.endpoint}/payments/v1/sessions/1"}
        created = await http.post(f"{provider.endpoint}/hpp/v1/sessions", json=body)
        await http.get("https://shop.example/")

    assert created.status_code == 201
    assert provider.model.sessions == [created.json()["session_id"]]
    assert elsewhere.called


async def test_a_broken_connection_is_the_error_that_httpx_raises(
    provider: ScriptedProvider, respx_mock: respx.MockRouter
) -> None:
    mock_provider(respx_mock, provider)
    session = provider.add()
    provider.trouble(Dropped())
    async with client_of(provider) as client:
        with pytest.raises(TransportError, match="RemoteProtocolError"):
            await client.read_session(session)


async def test_a_router_of_pytest_httpx2_serves_clients_of_httpx2(
    provider: ScriptedProvider, httpx2_mock: respx.MockRouter
) -> None:
    route = mock_provider(httpx2_mock, provider)
    session = provider.add([opens(after=60), pays(after=60)])
    auth, endpoint, clock = provider.auth, provider.endpoint, provider.clock
    async with (
        httpx2.AsyncClient() as http_client,
        HPPClient(auth=auth, endpoint=endpoint, clock=clock, transport="httpx2") as own,
        HPPClient(auth=auth, endpoint=endpoint, clock=clock, http_client=http_client) as lending,
    ):
        outcomes = [await own.wait_for_outcome(session), await lending.wait_for_outcome(session)]
        provider.trouble(Dropped())
        with pytest.raises(TransportError, match="RemoteProtocolError") as caught:
            await lending.read_session(session)

    assert [type(outcome) for outcome in outcomes] == [Completed, Completed]
    assert route.call_count == len(provider.requests) > 2
    assert caught.value.is_dropped


async def test_a_client_of_httpx2_is_answered_in_its_own_classes(provider: ScriptedProvider) -> None:
    session = provider.add()
    async with provider.httpx2_client as http_client:
        answer = await http_client.get(session, auth=provider.auth)
        assert isinstance(answer, httpx2.Response)
        provider.trouble(Dropped())
        with pytest.raises(httpx2.RemoteProtocolError):
            await http_client.get(session, auth=provider.auth)


@pytest.mark.parametrize("auth", [("PK12345_abc", "secret"), ("PK12345_abc", "another")])
async def test_a_provider_accepts_only_its_credentials(provider: ScriptedProvider, auth: tuple[str, str]) -> None:
    known = ScriptedProvider(provider.clock, endpoint=Endpoint.NA_PLAYGROUND, auth=("PK12345_abc", "secret"))
    session = known.add()
    answer = await known.http_client.get(session, auth=auth)

    assert answer.status_code == (200 if auth == known.auth else 401)
