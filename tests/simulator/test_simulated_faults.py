"""Faults over real HTTP: what the simulator does to answers, time and connections."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from typing import Final

import anyio
import httpx
import pytest

from hpp_async import Completed, HPPClient, PollSchedule
from hpp_async.simulator import application, serve
from hpp_async.testing import (
    Answered,
    Cut,
    Dropped,
    Fault,
    Provider,
    Refused,
    Scarce,
    Script,
    Slow,
    Stalled,
    Throttled,
    opens,
    pays,
)

AUTH: Final = ("PK00000_test", "not-a-secret")


@pytest.fixture
def provider() -> Provider:
    return Provider(now=lambda: datetime.now(UTC), auth=AUTH, quota=None)


@pytest.fixture
def shop(provider: Provider) -> Generator[httpx.Client]:
    """A merchant's HTTP client, and a session for it to read."""
    provider.create(session_id="one")
    with serve(provider) as url, httpx.Client(base_url=f"{url}/hpp/v1/", auth=AUTH, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refused(), httpx.ReadError),
        (Dropped(is_reset=True), httpx.ReadError),
        (Dropped(), httpx.RemoteProtocolError),
        (Stalled(0.001), httpx.RemoteProtocolError),
        (Cut(), httpx.RemoteProtocolError),
    ],
)
def test_connections_really_break(
    provider: Provider, shop: httpx.Client, fault: Fault, error: type[httpx.TransportError]
) -> None:
    provider.add_fault(fault)

    with pytest.raises(error):
        shop.get("sessions/one")
    provider.faults.clear()
    assert shop.get("sessions/one").status_code == 200


def test_half_of_an_answer_arrives(provider: Provider, shop: httpx.Client) -> None:
    provider.add_fault(Cut())
    arrived: list[bytes] = []

    with shop.stream("GET", "sessions/one") as answer, pytest.raises(httpx.RemoteProtocolError):
        arrived.extend(answer.iter_raw())

    assert answer.status_code == 200
    assert b"".join(arrived).startswith(b'{"session_id": "one"')
    assert len(b"".join(arrived)) == int(answer.headers["Content-Length"]) // 2


def test_a_request_can_be_carried_out_before_the_connection_breaks(provider: Provider, shop: httpx.Client) -> None:
    provider.add_fault(Dropped(is_done=True))

    with pytest.raises(httpx.RemoteProtocolError):
        shop.delete("sessions/one")

    assert provider.status("one") == "DISABLED"


def test_an_answer_without_a_body_cannot_be_halved(provider: Provider, shop: httpx.Client) -> None:
    provider.add_fault(Cut())

    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        shop.delete("sessions/one")

    assert provider.status("one") == "DISABLED"


def test_answers_are_damaged_and_replaced(provider: Provider, shop: httpx.Client) -> None:
    key = provider.add_fault(Scarce(40, 3, 2))
    bent = shop.get("sessions/one")
    provider.faults.remove(key)
    provider.add_fault(Answered(503, {"Retry-After": "7"}, "html"))

    replaced = shop.get("sessions/one")

    assert (bent.status_code, bent.headers["X-Ratelimit-Remaining"]) == (200, "3")
    assert (replaced.status_code, replaced.headers["Retry-After"]) == (503, "7")
    assert replaced.headers["Content-Type"].startswith("text/html")


def test_an_answer_can_be_slow(provider: Provider, shop: httpx.Client) -> None:
    provider.add_fault(Slow(0.001))

    assert shop.get("sessions/one").status_code == 200


def test_a_slow_answer_is_dropped_when_the_client_leaves(provider: Provider, shop: httpx.Client) -> None:
    provider.add_fault(Slow(3600))

    with pytest.raises(httpx.ReadTimeout):
        shop.get("sessions/one", timeout=0.05)


@pytest.mark.anyio
async def test_the_simulator_ends_while_an_answer_is_held_back(provider: Provider, anyio_backend_name: str) -> None:
    provider.create(session_id="one")
    key = provider.add_fault(Stalled(3600))
    ended: list[Exception] = []

    async def read(url: str) -> None:
        async with httpx.AsyncClient(auth=AUTH, trust_env=False, timeout=None) as http:
            try:
                await http.get(f"{url}/hpp/v1/sessions/one")
            except httpx.TransportError as error:
                ended.append(error)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with serve(provider) as url:
                tasks.start_soon(read, url)
                while not provider.faults.affected(key):
                    await anyio.lowlevel.checkpoint()

    assert len(ended) == 1


def test_the_simulator_ends_while_a_connection_is_idle(provider: Provider) -> None:
    with httpx.Client(auth=AUTH, trust_env=False) as client:
        with serve(provider) as url:
            assert client.get(f"{url}/hpp/v1/sessions/nobody").status_code == 404
        with pytest.raises(httpx.ConnectError):
            client.get(f"{url}/hpp/v1/sessions/nobody")


@pytest.mark.anyio
async def test_a_wait_has_its_outcome_through_faults_over_http(provider: Provider, anyio_backend_name: str) -> None:
    provider.speed = 20
    session_id = provider.create(Script(opens, pays))
    keys = [
        provider.add_fault(Fault(fault, first=1))
        for fault in (Throttled(0), Dropped(), Dropped(is_reset=True), Cut(), Answered(502))
    ]
    with serve(provider) as url:
        async with httpx.AsyncClient(trust_env=False) as http:
            client = HPPClient(auth=AUTH, endpoint=url, http_client=http, schedule=PollSchedule.every(0.1))
            outcome = await client.wait_for_outcome(session_id)
            await client.aclose()

    assert [provider.faults.affected(key) for key in keys] == [1, 1, 1, 1, 1]
    assert isinstance(outcome, Completed)


@pytest.mark.anyio
async def test_under_another_server_a_broken_connection_is_an_error_of_the_application(
    provider: Provider, anyio_backend_name: str
) -> None:
    provider.create(session_id="one")
    provider.add_fault(Slow(0.001))
    provider.add_fault(Refused())
    transport = httpx.ASGITransport(application(provider))

    async with httpx.AsyncClient(transport=transport, base_url="http://simulated", auth=AUTH) as http:
        with pytest.raises(ConnectionResetError):
            await http.get("/hpp/v1/sessions/one")
