"""Connections that fail: refused, reset, closed as they are used again, names without an address, TLS."""

from __future__ import annotations

import random
import socket
import ssl
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest
import trustme
from exchange import AUTH
from fault_server import GREETINGS, always, scripted
from scene import by_turns, on_two_loops, scene, timeout_for
from wire_faults import BROKEN_OFF, FAULTS, ODDITIES, closed_as_it_is_reused

from hpp_async import ConfigurationError, HPPClient, OutageError, TransportError

pytestmark = pytest.mark.anyio


# -- connections ------------------------------------------------------------------------------------------------------


@on_two_loops
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("name", GREETINGS)
async def test_a_connection_that_fails_before_a_request_ends_no_wait(
    name: str, is_tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tls, http_client = _tls("127.0.0.1") if is_tls else (None, None)
    async with scene(caplog, tls=tls, http_client=http_client, attempts=1, timeout=timeout_for(name) * 2) as here:
        draw = random.Random(11)
        here.server.greet = lambda: GREETINGS[name]
        error = await here.read_error()
        here.server.greet = lambda: GREETINGS[name] if draw.random() < 0.4 else None
        # Answers that close their connection, so that each read needs a new one.
        here.server.plan = here.life(always(ODDITIES["closed after it"]))
        outcome = await here.outcome()

        assert type(error) is TransportError
        here.assert_right(outcome)


async def test_refused_connections_end_no_wait(caplog: pytest.LogCaptureFixture) -> None:
    async with scene(caplog) as here:
        errors = await here.outages(5)

        assert [type(error) for error in errors] == [TransportError] * 5


@pytest.mark.parametrize("seed", range(3))
async def test_a_connection_closed_as_it_is_reused_is_not_felt(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(caplog, attempts=1) as here:
        here.server.draw.seed(seed)
        here.server.plan = always(closed_as_it_is_reused)
        readings = [await here.client.read_session(here.session_id) for _ in range(6)]

        assert [reading.status for reading in readings] == ["WAITING"] * 6
        assert [type(event).__name__ for event in here.told.events] == ["ReadFinished"] * 6


# -- names ------------------------------------------------------------------------------------------------------------


NAME: Final = "hpp.test"


class Resolver:
    """Stands in for the system's, for one name that nobody has: by turns it finds the server, or fails."""

    def __init__(self, known: Callable[..., list[Any]]) -> None:
        self.fails: Callable[[], bool] = lambda: True
        self.error = socket.EAI_NONAME
        self.failed = 0
        self._known = known

    def __call__(self, host: str | bytes, *arguments: Any, **more: Any) -> list[Any]:
        if host not in (NAME, NAME.encode()):
            return self._known(host, *arguments, **more)
        if self.fails():
            self.failed += 1
            raise socket.gaierror(self.error, "no answer")
        return self._known("127.0.0.1", *arguments, **more)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    return resolver


@on_two_loops  # uvloop asks the system without asking Python
@pytest.mark.parametrize("error", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
async def test_a_name_without_an_address_for_a_while_ends_no_wait(
    error: int, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    tls, http_client = _tls(NAME)
    async with scene(caplog, tls=tls, http_client=http_client, host=NAME) as here:
        resolver.error = error
        failure = await here.read_error()
        draw = random.Random(13)
        resolver.fails = lambda: draw.random() < 0.6
        # Answers that close their connection, so that each read needs the name again.
        here.server.plan = here.life(always(ODDITIES["closed after it"]), every=6)
        outcome = await here.outcome()

        assert type(failure) is TransportError
        here.assert_right(outcome)
        assert resolver.failed > len(here.server.paths) / 2


async def test_an_unknown_host_is_a_transport_error_and_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    # A name longer than DNS has: every resolver refuses it by itself.
    host = ".".join(["unknown"] * 40) + ".invalid"
    tls, http_client = _tls("127.0.0.1")
    async with scene(caplog, tls=tls, http_client=http_client, host=host, outage_tolerance=30) as here:
        error = await here.read_error()
        with pytest.raises(OutageError) as caught:
            await here.client.wait_for_outcome(here.session_id)
        here.hear(caught.value)

        assert type(error) is type(caught.value.__cause__) is TransportError
        assert "ConnectError" in str(error)


@pytest.mark.parametrize("host", ["a..example", ".example", "x" * 64 + ".example"])
def test_a_host_that_no_resolver_takes_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a host name"):
        HPPClient(auth=AUTH, endpoint=f"https://{host}")


# -- TLS --------------------------------------------------------------------------------------------------------------


def _tls(
    host: str, *, is_trusted: bool = True, not_after: datetime | None = None
) -> tuple[ssl.SSLContext, httpx.AsyncClient]:
    """Return what a server for *host* needs, and a client that trusts its authority, or that trusts another."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host, not_after=not_after).configure_cert(server)
    client = ssl.create_default_context()
    (authority if is_trusted else trustme.CA()).configure_trust(client)
    return server, httpx.AsyncClient(verify=client)


def _old_tls() -> tuple[ssl.SSLContext, httpx.AsyncClient]:
    server, client = _tls("127.0.0.1")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        server.minimum_version = ssl.TLSVersion.TLSv1
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    return server, client


CERTIFICATES: Final[dict[str, Callable[[], tuple[ssl.SSLContext, httpx.AsyncClient]]]] = {
    "of an unknown authority": lambda: _tls("127.0.0.1", is_trusted=False),
    "of another host": lambda: _tls("api.klarna.com"),
    "expired": lambda: _tls("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC)),
    "of old TLS": _old_tls,
}


@pytest.mark.parametrize("name", CERTIFICATES)
async def test_no_request_goes_to_a_server_that_cannot_prove_itself(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    tls, http_client = CERTIFICATES[name]()
    async with scene(caplog, tls=tls, http_client=http_client, outage_tolerance=60) as here:
        error = await here.read_error()
        with pytest.raises(OutageError):
            await here.client.wait_for_outcome(here.session_id)

        assert type(error) is TransportError
        assert here.server.paths == []


async def test_the_clients_own_httpx_trusts_no_self_made_authority(caplog: pytest.LogCaptureFixture) -> None:
    tls, unused = _tls("127.0.0.1")
    await unused.aclose()
    async with scene(caplog, tls=tls, attempts=1, http_client=None) as here:
        error = await here.read_error()

        assert type(error) is TransportError
        assert here.server.paths == []


@by_turns(BROKEN_OFF)
async def test_a_wait_outlives_what_breaks_off_within_tls(name: str, caplog: pytest.LogCaptureFixture) -> None:
    tls, http_client = _tls("127.0.0.1")
    fault = FAULTS[name]
    async with scene(caplog, tls=tls, http_client=http_client, timeout=timeout_for(name) * 2) as here:
        here.server.plan = here.life(scripted(None, fault, None, fault))

        here.assert_right(await here.outcome())
