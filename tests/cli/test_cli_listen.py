"""The command ``listen``: what it posts to a shop on a real socket, and what it prints."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any, Final

import attrs
import pytest
from support.commands import (
    AUTH,
    SIGNALS,
    StandardInput,
    in_background,
    interrupt,
    interrupted_while_it_reads,
    piped,
    run,
)

from hpp_async import FINAL, HPPClient, PollSchedule, Session, parse_callback
from hpp_async.cli._forwarding import MARK, Forwarder, Post
from hpp_async.cli._lines import Lines
from hpp_async.cli._listen import Listening
from hpp_async.testing import Consumer, Provider, Step, opens, pays

LINE: Final = ["session_id", "token", "is_last", "news"]
POST: Final = ["type", "event_id", "call", "answer", "seconds", "is_success", "again_in"]
SECRET: Final = "a-secret-of-the-shop"


@attrs.frozen
class Received:
    """A POST to the shop."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        return str(json.loads(self.body)["event_id"])

    @property
    def session(self) -> dict[str, Any]:
        session: dict[str, Any] = json.loads(self.body)["session"]
        return session


@attrs.define
class Shop:
    """A shop that answers POSTs with the status code that *answer* returns, and keeps them."""

    url: str = ""
    answer: Callable[[Received], int] = lambda _: 204
    received: list[Received] = attrs.field(factory=list[Received])
    arrived: SimpleQueue[Received] = attrs.field(factory=SimpleQueue[Received])


@pytest.fixture
def shop() -> Generator[Shop]:
    shop = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received = Received(self.path, dict(self.headers), body)
            shop.received.append(received)
            shop.arrived.put(received)
            self.send_response(shop.answer(received))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shop.url = f"http://127.0.0.1:{server.server_port}"
        with in_background(partial(server.serve_forever, poll_interval=0.01)):
            yield shop
            server.shutdown()


def listening(
    provider: Provider, forwarder: Forwarder, *session_ids: str, as_json: bool = True
) -> tuple[int, Listening]:
    """Listen with *forwarder* until every session has ended; return the exit code and what listened."""
    client = HPPClient(auth=AUTH, endpoint=provider.base_url, schedule=PollSchedule.every(0.1))
    found = Listening(Lines(None), str, dict.fromkeys(session_ids), forwarder=forwarder, as_json=as_json)
    return asyncio.run(found.run(client, stop_on=FINAL)), found


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# -- what is posted ----------------------------------------------------------------------------------------------------


def test_the_callbacks_are_those_of_the_provider(simulated: Provider, shop: Shop) -> None:
    session_id = simulated.create(
        Consumer.NOBODY, merchant_urls={"status_update": f"{shop.url}/theirs?id={{{{session_id}}}}"}
    )
    acts = [opens, pays(customer={"given_name": "Testperson"}, new=[1])]

    with piped() as output:

        def act() -> None:
            for next_act in acts:
                output.readline()  # the change before it was seen
                simulated.act(session_id, next_act)
                output.readline()  # it was posted

        with in_background(act):
            url = f"{shop.url}/ours?id={{{{session_id}}}}"
            assert run("listen", "--forward-to", url, "--every", "0.1", session_id) == 0
    for _ in range(4):
        shop.arrived.get(timeout=60)

    ours, theirs = ([one for one in shop.received if one.path.startswith(path)] for path in ("/ours", "/theirs"))
    assert [one.session for one in ours] == [one.session for one in theirs]
    assert [one.path for one in ours] == [f"/ours?id={session_id}"] * 2
    assert [parse_callback(one.body).session_id for one in ours] == [session_id] * 2
    assert len({one.event_id for one in ours}) == 2
    assert all(one.headers["Content-Type"] == "application/json" for one in shop.received)


def test_callbacks_are_marked_and_have_no_credentials(simulated: Provider, shop: Shop) -> None:
    assert run("listen", simulated.create([(0, "CANCELLED")]), "--forward-to", shop.url) == 0

    [received] = shop.received
    assert received.headers[MARK] == "1"
    assert "Authorization" not in received.headers
    assert not [value for value in received.headers.values() if AUTH[1] in value]


def test_the_creation_is_not_posted_and_a_session_that_was_paid_before_is(simulated: Provider, shop: Shop) -> None:
    waiting, paid = simulated.create([(2, "CANCELLED")]), simulated.create([(0, "COMPLETED")])

    assert run("listen", waiting, paid, "--forward-to", shop.url, "--every", "0.1") == 0

    assert sorted(one.session["status"] for one in shop.received) == ["CANCELLED", "COMPLETED"]


def test_a_decline_is_posted_and_does_not_end_it(simulated: Provider, shop: Shop) -> None:
    session_id = simulated.create([(0, "FAILED"), (2, "COMPLETED")])

    assert run("listen", session_id, "--forward-to", shop.url, "--every", "0.1") == 0

    assert [one.session["status"] for one in shop.received] == ["FAILED", "COMPLETED"]


def test_sessions_can_come_from_standard_input(simulated: Provider, shop: Shop, standard_input: StandardInput) -> None:
    standard_input.enter(simulated.create([(0, "COMPLETED")]), simulated.create([(0, "CANCELLED")]))

    assert run("listen", "--forward-to", shop.url) == 0

    assert sorted(one.session["status"] for one in shop.received) == ["CANCELLED", "COMPLETED"]


# -- what is printed ---------------------------------------------------------------------------------------------------


def test_every_change_and_every_post_has_a_line(
    simulated: Provider, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = simulated.create([(2, "CANCELLED")])

    assert run("listen", session_id, "--forward-to", f"{shop.url}/{SECRET}", "--every", "0.1") == 0

    printed = capsys.readouterr()
    shown = [re.fullmatch(rf"\d\d:\d\d:\d\d {session_id} (.*)", line) for line in printed.out.splitlines()]
    words = [re.sub(r"\d+ ms", "5 ms", line[1]) for line in shown if line is not None]
    assert words == ["WAITING", "CANCELLED", "-> 204 in 5 ms", "ended: Cancelled"]
    assert printed.err == f"hpp-async: callbacks go to {shop.url}, with the header {MARK}; Ctrl-C ends this\n"


def test_json_lines_have_stable_keys_and_no_secrets(
    simulated: Provider, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = simulated.create(
        [Step(0, "COMPLETED", {"authorization_token": "a-token", "customer": {"title": "Dr"}})]
    )

    assert run("listen", session_id, "--forward-to", f"{shop.url}/{SECRET}", "--json", "-vv") == 0

    printed = capsys.readouterr()
    change, post, end = (json.loads(line) for line in printed.out.splitlines())
    assert all(list(record) == LINE for record in (change, post, end))
    assert [record["news"]["type"] for record in (change, post, end)] == ["transition", "post", "outcome"]
    assert [record["is_last"] for record in (change, post, end)] == [False, False, True]
    assert "token" not in change["news"]
    assert list(post["news"]) == POST
    assert (post["news"]["event_id"], post["news"]["answer"]) == (shop.received[0].event_id, 204)
    assert [change["token"], post["token"]] == [None, end["token"]]
    assert shop.received[0].session["authorization_token"] == "a-token"
    for secret in ("a-token", '"Dr"', SECRET, AUTH[1]):
        assert secret not in printed.out + printed.err


def test_an_unknown_session_is_code_11_and_the_others_go_on(
    simulated: Provider, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("listen", "nobody", simulated.create([(0, "CANCELLED")]), "--forward-to", shop.url) == 11

    assert " nobody ended: 404 NOT_FOUND: expired, or unknown" in capsys.readouterr().out
    assert len(shop.received) == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--forward-to", "shop"], "Invalid value for '--forward-to': give an http or https URL"),
        (["--forward-to", "ftp://127.0.0.1/"], "Invalid value for '--forward-to': give an http or https URL"),
        (["--forward-to", "http://127.0.0.1:99999/"], "Invalid value for '--forward-to': give an http or https URL"),
        (["--forward-to", "http://xn--a/"], "Invalid value for '--forward-to': give an http or https URL"),
        (["--forward-to", "https://[::1"], "Invalid value for '--forward-to': give an http or https URL"),
        (["--forward-to", "http://shop.example/"], "Invalid value for '--forward-to': give https, because"),
        (["--forward-to", "https://shop.example/{{order}}"], "Invalid value for '--forward-to': it has braces that"),
        (["--forward-to", "http://127.0.0.1:1/", "not an id"], "session 'not an id' is not a session id"),
        ([], "Missing option '--forward-to'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_refused_argument_is_code_2(
    simulated: Provider,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    said: str,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")

    assert run("listen", *args) == 2
    assert said in capsys.readouterr().err


# -- posts that fail ---------------------------------------------------------------------------------------------------


def test_a_change_that_is_not_accepted_is_posted_again_with_the_same_body(
    simulated: Provider, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [500, 307, 201]
    shop.answer = lambda _: codes[len(shop.received) - 1]

    code, _ = listening(simulated, Forwarder(shop.url, pauses=(0.0, 0.0, 0.0)), simulated.create([(0, "CANCELLED")]))

    assert code == 0
    assert len({one.body for one in shop.received}) == 1
    posts = [record["news"] for record in records(capsys) if record["news"]["type"] == "post"]
    assert [(post["call"], post["answer"], post["again_in"], post["is_success"]) for post in posts] == [
        (1, 500, 0.0, False),
        (2, 307, 0.0, False),
        (3, 201, None, True),
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_change_is_given_up_after_the_last_call_with_code_13(
    simulated: Provider, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    forwarder = Forwarder("http://127.0.0.1:1/", pauses=(0.0,))

    code, found = listening(simulated, forwarder, simulated.create([(0, "CANCELLED")]), as_json=as_json)

    assert (code, found.command([])) == (13, None)
    if as_json:
        _, first, second, _ = records(capsys)
        assert (first["token"], first["news"]["again_in"]) == (None, 0.0)
        assert second["token"]
        assert second["news"]["answer"] == "ConnectError"
    else:
        _, shown, given_up, _ = capsys.readouterr().out.splitlines()
        assert re.search(r" -> ConnectError in \d+ ms, again in 0 s$", shown)
        assert re.search(r" -> ConnectError in \d+ ms, given up$", given_up)


def test_a_shop_that_does_not_answer_is_not_waited_for(shop: Shop) -> None:
    is_over = threading.Event()
    shop.answer = lambda _: 204 if is_over.wait(60) else 500
    posts: list[Post] = []

    async def forward() -> bool:
        async with Forwarder(shop.url, patience=0.05, pauses=()) as forwarder:
            return await forwarder.forward(
                "one", Session(status="CANCELLED", raw={"status": "CANCELLED"}), posts.append
            )

    assert asyncio.run(forward()) is False
    is_over.set()
    assert [(post.call, post.answer, post.again_in) for post in posts] == [(1, "no answer in time", None)]


def test_a_slow_shop_delays_neither_the_watch_nor_other_sessions(simulated: Provider, shop: Shop) -> None:
    slow, quick = simulated.create([(0, "IN_PROGRESS"), (10, "COMPLETED")]), simulated.create([(2, "CANCELLED")])
    is_over = threading.Event()

    def answer(received: Received) -> int:
        if received.session["session_id"] == quick:
            is_over.set()
        assert is_over.wait(60)
        return 204

    shop.answer = answer

    code, _ = listening(simulated, Forwarder(shop.url, patience=60), slow, quick)

    assert code == 0
    assert [one.session["status"] for one in shop.received if one.session["session_id"] == slow] == [
        "IN_PROGRESS",
        "COMPLETED",
    ]


# -- interrupted -------------------------------------------------------------------------------------------------------


def test_an_interrupted_listen_continues_with_what_was_not_posted(
    simulated: Provider, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = simulated.create([(0, "IN_PROGRESS"), (4, "CANCELLED")])
    is_over = threading.Event()

    def answer(received: Received) -> int:
        if received.session["status"] == "IN_PROGRESS":
            return 204
        if not is_over.is_set():
            interrupt(signal.SIGTERM)
            assert is_over.wait(60)
        return 204

    shop.answer = answer

    assert run("listen", session_id, "--forward-to", shop.url, "--every", "0.1") == 130
    is_over.set()
    command = capsys.readouterr().err.splitlines()[-1]
    assert run(*shlex.split(command)[1:], "--json") == 0

    assert command.startswith(f"  hpp-async listen --forward-to {shop.url} --every 0.1 hpp")
    statuses = [one.session["status"] for one in shop.received]
    assert statuses == ["IN_PROGRESS", "CANCELLED", "CANCELLED"]
    assert shop.received[1].body == shop.received[2].body, "the event has the same id"
    assert [record["news"]["type"] for record in records(capsys)] == ["transition", "post", "outcome"]


@pytest.mark.parametrize("by", SIGNALS)
def test_a_listen_that_was_interrupted_before_the_first_reading_continues_with_the_ids(
    simulated: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], by: signal.Signals
) -> None:
    with interrupted_while_it_reads(by) as endpoint:
        monkeypatch.setenv("HPP_ENDPOINT", endpoint)
        assert run("listen", "one", "--forward-to", "http://127.0.0.1:1/{{session_id}}", "--json") == 130

    assert capsys.readouterr().err.endswith(
        "\n  hpp-async listen --forward-to 'http://127.0.0.1:1/{{session_id}}' --json one\n"
    )


def test_a_listen_that_read_standard_input_continues_with_tokens_as_arguments(
    simulated: Provider, shop: Shop, standard_input: StandardInput, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = simulated.create([(0, "IN_PROGRESS"), (60, "CANCELLED")])
    standard_input.open()
    standard_input.type(session_id)
    lines: list[str] = []

    with piped() as output:

        def wait_for_the_post() -> None:
            lines.extend([output.readline(), output.readline()])
            interrupt()

        with in_background(wait_for_the_post):
            assert run("listen", "--forward-to", shop.url, "--json", "--every", "0.1") == 130

    token = json.loads(lines[1])["token"]
    assert shlex.split(capsys.readouterr().err.splitlines()[-1])[-1] == token
