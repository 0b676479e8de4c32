"""The provider behind a transport of httpx's or httpx2's, and behind respx."""

from __future__ import annotations

import importlib
import sys
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Unpack

import anyio
import anyio.lowlevel
import httpx

from hpp_async import Endpoint, HPPClient
from hpp_async._provider.answers import Answer
from hpp_async._provider.callbacks import PATIENCE, AnyCallback
from hpp_async._provider.faults import Cut, Dropped, Fault, FaultKind, Refused, Stalled
from hpp_async._provider.posting import Posting
from hpp_async._provider.provider import Provider
from hpp_async._provider.scripts import LifeStory
from hpp_async.testing._clock import VirtualClock

if TYPE_CHECKING:
    import httpx2
    import respx

    from hpp_async._client import ClientOptions

AUTH: Final = ("PK00000_test", "not-a-secret")


class ScriptedProvider(httpx.AsyncBaseTransport):
    """
    A provider for tests, in memory and in virtual time: `add` sessions with a script, and read them with a client.

    ::

        clock = VirtualClock()
        provider = ScriptedProvider(clock)
        session = provider.add(Script(opens(after=30), declines, retries, pays(after=65)))
        provider.trouble(Answered(503), share=0.2)
        async with provider.client() as client:
            outcome = await client.wait_for_outcome(session)

    If your own code makes the client, give the client the provider's ``auth``, ``endpoint``, ``http_client`` (or
    ``httpx2_client``) and ``clock``. With respx, see `mock_provider`.

    Args:
        clock: the clock by which the sessions change.
        endpoint: where the provider is.
        auth: the only credentials that the provider accepts.

    Attributes:
        model: the provider's sessions and faults; `Provider.change` changes a session by hand.
        requests: every request that arrived, in order.
        latency: the virtual seconds that each answer takes.
    """

    def __init__(
        self, clock: VirtualClock, *, endpoint: Endpoint = Endpoint.EU_PLAYGROUND, auth: tuple[str, str] = AUTH
    ) -> None:
        self.clock = clock
        self.endpoint = endpoint
        self.auth = auth
        self.http_client: httpx.AsyncClient = httpx.AsyncClient(transport=self)
        self.model: Provider = Provider(
            now=clock.provider_time, auth=auth, quota=None, creation_quota=None, base_url=str(endpoint)
        )
        self.requests: list[httpx.Request] = []
        self.latency: float = 0.0
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
        """Add a session to which *life* happens; return its ``session_url``. Arguments as for `Provider.create`."""
        session_id = self.model.create(
            life,
            session_id=session_id,
            lifetime=lifetime,
            place_order_mode=place_order_mode,
            merchant_urls=merchant_urls,
        )
        return f"{self.endpoint}/hpp/v1/sessions/{session_id}"

    def trouble(self, kind: FaultKind, **when: Any) -> str:
        """
        Let a fault of this *kind* affect requests from now on: all of them, or as *when* says (attributes of `Fault`).

        Return the fault's key in ``model.faults``. Delays pass on the virtual clock. A broken connection raises the
        error of httpx for it.
        """
        return self.model.add_fault(Fault(kind, **when))

    def answer_next(self, *answers: int | Exception | httpx.Response) -> None:
        """Answer the next requests with *answers*: an error's status code, an exception to raise, or a response."""
        self._next.extend(answers)

    def client(self, **options: Unpack[ClientOptions]) -> HPPClient:
        """
        Return a client of this provider, in its virtual time; *options* are the options of `HPPClient`.

        With ``transport="httpx2"`` its requests are those of httpx2.
        """
        transport = options.pop("transport", "httpx")
        options.setdefault("http_client", self.httpx2_client if transport == "httpx2" else self.http_client)
        options.setdefault("clock", self.clock)
        return HPPClient(auth=self.auth, endpoint=self.endpoint, **options)

    @property
    def httpx2_client(self) -> httpx2.AsyncClient:
        """The same as ``http_client`` for httpx2 (extra ``httpx2``), which is imported now; a new one each time."""
        client: httpx2.AsyncClient = importlib.import_module("httpx2").AsyncClient(transport=self)
        return client

    async def post_callbacks(self, client: httpx.AsyncClient) -> None:
        """
        Post the provider's callbacks through *client*, each when it is due, until cancelled.

        Run it in a task group. The requests of *client* reach the shop, for example over `httpx.ASGITransport`. A
        callback that gets no 2xx within 3 virtual seconds, or fails with an error of httpx, is repeated as the provider
        repeats it: four calls, 3 s apart. A notification about a pending order is repeated every 10 minutes for 24
        hours, until it gets a 200. Any other exception comes from the shop's own code, and is raised. A callback
        that is under way at the cancellation counts as failed.
        """
        news = anyio.Event()

        def wake() -> None:
            news.set()

        def report(_: AnyCallback, is_success: bool, __: str | None) -> None:
            if not is_success:
                wake()  # a repeat is planned now

        async def idle() -> None:
            nonlocal news
            at, now = self.model.next_callback_at, self.clock.now()
            left = float("inf") if at is None else (at - self.clock.provider_time()).total_seconds()
            await self.clock.wait(news, now + left)
            news = anyio.Event()

        async def patience(is_over: anyio.Event) -> None:
            await self.clock.wait(is_over, self.clock.now() + PATIENCE.total_seconds())

        self.model.listeners.append(wake)
        try:
            await Posting(provider=self.model, http=client, idle=idle, patience=patience, report=report).run()
        finally:
            self.model.listeners.remove(wake)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """
        Answer *request*; with this method the provider is an httpx transport.

        A request of httpx2's is answered in httpx2's classes.
        """
        return await self.answered(request, _family_of(request))

    async def answered(self, request: httpx.Request, family: Any) -> httpx.Response:
        """Answer *request* with a response of its family; raise errors of *family*, which is httpx or httpx2."""
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()
        if self.latency:
            await self.clock.sleep(self.latency)
        response: type[httpx.Response] = _family_of(request).Response
        answer = self._next.popleft() if self._next else None
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            return _response(await self._answer(request, family), response)
        return _response(self.model.error(answer), response) if isinstance(answer, int) else answer

    async def _answer(self, request: httpx.Request, family: Any) -> Answer:
        faults = self.model.draw_faults(request.method, request.url.path)
        if faults.delay:
            await self.clock.sleep(faults.delay)
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.aread()
        answer = None
        if faults.is_done:
            answer = self.model.answer(request.method, request.url.path, headers, body, faults=faults)
        match faults.breach:
            case Stalled(seconds):
                raise family.ReadTimeout(f"no answer within {seconds:g} s", request=request)
            case Refused():
                raise family.ConnectError("connection refused", request=request)
            case Dropped(is_reset=True):
                raise family.ReadError("connection reset by peer", request=request)
            case Dropped():
                raise family.RemoteProtocolError("server disconnected without sending a response", request=request)
            case Cut():
                raise family.RemoteProtocolError("peer closed connection half way through the body", request=request)
            case _:
                assert answer is not None, "a connection that does not break carries an answer"
                return answer


def _family_of(request: httpx.Request) -> Any:
    """Return httpx or httpx2: the module that the class of *request* comes from."""
    modules = (sys.modules.get(one.__module__) for one in type(request).__mro__)
    return next(module for module in modules if module is not None and module.__name__ in ("httpx", "httpx2"))


def _response(answer: Answer, response: type[httpx.Response]) -> httpx.Response:
    return response(answer.status_code, headers=dict(answer.headers), content=answer.body)


def mock_provider(router: respx.Router, provider: ScriptedProvider) -> respx.Route:
    """
    Let *provider* answer the requests to its endpoint that respx's *router* sees, and return the route.

    *router* is the fixture ``respx_mock``, ``respx.mock``, or a router of your own, with or without a ``base_url``; or
    ``httpx2_mock`` of pytest-httpx2, for requests of httpx2. The client needs the provider's ``auth``, and its
    ``clock`` if waits should take no real time. Only asynchronous clients are supported.
    """
    # respx shows to every route a request of httpx's, and passes on what it raises as it is.
    family = importlib.import_module("httpx2" if getattr(router, "_using", None) == "httpcore2" else "httpx")

    async def answer(request: httpx.Request) -> httpx.Response:
        return await provider.answered(request, family)

    return router.route(url__startswith=f"{provider.endpoint}/").mock(side_effect=answer)
