"""Status callbacks: as data in virtual time, and posted by the simulator to this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from logging.handlers import QueueHandler
from queue import Queue
from threading import Thread
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread
import httpx
import pytest

from hpp_async import parse_callback
from hpp_async.simulator import Calendar, serve
from hpp_async.simulator._calls import call
from hpp_async.simulator._journal import Journal
from hpp_async.testing import (
    Callbacks,
    Consumer,
    Cut,
    Operation,
    Provider,
    Script,
    ScriptedProvider,
    Slow,
    StatusCallback,
    VirtualClock,
    extends,
    opens,
    pays,
)

AUTH: Final = ("PK00000_test", "not-a-secret")
URL: Final = {"status_update": "http://127.0.0.1/cb/{{session_id}}?secret=1&token={{ authorization_token }}"}


# -- as data -----------------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.anyio


async def test_every_change_of_status_has_one_callback(provider: ScriptedProvider, clock: VirtualClock) -> None:
    provider.add(Script(opens(5), extends(1), pays(4)), session_id="one", merchant_urls=URL)
    await clock.sleep(20)

    first, second = provider.model.due_callbacks()

    assert isinstance(first, StatusCallback)
    assert isinstance(second, StatusCallback)
    assert provider.model.due_callbacks() == []
    assert (first.url, first.call) == ("http://127.0.0.1/cb/one?secret=1&token=", 1)
    assert json.loads(first.body) == {
        "event_id": first.event_id,
        "session": {
            "session_id": "one",
            "status": "IN_PROGRESS",
            "updated_at": "2026-01-15T12:00:05.000Z",
            "expires_at": "2026-01-17T11:00:00.000Z",
        },
    }
    session = json.loads(second.body)["session"]
    assert session["status"] == "COMPLETED"
    assert second.url.endswith(f"token={session['authorization_token']}")
    assert second.event_id != first.event_id
    assert parse_callback(second.body).session_id == "one"


@pytest.mark.parametrize("after", [1 / 3, 2 / 3, 5 + 2e-7])
async def test_a_callback_shows_its_change_even_between_two_microseconds(
    provider: ScriptedProvider, clock: VirtualClock, after: float
) -> None:
    provider.add([(after, "BACK")], merchant_urls=URL)
    await clock.sleep(20)

    [callback] = provider.model.due_callbacks()

    assert json.loads(callback.body)["session"]["status"] == "BACK"


async def test_there_is_no_callback_without_a_url(provider: ScriptedProvider, clock: VirtualClock) -> None:
    provider.add(Consumer.PAY)
    next_at = provider.model.next_callback_at
    await clock.sleep(20)

    assert next_at is None
    assert provider.model.due_callbacks() == []


@pytest.mark.parametrize("are_empty", [False, True])
async def test_a_failed_callback_is_repeated_three_times_three_seconds_apart(
    provider: ScriptedProvider, clock: VirtualClock, are_empty: bool
) -> None:
    provider.model.callbacks = Callbacks(repeats_are_empty=are_empty)
    provider.add([(5, "BACK")], merchant_urls=URL)
    calls: list[tuple[float, int, bool]] = []

    while clock.now() < 60:
        await clock.sleep(0.5)
        for callback in provider.model.due_callbacks():
            calls.append((clock.now(), callback.call, callback.body == b"{}"))
            provider.model.callbacks.failed(callback)

    assert calls == [(5, 1, False), (8, 2, are_empty), (11, 3, are_empty), (14, 4, are_empty)]


async def test_faults_of_callbacks_lose_and_delay_them(provider: ScriptedProvider, clock: VirtualClock) -> None:
    provider.trouble(Cut(), on=Operation.CALLBACK, first=1)
    provider.trouble(Slow(7), on=Operation.CALLBACK)
    provider.add([(5, "IN_PROGRESS"), (10, "BACK")], merchant_urls=URL)
    told: list[tuple[float, str]] = []

    while clock.now() < 30:
        await clock.sleep(1)
        due = provider.model.due_callbacks()
        told += [(clock.now(), json.loads(callback.body)["session"]["status"]) for callback in due]

    assert told == [(17, "BACK")]


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@contextmanager
def merchant(*answers: int) -> Generator[tuple[str, Callable[[], tuple[str, bytes]]]]:
    """Run a shop that answers its callbacks with *answers*; yield its URL, and a function that waits for the next."""
    arrived: Queue[tuple[str, bytes]] = Queue()
    left = list(answers)

    class Shop(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(left.pop(0) if left else 204)
            self.end_headers()
            arrived.put((self.path, body))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}", lambda: arrived.get(timeout=30)
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def simulated(status_update: str) -> Generator[tuple[Provider, Calendar, str]]:
    """Serve a provider; yield it, its time, and the id of a session that was created over HTTP."""
    calendar = Calendar()
    provider = Provider(now=calendar, auth=AUTH, consumer=Script())
    request = {
        "payment_session_url": "https://api.klarna.com/payments/v1/sessions/1",
        "merchant_urls": {"status_update": status_update},
    }
    with serve(provider) as url:
        created = httpx.post(f"{url}/hpp/v1/sessions", json=request, auth=AUTH, trust_env=False)
        yield provider, calendar, created.json()["session_id"]


def test_a_callback_to_this_machine_is_posted_and_repeated() -> None:
    with (
        merchant(500, 302) as (shop, arrival),
        simulated(f"{shop}/cb?id={{{{session_id}}}}") as (provider, calendar, one),
    ):
        provider.act(one, opens)
        calls = [arrival()]
        for _ in range(2):
            calendar.advance(3)
            calls.append(arrival())

    assert calls == [calls[0]] * 3
    assert calls[0][0] == f"/cb?id={one}"
    assert parse_callback(calls[0][1]).session_id == one


@pytest.mark.parametrize(
    "elsewhere",
    ["https://shop.example/cb", "ftp://127.0.0.1/cb", "http://10.0.0.1/cb", "http://[", "http://[::1]:b", "127.0.0.1"],
)
def test_no_callback_goes_to_another_machine(elsewhere: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hpp_async.simulator")
    with merchant() as (shop, arrival), simulated(elsewhere) as (provider, _, one):
        two = provider.create(merchant_urls={"status_update": f"{shop}/two"})
        for act in (opens, pays):
            provider.act(one, act)
            provider.act(two, act)
            arrival()

    warnings = [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and record.name == "hpp_async.simulator"
    ]
    assert warnings == [f"session {one}: its callbacks are not sent, because their URL is not on this machine"]


@contextmanager
def listening() -> Generator[Callable[[], str]]:
    """Yield a function that waits for the simulator's next log message, and returns it."""
    records: Queue[logging.LogRecord] = Queue()
    handler, logger = QueueHandler(records), logging.getLogger("hpp_async.simulator")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lambda: records.get(timeout=30).getMessage()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_a_shop_that_is_closed_is_called_four_times() -> None:
    with merchant() as (shop, _):
        pass
    with listening() as said, simulated(f"{shop}/cb") as (provider, calendar, one):
        provider.act(one, opens)
        heard = [said()]
        for _ in range(3):
            calendar.advance(3)
            heard.append(said())
        calendar.advance(3)
        provider.act(one, pays)
        heard.append(said())

    assert heard == [f"session {one}: callback {number} got ConnectError" for number in (1, 2, 3, 4, 1)]


async def test_a_shop_that_takes_too_long_is_called_again(anyio_backend_name: str) -> None:
    provider = Provider(now=Calendar())
    silent = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = silent.extra(anyio.abc.SocketAttribute.local_port)
    one = provider.create([(0, "WAITING"), (0, "BACK")], merchant_urls={"status_update": f"http://127.0.0.1:{port}/"})

    heard = ""
    with listening() as said:
        async with silent, anyio.create_task_group() as tasks:
            tasks.start_soon(partial(call, provider, Journal(), patience=0.05))
            heard = await anyio.to_thread.run_sync(said)
            tasks.cancel_scope.cancel()

    assert heard in [f"session {one}: callback 1 got {what}" for what in ("no answer within 0.05 s", "ReadTimeout")]
