"""The provider behind an httpx transport, and behind respx."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Unpack

import anyio
import anyio.lowlevel
import httpx

from hpp_async._client import HPPClient, Options
from hpp_async._core.endpoint import Endpoint
from hpp_async._provider.answers import Answer
from hpp_async._provider.callbacks import PATIENCE, StatusCallback
from hpp_async._provider.faults import Cut, Dropped, Fault, Refused, Stalled, Trouble
from hpp_async._provider.posting import Posting
from hpp_async._provider.provider import LifeStory, Provider
from hpp_async.testing._clock import VirtualClock

if TYPE_CHECKING:
    import respx

AUTH: Final = ("PK00000_test", "not-a-secret")


class ScriptedProvider(httpx.AsyncBaseTransport):
    """
    A provider for tests, in memory and in virtual time: `add` sessions with a timeline, and read them with a client.

    ::

        clock = VirtualClock()
        provider = ScriptedProvider(clock)
        session = provider.add(Script(opens(after=30), declines, retries, pays(after=65)))
        provider.trouble(Answered(503), share=0.2)
        async with provider.client() as client:
            outcome = await client.wait_for_outcome(session)

    A client that your own code makes wants its ``auth``, ``endpoint``, ``http_client`` and ``clock``; with respx see
    `mock_provider`.

    Args:
        clock: by which its sessions live.
        endpoint: where it is.
        auth: the only credentials that it takes.

    Attributes:
        model: the provider's sessions; `Provider.change` moves one by hand.
        requests: every request that arrived, in order.
        latency: virtual seconds each answer takes.
    """

    def __init__(
        self, clock: VirtualClock, *, endpoint: Endpoint = Endpoint.EU_PLAYGROUND, auth: tuple[str, str] = AUTH
    ) -> None:
        self.clock = clock
        self.endpoint = endpoint
        self.auth = auth
        self.http_client = httpx.AsyncClient(transport=self)
        self.model = Provider(now=clock.provider_time, auth=auth, quota=None, base_url=str(endpoint))
        self.requests: list[httpx.Request] = []
        self.latency = 0.0
        self._next: deque[int | Exception | httpx.Response] = deque()

    def add(
        self,
        life: LifeStory = (),
        *,
        session_id: str | None = None,
        lifetime: float | timedelta | None = None,
        place_order_mode: str = "NONE",
        merchant_urls: Mapping[str, str] | None = None,
    ) -> str:
        """Add a session that lives through *life*; return its ``session_url``. Arguments as for `Provider.create`."""
        session_id = self.model.create(
            life,
            session_id=session_id,
            lifetime=lifetime,
            place_order_mode=place_order_mode,
            merchant_urls=merchant_urls,
        )
        return f"{self.endpoint}/hpp/v1/sessions/{session_id}"

    def trouble(self, fault: Fault, **when: Any) -> str:
        """
        Let requests meet *fault* from now on: all of them, or as *when* says with the attributes of `Trouble`.

        Time passes on the virtual clock; a broken connection is the error that httpx raises for it.
        """
        return self.model.add_trouble(Trouble(fault, **when))

    def answer_next(self, *answers: int | Exception | httpx.Response) -> None:
        """Answer the next requests with these instead: an error status, an error to raise, or a whole response."""
        self._next.extend(answers)

    def client(self, **options: Unpack[Options]) -> HPPClient:
        """Return a client of this provider, in its virtual time; *options* are those of `HPPClient`."""
        options.setdefault("http_client", self.http_client)
        options.setdefault("clock", self.clock)
        return HPPClient(auth=self.auth, endpoint=self.endpoint, **options)

    async def post_callbacks(self, client: httpx.AsyncClient) -> None:
        """
        Post the callbacks that merchants are owed through *client*, each when it is due, until cancelled.

        Run it in a task group. *client* leads to the shop: over `httpx.ASGITransport`, for one. A callback that gets no
        2xx within 3 virtual seconds, or an error of httpx, is repeated as the provider does it: four calls, 3 s apart.
        Any other error is the shop's own, and is raised. One that is under way when this is cancelled counts as failed.
        """
        news = anyio.Event()

        def wake() -> None:
            news.set()

        def ended(_: StatusCallback, is_heard: bool, __: str | None) -> None:
            if not is_heard:
                wake()  # there is a repeat to come

        async def rest() -> None:
            nonlocal news
            at, now = self.model.next_callback_at, self.clock.now()
            left = float("inf") if at is None else (at - self.clock.provider_time()).total_seconds()
            await self.clock.wait(news, now + left)
            news = anyio.Event()

        async def patience(is_over: anyio.Event) -> None:
            until = self.clock.now() + PATIENCE.total_seconds()
            await self.clock.hold(is_over)
            await self.clock.wait(is_over, until)

        self.model.listeners.append(wake)
        try:
            await Posting(provider=self.model, http=client, patience=patience, ended=ended).run(rest)
        finally:
            self.model.listeners.remove(wake)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer *request*, as httpx asks a transport to."""
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()
        if self.latency:
            await self.clock.sleep(self.latency)
        answer = self._next.popleft() if self._next else None
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        if answer is not None:
            return _response(self.model.error(answer))
        return await self._answer(request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        met = self.model.meet(request.method, request.url.path)
        if met.delay:
            await self.clock.sleep(met.delay)
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.aread()
        answer = None
        if met.is_done:
            answer = self.model.answer(request.method, request.url.path, headers, body, met=met)
        match met.breach:
            case Stalled(seconds):
                raise httpx.ReadTimeout(f"no answer within {seconds:g} s", request=request)
            case Refused():
                raise httpx.ConnectError("connection refused", request=request)
            case Dropped(is_reset=True):
                raise httpx.ReadError("connection reset by peer", request=request)
            case Dropped():
                raise httpx.RemoteProtocolError("server disconnected without sending a response", request=request)
            case Cut():
                raise httpx.RemoteProtocolError("peer closed connection half way through the body", request=request)
            case _:
                assert answer is not None, "where nothing breaks, it is done"
                return _response(answer)


def _response(answer: Answer) -> httpx.Response:
    return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.body)


def mock_provider(router: respx.Router, provider: ScriptedProvider) -> respx.Route:
    """
    Let *provider* answer what is sent to its endpoint through respx's *router*, and return the route.

    *router* is the fixture ``respx_mock``, ``respx.mock``, or one of your own, with a ``base_url`` or without. Clients
    need the provider's ``auth``, and its ``clock`` where time is to pass without waiting for it. Asynchronous httpx
    clients only.
    """
    return router.route(url__startswith=f"{provider.endpoint}/hpp/").mock(side_effect=provider.handle_async_request)
