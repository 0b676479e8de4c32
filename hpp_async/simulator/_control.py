"""The control API under ``/simulator``: sessions and acts, faults, time, the journal, a new beginning."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import attrs
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hpp_async import ConfigurationError
from hpp_async._provider.faults import Fault
from hpp_async._provider.plain import Visit, read
from hpp_async._provider.scripts import Act
from hpp_async.simulator._calendar import Calendar, jump_past_expiry
from hpp_async.simulator._journal import Journal
from hpp_async.simulator._records import fault_records, session_record, time_record
from hpp_async.simulator._refusals import RefusedError, refuse_other_names, refuse_other_sites
from hpp_async.testing import Provider, SessionOverError

Handler = Callable[[Request], Awaitable[Response]]


@attrs.frozen(kw_only=True)
class _Acts(Visit):
    act: Act | None = None


@attrs.frozen(kw_only=True)
class _Time:
    pace: float | None = None
    advance: float | None = None
    jump_to: str | None = None
    jump_to_expiry_of: str | None = None


def control_routes(provider: Provider, journal: Journal) -> list[Route]:
    """Return the routes of *provider*'s control API, which needs no credentials."""

    async def sessions(_: Request) -> Response:
        moment = provider.now()
        lives = [provider.life(session_id) for session_id in provider.sessions]
        return JSONResponse([session_record(provider, life, moment) for life in lives])

    async def session(request: Request) -> Response:
        life = provider.life(request.path_params["session_id"])
        return JSONResponse(session_record(provider, life, provider.now()))

    async def act(request: Request) -> Response:
        session_id = request.path_params["session_id"]
        asked = read(await _json(request), _Acts)
        life = provider.life(session_id)
        visitor = asked.read(provider.consumers)
        if (asked.act is None) == (visitor is None):
            raise ConfigurationError("act: give one of act, acts and visitor")
        if asked.acts is None and (asked.lifetime is not None or asked.story is not None):
            raise ConfigurationError("lifetime and story: give them with acts, or leave them out")
        if asked.act is not None:
            provider.act(session_id, asked.act)
        else:
            assert visitor is not None, "one of the two is given"
            provider.visit(session_id, visitor)
        return JSONResponse(session_record(provider, life, provider.now()))

    async def faults(_: Request) -> Response:
        return JSONResponse(fault_records(provider))

    async def add_fault(request: Request) -> Response:
        key = provider.add_fault(read(await _json(request), Fault))
        return JSONResponse(next(found for found in fault_records(provider) if found["key"] == key), 201)

    async def remove_fault(request: Request) -> Response:
        provider.faults.remove(request.path_params["key"])
        return Response(status_code=204)

    async def clear_faults(_: Request) -> Response:
        provider.faults.clear()
        return Response(status_code=204)

    async def time(_: Request) -> Response:
        return JSONResponse(time_record(provider))

    async def move_time(request: Request) -> Response:
        _move(provider, read(await _json(request), _Time))
        return JSONResponse(time_record(provider))

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def entries(_: Request) -> Response:
        return JSONResponse(journal.entries)

    async def reset(_: Request) -> Response:
        provider.reset()
        journal.clear()
        if isinstance(provider.now, Calendar):
            provider.now.pace = 1
        return Response(status_code=204)

    resources: dict[str, dict[str, Handler]] = {
        "/simulator/health": {"GET": health},
        "/simulator/journal": {"GET": entries},
        "/simulator/reset": {"POST": reset},
        "/simulator/sessions": {"GET": sessions},
        "/simulator/sessions/{session_id}": {"GET": session},
        "/simulator/sessions/{session_id}/acts": {"POST": act},
        "/simulator/faults": {"GET": faults, "POST": add_fault, "DELETE": clear_faults},
        "/simulator/faults/{key}": {"DELETE": remove_fault},
        "/simulator/time": {"GET": time, "POST": move_time},
    }
    return [Route(path, Resource(handlers)) for path, handlers in resources.items()]


@attrs.frozen
class Resource:
    """
    What is at one path, with a handler for each method.

    It is an ASGI application: a `Route` to one has every method, and leaves none of them to the provider's own API.
    """

    handlers: Mapping[str, Handler]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._answer(Request(scope, receive)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        handler = self.handlers.get("GET" if request.method == "HEAD" else request.method)
        try:
            refuse_other_names(request)
            refuse_other_sites(request)
            if handler is None:
                allowed = ", ".join(self.handlers)
                error = f"{request.method} is not known here: send {allowed}"
                return JSONResponse({"error": error}, 405, {"Allow": allowed})
            return await handler(request)
        except RefusedError as refusal:
            return JSONResponse({"error": refusal.detail}, refusal.status_code)
        except ConfigurationError as refusal:
            return JSONResponse({"error": str(refusal)}, 400)
        except KeyError as missing:
            return JSONResponse({"error": f"there is no {missing.args[0]!r}"}, 404)
        except SessionOverError as refusal:
            return JSONResponse({"error": str(refusal)}, 409)


def _move(provider: Provider, asked: _Time) -> None:
    calendar = provider.now
    if not isinstance(calendar, Calendar):
        raise ConfigurationError("this provider's time cannot be moved: give it now=Calendar()")
    moment = calendar() if asked.jump_to is None else _moment(asked.jump_to)
    life = None if asked.jump_to_expiry_of is None else provider.life(asked.jump_to_expiry_of)
    if asked.pace is not None:
        calendar.pace = asked.pace
    if asked.advance is not None:
        calendar.advance(asked.advance)
    calendar.jump(moment)
    if life is not None:
        jump_past_expiry(calendar, life)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError(f"jump_to={text!r}: give a date and time with its zone")
    return moment


async def _json(request: Request) -> object:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ConfigurationError("the body is not JSON") from None
