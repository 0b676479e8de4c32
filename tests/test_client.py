"""The client on real sockets: what it sends, what it refuses, what it owns, what it reports."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from starlette.background import BackgroundTask
from support.servers import Handler, request_of, run, serve, wire

from hpp_async import (
    ClientClosedError,
    Completed,
    ConfigurationError,
    Endpoint,
    Event,
    HPPClient,
    ReadBudget,
    ReadFailed,
    ReadFinished,
    ServerError,
    SessionStatus,
    Slept,
    TransitionSeen,
    TransportError,
    UnexpectedPayloadError,
    WaitEnded,
    WaitStarted,
    __version__,
)
from hpp_async.testing import Provider, ScriptedProvider

AUTH = ("user", "secret")
MOMENT = datetime(2026, 1, 15, 12, tzinfo=UTC)


def model() -> Provider:
    return Provider(now=lambda: MOMENT, auth=AUTH)


def answering(provider: Provider, heads: list[bytes] | None = None) -> Handler:
    async def handle(head: bytes, _: object) -> bytes:
        if heads is not None:
            heads.append(head)
        return wire(provider.answer(*request_of(head)))

    return handle


# -- what it sends -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_read_sends_what_the_read_page_shows(anyio_backend_name: str) -> None:
    heads: list[bytes] = []
    provider = model()
    session_id = provider.create()
    async with (
        serve(answering(provider, heads)) as url,
        HPPClient(auth=AUTH, endpoint=url, user_agent="shop/2.1") as client,
    ):
        session = await client.read_session(session_id)

    method, path, headers = request_of(heads[0])
    assert (method, path) == ("GET", f"/hpp/v1/sessions/{session_id}")
    assert headers == {
        "host": url.removeprefix("http://"),
        "authorization": "Basic dXNlcjpzZWNyZXQ=",
        "accept": "application/json",
        "content-type": "application/json",
        "cache-control": "no-cache",
        "user-agent": f"shop/2.1 hpp-async/{__version__}",
    }
    assert (session.status, session.read_at) == ("WAITING", MOMENT)


@pytest.mark.anyio
async def test_id_and_session_url_read_the_same_over_one_connection() -> None:
    connections: set[object] = set()
    provider = model()
    session_id = provider.create()

    async def handle(head: bytes, stream: object) -> bytes:
        connections.add(stream)
        return wire(provider.answer(*request_of(head)))

    async with serve(handle) as url, HPPClient(auth=AUTH, endpoint=url) as client:
        by_id = await client.read_session(session_id)
        by_url = await client.read_session(f"{url}/hpp/v1/sessions/{session_id}")

    assert by_id.session_id == by_url.session_id == session_id
    assert len(connections) == 1


@pytest.mark.anyio
async def test_a_redirect_is_not_followed() -> None:
    asked: list[bytes] = []

    async def elsewhere(head: bytes, _: object) -> bytes:
        asked.append(head)
        return b""

    async with serve(elsewhere) as other:

        async def handle(head: bytes, _: object) -> bytes:
            return f"HTTP/1.1 307 X\r\nLocation: {other}/steal\r\nContent-Length: 0\r\n\r\n".encode()

        async with serve(handle) as url, HPPClient(auth=AUTH, endpoint=url) as client:
            with pytest.raises(Exception, match="307"):
                await client.read_session("session")

    assert asked == []


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_transient_failures_are_tried_again_up_to_attempts(provider: ScriptedProvider) -> None:
    session = provider.add()
    provider.answer_next(503, httpx.ReadTimeout("slow"), 500)
    async with provider.client(attempts=4) as client:
        first = await client.read_session(session)
        provider.answer_next(503, 503, 500, 502)
        with pytest.raises(ServerError) as caught:
            await client.read_session(session)

    assert first.status == "WAITING"
    assert (caught.value.status_code, len(provider.requests)) == (502, 8)


@pytest.mark.anyio
async def test_a_short_429_is_waited_out_and_a_long_one_is_not(provider: ScriptedProvider) -> None:
    session = provider.add()
    client = provider.client()
    provider.answer_next(httpx.Response(429, headers={"Retry-After": "3"}))
    await client.read_session(session)
    waited = provider.clock.now()
    provider.answer_next(httpx.Response(429, headers={"Retry-After": "30"}))
    with pytest.raises(Exception, match="429"):
        await client.read_session(session)

    assert waited >= 3
    assert len(provider.requests) == 3


@pytest.mark.anyio
async def test_a_connection_that_is_dropped_is_tried_again_once_and_not_counted(provider: ScriptedProvider) -> None:
    session = provider.add()
    client = provider.client(attempts=1)
    provider.answer_next(httpx.RemoteProtocolError("closed"))
    reading = await client.read_session(session)
    provider.answer_next(httpx.RemoteProtocolError("closed"), httpx.ReadError("reset"))
    with pytest.raises(TransportError):
        await client.read_session(session)

    assert reading.status == "WAITING"
    assert len(provider.requests) == 4


@pytest.mark.anyio
async def test_an_error_of_the_event_loop_is_a_transport_error(provider: ScriptedProvider) -> None:
    inside: dict[str, Any] = {"__name__": "anyio._backends"}
    exec("def connect(request): return None.getpeername()", inside)

    session = provider.add()
    client = provider.client(http_client=httpx.AsyncClient(transport=httpx.MockTransport(inside["connect"])))
    with pytest.raises(TransportError, match=r"the connection to .* is gone"):
        await client.read_session(session)


@pytest.mark.anyio
async def test_an_attribute_error_of_the_users_own_reaches_the_user(provider: ScriptedProvider) -> None:
    def connect(request: httpx.Request) -> httpx.Response:
        raise AttributeError("mine")

    client = provider.client(http_client=httpx.AsyncClient(transport=httpx.MockTransport(connect)))
    with pytest.raises(AttributeError, match="mine"):
        await client.read_session("session")


class Endless(httpx.AsyncByteStream):
    """Half a MiB at a time, until it is closed."""

    def __init__(self) -> None:
        self.is_closed = False
        self.sent = 0

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        while not self.is_closed:
            self.sent += 1
            yield b" " * (512 * 1024)
        raise httpx.ReadError("closed")

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.mark.anyio
async def test_an_endless_body_is_cut_off(provider: ScriptedProvider) -> None:
    stream = Endless()
    provider.answer_next(httpx.Response(200, stream=stream))
    with pytest.raises(UnexpectedPayloadError, match="more than 1048576 bytes"):
        await provider.client(attempts=1).read_session("session")

    assert stream.sent == 3


@pytest.mark.anyio
async def test_a_body_that_breaks_off_is_no_answer(provider: ScriptedProvider) -> None:
    stream = Endless()
    stream.is_closed = True
    provider.answer_next(*[httpx.Response(200, stream=stream) for _ in range(2)])
    with pytest.raises(TransportError, match="ReadError"):
        await provider.client(attempts=1).read_session("session")


@pytest.mark.anyio
async def test_an_answer_that_comes_too_slowly_is_cut_off(anyio_backend_name: str) -> None:
    async def handle(head: bytes, stream: anyio.abc.ByteStream) -> bytes:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await anyio.sleep_forever()
        raise AssertionError

    async with serve(handle) as url, HPPClient(auth=AUTH, endpoint=url, timeout=0.05, attempts=1) as client:
        with pytest.raises(TransportError):
            await client.read_session("session")


@pytest.mark.anyio
async def test_an_error_in_a_borrowed_clients_hook_reaches_the_caller(provider: ScriptedProvider) -> None:
    async def hook(request: httpx.Request) -> None:
        raise LookupError("mine")

    session = provider.add()
    http_client = httpx.AsyncClient(transport=provider, event_hooks={"request": [hook]})
    client = provider.client(http_client=http_client)
    with pytest.raises(LookupError, match="mine"):
        await client.read_session(session)
    with pytest.raises(LookupError, match="mine"):
        await client.wait_for_outcome(session)


# -- what it owns --------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_borrowed_client_is_never_closed(provider: ScriptedProvider) -> None:
    async with provider.client() as client:
        await client.read_session(provider.add())

    assert not provider.http_client.is_closed


@pytest.mark.anyio
async def test_a_borrowed_client_that_its_owner_closed_ends_reads_and_waits(provider: ScriptedProvider) -> None:
    await provider.http_client.aclose()
    client = provider.client()

    with pytest.raises(ClientClosedError):
        await client.read_session("session")
    with pytest.raises(ClientClosedError):
        await client.wait_for_outcome("session")


@pytest.mark.anyio
async def test_a_borrowed_clients_own_configuration_is_not_sent(provider: ScriptedProvider) -> None:
    http_client = httpx.AsyncClient(
        transport=provider,
        auth=("other", "credentials"),
        headers={"X-Other": "1"},
        cookies={"other": "1"},
        base_url="https://elsewhere.example",
        follow_redirects=True,
    )
    await provider.client(http_client=http_client).read_session(provider.add())

    [request] = provider.requests
    assert request.url.host == "api.playground.klarna.com"
    assert {"x-other", "cookie"}.isdisjoint(request.headers)


@pytest.mark.anyio
async def test_concurrent_reads_of_one_session_are_one_request(provider: ScriptedProvider) -> None:
    session = provider.add()
    provider.latency = 1.0
    client = provider.client()
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(client.read_session, session)

    assert len(provider.requests) == 1


@pytest.mark.anyio
async def test_a_wait_uses_a_reading_that_is_recent_enough(provider: ScriptedProvider) -> None:
    session = provider.add()
    client = provider.client()
    first, second, third = (client.wait_for_outcome(session) for _ in range(3))
    await anext(first)
    await provider.clock.sleep(1.5)
    await anext(second)
    shared = len(provider.requests)
    await provider.clock.sleep(1.5)
    await anext(third)

    assert (shared, len(provider.requests)) == (1, 2)


@pytest.mark.anyio
async def test_a_reading_is_never_older_than_the_call(provider: ScriptedProvider) -> None:
    session = provider.add([(0.5, "COMPLETED")])
    provider.latency = 1.0
    client = provider.client()
    readings = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.read_session, session)
        await provider.clock.sleep(0.7)
        readings.append(await client.read_session(session))

    assert [reading.status for reading in readings] == ["COMPLETED"]
    assert len(provider.requests) == 2


# -- notifications -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_notification_wakes_every_wait_and_costs_one_read(provider: ScriptedProvider) -> None:
    session = provider.add()
    client = provider.client()
    waits = [client.wait_for_outcome(session) for _ in range(3)]
    woken: list[bool] = []
    before = after = 0
    async with anyio.create_task_group() as tasks:
        for wait in waits:
            tasks.start_soon(run, wait)
        await provider.clock.sleep(5)
        before = len(provider.requests)
        provider.model.change(provider.model.sessions[0], "COMPLETED")
        woken = [client.notify(session) for _ in range(10)]
        await provider.clock.sleep(0.5)
        after = len(provider.requests)

    assert woken == [True] * 10
    assert after - before == 1
    assert all(isinstance(wait.outcome, Completed) for wait in waits)


@pytest.mark.anyio
async def test_a_notification_during_a_read_is_served_by_a_read_after_it(provider: ScriptedProvider) -> None:
    session = provider.add([(3.5, "COMPLETED")])
    provider.latency = 3.0
    client = provider.client()
    wait = client.wait_for_outcome(session)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: wait)
        await provider.clock.sleep(2)
        client.notify(session)

    assert provider.clock.now() == 6


@pytest.mark.anyio
async def test_notify_returns_whether_there_is_a_wait(provider: ScriptedProvider) -> None:
    session = provider.add([(0, "COMPLETED")])
    client = provider.client()
    before = client.notify(session)
    wait = client.wait_for_outcome(session)
    await wait

    assert (before, client.notify(session)) == (False, False)


# -- what it reports -----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_observers_get_every_event_in_order(provider: ScriptedProvider) -> None:
    events: list[Event] = []
    provider.add([(5, "COMPLETED")], session_id="told")
    provider.answer_next(403)
    client = provider.client(observers=[events.append])
    with pytest.raises(Exception, match="403"):
        await client.read_session("told")
    await client.wait_for_outcome("told")

    told: list[type[Event]] = [type(event) for event in events]
    assert told == [
        ReadFailed,
        WaitStarted,
        ReadFinished,
        TransitionSeen,
        Slept,
        ReadFinished,
        TransitionSeen,
        WaitEnded,
    ]
    assert isinstance(events[1], WaitStarted)
    assert events[-1] == WaitEnded(
        session_id="told",
        wait=events[1].wait,
        ending="Completed",
        status=SessionStatus.COMPLETED,
        reads=2,
        seconds=provider.clock.now(),
    )


@pytest.mark.anyio
async def test_an_observer_that_raises_is_logged_and_has_no_other_effect(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        raise LookupError("secret of the user's")

    session = provider.add([(0, "COMPLETED")])
    outcome = await provider.client(observers=[broken]).wait_for_outcome(session)

    assert isinstance(outcome, Completed)
    assert "raised LookupError on ReadFinished" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes_through_an_observer(
    provider: ScriptedProvider, ending: type[BaseException]
) -> None:
    def interrupted(event: Event) -> None:
        raise ending

    with pytest.raises(ending):
        provider.client(observers=[interrupted]).report(Slept(session_id="some", seconds=1.0, late_by=0.0))


@pytest.mark.anyio
async def test_transitions_and_endings_are_logged(provider: ScriptedProvider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hpp_async")
    provider.add([(5, "COMPLETED")], session_id="logged")
    await provider.client().wait_for_outcome("logged")

    assert [record.getMessage() for record in caplog.records if record.name == "hpp_async"] == [
        "session logged: first seen -> WAITING",
        "session logged: WAITING -> COMPLETED",
        "session logged: the wait ended after 2 reads: Completed",
    ]


@pytest.mark.anyio
async def test_completed_without_an_order_or_a_token_is_warned_of(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    session = provider.add([(0, "COMPLETED", {"authorization_token": ""})])
    outcome = await provider.client().wait_for_outcome(session)

    assert outcome.needs_attention
    assert "needs a person's attention" in caplog.text
    assert str(outcome.session.correlation_id) in caplog.text


# -- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        (
            {"HPP_USERNAME": "PK1_a", "HPP_PASSWORD": "b", "HPP_ENDPOINT": "NA_PLAYGROUND"},
            "https://api-na.playground.klarna.com",
        ),
        ({"HPP_API_KEY": "klarna_live_api_x", "HPP_ENDPOINT": "https://api.klarna.com"}, "https://api.klarna.com"),
        ({"HPP_API_KEY": "x", "HPP_ENDPOINT": "http://127.0.0.1:8888/"}, "http://127.0.0.1:8888"),
    ],
)
def test_from_env(environ: dict[str, str], target: str) -> None:
    assert repr(HPPClient.from_env(environ, attempts=1)) == f"<HPPClient {target}>"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "set HPP_USERNAME and HPP_PASSWORD, or HPP_API_KEY"),
        ({"HPP_USERNAME": "a"}, "set HPP_USERNAME and HPP_PASSWORD"),
        ({"HPP_USERNAME": "a", "HPP_PASSWORD": ""}, "set HPP_USERNAME and HPP_PASSWORD"),
        ({"HPP_API_KEY": ""}, "set HPP_USERNAME and HPP_PASSWORD, or HPP_API_KEY"),
        ({"HPP_API_KEY": "a", "HPP_USERNAME": "b"}, "unset one of the two"),
        ({"HPP_API_KEY": "a\n", "HPP_ENDPOINT": "EU_LIVE"}, "HPP_API_KEY has a line break in it"),
        ({"HPP_API_KEY": "a", "HPP_ENDPOINT": "EU_LIVE\r\n"}, "HPP_ENDPOINT has a line break in it"),
        ({"HPP_API_KEY": "a"}, "set HPP_ENDPOINT to one of EU_LIVE"),
        ({"HPP_API_KEY": "a", "HPP_ENDPOINT": "EU"}, "^HPP_ENDPOINT: give one of EU_LIVE"),
        ({"HPP_API_KEY": " ", "HPP_ENDPOINT": "EU_LIVE"}, "^HPP_API_KEY: the API key is empty"),
        ({"HPP_USERNAME": " ", "HPP_PASSWORD": "b", "HPP_ENDPOINT": "EU_LIVE"}, "^HPP_USERNAME: the username is empty"),
        ({"HPP_USERNAME": "a", "HPP_PASSWORD": " ", "HPP_ENDPOINT": "EU_LIVE"}, "^HPP_PASSWORD: the password is empty"),
    ],
)
def test_from_env_says_which_variable_to_change(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        HPPClient.from_env(environ)


def test_from_env_leaves_the_names_of_other_arguments() -> None:
    with pytest.raises(ConfigurationError, match=r"^attempts=0: "):
        HPPClient.from_env({"HPP_API_KEY": "a", "HPP_ENDPOINT": "EU_LIVE"}, attempts=0)


def test_from_env_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPP_API_KEY", "klarna_test_api_x")
    monkeypatch.setenv("HPP_ENDPOINT", "EU_PLAYGROUND")

    assert "playground" in repr(HPPClient.from_env())


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 1.5},
        {"timeout": 0},
        {"timeout": None},
        {"outage_tolerance": -1},
        {"schedule": None},
        {"budget": 50},
        {"http_client": httpx.Client()},
        {"user_agent": "line\r\nbreak"},
        {"user_agent": 7},
        {"observers": print},
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        HPPClient(auth=AUTH, endpoint=Endpoint.EU_LIVE, **options)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.anyio
async def test_a_bad_budget_is_refused_and_the_one_before_stays(provider: ScriptedProvider) -> None:
    async with provider.client(budget=ReadBudget(5)) as client:
        with pytest.raises(ConfigurationError, match="give a ReadBudget"):
            client.set_budget(50)  # type: ignore[arg-type]  # wrong on purpose

        assert client.budget == ReadBudget(5)


@pytest.mark.anyio
async def test_a_closed_client_shows_it(provider: ScriptedProvider) -> None:
    client = provider.client()
    await client.aclose()

    assert repr(client) == "<HPPClient https://api.playground.klarna.com, closed>"
    with pytest.raises(ClientClosedError):
        await client.wait_for_outcome("session")


def test_importing_needs_none_of_the_extras() -> None:
    script = (
        "import sys, hpp_async, hpp_async.testing\n"
        "assert not {'typer', 'starlette', 'uvicorn', 'pytest'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# -- accepted, but without an effect -------------------------------------------------------------------------------


class AsynchronousObserver:
    async def __call__(self, event: Event) -> None:
        raise AssertionError("it would never be awaited")


async def asynchronous_observer(event: Event) -> None:
    raise AssertionError("it would never be awaited")


@pytest.mark.parametrize(
    "observer",
    [asynchronous_observer, partial(asynchronous_observer), AsynchronousObserver()],
    ids=["function", "partial", "object"],
)
def test_an_asynchronous_observer_is_refused(provider: ScriptedProvider, observer: Any) -> None:
    with pytest.raises(ConfigurationError, match="is asynchronous"):
        provider.client(observers=[observer])


def test_an_observer_that_cannot_be_called_is_refused(provider: ScriptedProvider) -> None:
    with pytest.raises(ConfigurationError, match="cannot be called"):
        provider.client(observers=[None])  # type: ignore[list-item]  # that is the point


@pytest.mark.anyio
async def test_a_wait_runs_as_a_background_task_of_starlette(provider: ScriptedProvider) -> None:
    client = provider.client()
    await BackgroundTask(client.wait_for_outcome, provider.add([(0, "COMPLETED")]))()

    assert len(provider.requests) == 1


@pytest.mark.anyio
async def test_a_pause_between_two_attempts_ends_when_the_client_is_closed(provider: ScriptedProvider) -> None:
    client, session = provider.client(), provider.add()
    provider.answer_next(httpx.Response(503, headers={"Retry-After": "4"}))
    ended_at: list[float] = []

    async def read() -> None:
        with pytest.raises(ClientClosedError, match="closed during a read"):
            await client.read_session(session)
        ended_at.append(provider.clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await provider.clock.sleep(1.0)
        await client.aclose()

    assert ended_at == [1.0]
    assert len(provider.requests) == 1
