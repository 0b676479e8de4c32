"""One HTTP request and its result, over a transport in memory."""

from __future__ import annotations

import gzip
import logging
import traceback
from collections.abc import AsyncGenerator

import httpx
import httpx2
import pytest

from hpp_async._core.hidden import Hidden
from hpp_async._http.connections import Lent
from hpp_async._http.exchange import MAXIMUM_BODY, Answer, Exchange
from hpp_async._http.family import family
from hpp_async._http.reasons import NoAnswer
from hpp_async._http.secret_url import SecretURL

pytestmark = pytest.mark.anyio

URL = "https://provider.example/anything"


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"], autouse=True)
def family_under_test(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with the classes of httpx, and with those of httpx2, which have the same names."""
    monkeypatch.setitem(globals(), "httpx", request.param)


def over(http_client: httpx.AsyncClient, headers: dict[str, str]) -> Exchange:
    return Exchange(Lent(http_client, family(httpx.__name__)), headers=headers, timeout=5.0)


async def ask(answer: httpx.Response | Exception, *, seen: list[httpx.Request] | None = None) -> Answer | NoAnswer:
    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http_client:
        return await over(http_client, {"X-Ours": "1"}).ask("POST", URL)


class Chunk(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        yield self._content


async def test_a_request_has_the_headers_of_the_exchange_and_no_others() -> None:
    seen: list[httpx.Request] = []
    await ask(httpx.Response(204), seen=seen)

    assert [(request.method, str(request.url)) for request in seen] == [("POST", URL)]
    assert seen[0].headers.raw == [(b"X-Ours", b"1")]
    assert seen[0].content == b""


async def test_any_status_is_an_answer() -> None:
    answer = await ask(httpx.Response(503, headers={"Retry-After": "3"}, content=b"later"))

    assert isinstance(answer, Answer)
    assert (answer.status_code, answer.is_success, answer.body) == (503, False, b"later")
    assert (answer.header(b"retry-after"), answer.header(b"date")) == ("3", None)


@pytest.mark.parametrize(("status_code", "is_success"), [(199, False), (200, True), (299, True), (300, False)])
async def test_2xx_is_a_success(status_code: int, is_success: bool) -> None:
    answer = await ask(httpx.Response(status_code))

    assert isinstance(answer, Answer)
    assert answer.is_success is is_success


@pytest.mark.parametrize(
    ("sent", "encoding", "body"),
    [
        (b"plain", "", b"plain"),
        (b"plain", "Identity", b"plain"),
        (gzip.compress(b"packed"), "gzip", b"packed"),
        (gzip.compress(b" " * MAXIMUM_BODY), "x-gzip", b" " * MAXIMUM_BODY),
        (gzip.compress(b" " * (MAXIMUM_BODY + 1)), "gzip", None),
        (b"no gzip", "gzip", None),
        (b"anything", "br", None),
        (b" " * MAXIMUM_BODY, "", b" " * MAXIMUM_BODY),
        (b" " * (MAXIMUM_BODY + 1), "", None),
    ],
    ids=[
        "plain",
        "identity",
        "gzip",
        "just fits",
        "too large",
        "no gzip",
        "unknown",
        "just fits plain",
        "too large plain",
    ],
)
async def test_a_body_is_unpacked_up_to_a_size(sent: bytes, encoding: str, body: bytes | None) -> None:
    answer = await ask(httpx.Response(200, headers={"Content-Encoding": encoding}, stream=Chunk(sent)))

    assert isinstance(answer, Answer)
    assert answer.body == body


async def test_the_cause_is_kept_unless_it_may_quote_the_answer() -> None:
    refused, garbled = httpx.ConnectError("refused"), httpx.RemoteProtocolError("illegal: body of somebody")

    for error, cause in ((refused, refused), (garbled, None)):
        failure = await ask(error)

        assert isinstance(failure, NoAnswer)
        assert failure.cause is cause
        assert "body" not in failure.message


async def test_what_is_written_into_one_request_is_not_sent_with_another() -> None:
    seen: list[tuple[list[str], list[str], float | None]] = []

    async def hook(request: httpx.Request) -> None:
        request.headers["X-Request-ID"] = f"{len(seen)}"
        request.headers["Authorization"] = "mine"
        request.extensions["timeout"]["read"] = 0.001
        request.extensions["trace"] = hook

    def handle(request: httpx.Request) -> httpx.Response:
        timeout = request.extensions["timeout"]["read"]
        seen.append((sorted(request.headers), sorted(request.extensions), timeout))
        return httpx.Response(204)

    hooks = {"request": [hook]}
    async with httpx.AsyncClient(transport=httpx.MockTransport(handle), event_hooks=hooks) as http_client:
        exchange = over(http_client, {"X-Ours": "1"})
        await exchange.ask("GET", URL)
        hooks["request"].clear()
        http_client.event_hooks = hooks
        await exchange.ask("GET", URL)

    assert seen == [
        (["authorization", "x-ours", "x-request-id"], ["timeout", "trace"], 0.001),
        (["x-ours"], ["timeout"], None),
    ]


async def test_a_hook_that_raises_for_the_status_hides_the_body_and_no_more() -> None:
    async def hook(response: httpx.Response) -> None:
        response.raise_for_status()

    transport = httpx.MockTransport(lambda _: httpx.Response(403, headers={"X-Theirs": "1"}, content=b"why"))
    async with httpx.AsyncClient(transport=transport, event_hooks={"response": [hook]}) as http_client:
        answer = await over(http_client, {}).ask("GET", URL)

    assert isinstance(answer, Answer)
    assert (answer.status_code, answer.body, answer.header(b"x-theirs")) == (403, b"", "1")


# -- bodies and secrets --------------------------------------------------------------------------------------------


async def post(url: str | SecretURL, seen: list[httpx.Request], *, fails: Exception | None = None) -> object:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if fails is not None:
            raise fails
        return httpx.Response(204)

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http_client:
        exchange = over(http_client, {"X-Ours": "1"})
        return await exchange.ask("POST", url, body=Hidden(b"[1]"), headers={"X-Once": "2"})


async def test_a_body_has_its_length_and_headers_of_its_own() -> None:
    seen: list[httpx.Request] = []
    await post(URL, seen)

    assert (seen[0].content, str(seen[0].url)) == (b"[1]", URL)
    assert {**seen[0].headers} | {"host": "-"} == {"x-ours": "1", "host": "-", "content-length": "3", "x-once": "2"}


async def test_a_secret_url_goes_out_and_into_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[httpx.Request] = []
    url = SecretURL("https://provider.example/tokens/tok-Marker/order")
    await post(url, seen)

    assert seen[0].url.raw_path == b"/tokens/tok-Marker/order"
    assert str(url) == str(seen[0].url) == "https://provider.example/tokens/tok-Marker/order"
    assert "Marker" not in f"{url!r} {seen[0]!r} {caplog.text}"
    assert "HTTP Request: POST <URL at provider.example>" in caplog.text


async def test_other_urls_are_logged_as_httpx_logs_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, httpx.__name__)
    await post(URL, [])
    logging.getLogger(httpx.__name__).info("%(name)s", {"name": "of another kind"})

    assert caplog.messages == [f'HTTP Request: POST {URL} "HTTP/1.1 204 No Content"', "of another kind"]


async def test_what_a_hook_raises_has_no_secret_in_our_frames() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await post(SecretURL("https://provider.example/tok-Marker"), [], fails=ZeroDivisionError())

    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if "/hpp_async/" in frame.f_code.co_filename:
            assert "Marker" not in repr(frame.f_locals)
            assert "[1]" not in repr(frame.f_locals)
