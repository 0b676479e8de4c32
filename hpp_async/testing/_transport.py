"""The provider behind an httpx transport."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final, Unpack

import anyio.lowlevel
import httpx

from hpp_async._client import HPPClient, Options
from hpp_async._endpoint import Endpoint
from hpp_async.testing._clock import VirtualClock
from hpp_async.testing._consumers import Step
from hpp_async.testing._provider import Answer, Provider

AUTH: Final = ("PK00000_test", "not-a-secret")


class ScriptedProvider(httpx.AsyncBaseTransport):
    """
    A provider for tests, in memory and in virtual time: `add` sessions with a timeline, and read them with a client.

    ::

        clock = VirtualClock()
        provider = ScriptedProvider(clock)
        session = provider.add([(30, "IN_PROGRESS"), (95, "COMPLETED")])
        async with provider.client() as client:
            outcome = await client.wait_for_outcome(session)

    A client that your own code makes wants its ``auth``, ``endpoint``, ``http_client`` and ``clock``.

    Attributes:
        model: the provider's sessions; `Provider.change` moves one by hand.
        requests: every request that arrived, in order.
        latency: virtual seconds each answer takes.
    """

    def __init__(self, clock: VirtualClock, *, endpoint: Endpoint = Endpoint.EU_PLAYGROUND) -> None:
        self.clock = clock
        self.endpoint = endpoint
        self.auth = AUTH
        self.http_client = httpx.AsyncClient(transport=self)
        self.model = Provider(now=clock.provider_time, auth=AUTH, quota=None, base_url=str(endpoint))
        self.requests: list[httpx.Request] = []
        self.latency = 0.0
        self._next: deque[int | Exception | httpx.Response] = deque()

    def add(
        self,
        steps: Iterable[Step | tuple[float, str] | tuple[float, str, Mapping[str, object]]] = (),
        *,
        session_id: str | None = None,
        lifetime: timedelta = timedelta(hours=47),
        place_order_mode: str = "NONE",
    ) -> str:
        """Add a session that lives through *steps*, ``(seconds, status[, fields])``; return its ``session_url``."""
        session_id = self.model.create(
            steps, session_id=session_id, lifetime=lifetime, place_order_mode=place_order_mode
        )
        return f"{self.endpoint}/hpp/v1/sessions/{session_id}"

    def answer_next(self, *answers: int | Exception | httpx.Response) -> None:
        """Answer the next requests with these instead: an error status, an error to raise, or a whole response."""
        self._next.extend(answers)

    def client(self, **options: Unpack[Options]) -> HPPClient:
        """Return a client of this provider, in its virtual time; *options* are those of `HPPClient`."""
        options.setdefault("http_client", self.http_client)
        options.setdefault("clock", self.clock)
        return HPPClient(auth=self.auth, endpoint=self.endpoint, **options)

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
        headers = {name.lower(): value for name, value in request.headers.items()}
        return _response(self.model.answer(request.method, request.url.path, headers, await request.aread()))


def _response(answer: Answer) -> httpx.Response:
    return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.body)
