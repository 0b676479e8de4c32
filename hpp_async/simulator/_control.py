"""The simulator's own API under ``/simulator``: see sessions, act on them, set faults, move time."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._provider.notation import Table, read_act, read_trouble, read_visitor
from hpp_async.simulator._calendar import Calendar
from hpp_async.simulator._records import fault_records, session_record, time_record
from hpp_async.simulator._refusals import RefusedError, refuse_other_names, refuse_other_sites
from hpp_async.testing import Provider, SessionOverError

Handler = Callable[[Request], Awaitable[Response]]


def control_routes(provider: Provider) -> list[Route]:
    """Return the routes of *provider*'s control API; it needs no credentials, and is on loopback only."""

    async def sessions(_: Request) -> Response:
        moment = provider.now()
        lives = [provider.life(session_id) for session_id in provider.sessions]
        return JSONResponse([session_record(provider, life, moment) for life in lives])

    async def session(request: Request) -> Response:
        life = provider.life(request.path_params["session_id"])
        return JSONResponse(session_record(provider, life, provider.now()))

    async def act(request: Request) -> Response:
        session_id = request.path_params["session_id"]
        table = Table(await _json(request))
        life = provider.life(session_id)
        if "act" in table:
            chosen = read_act(table.any("act"), "act")
            table.end()
            provider.act(session_id, chosen)
        else:
            visitor = read_visitor(table, provider.consumers)
            table.end()
            if visitor is None:
                raise ConfigurationError("act is missing: give act, acts or visitor")
            provider.visit(session_id, visitor)
        return JSONResponse(session_record(provider, life, provider.now()))

    async def faults(_: Request) -> Response:
        return JSONResponse(fault_records(provider))

    async def add_fault(request: Request) -> Response:
        key = provider.add_trouble(read_trouble(await _json(request), ""))
        return JSONResponse(next(found for found in fault_records(provider) if found["key"] == key), 201)

    async def remove_fault(request: Request) -> Response:
        provider.troubles.remove(request.path_params["key"])
        return Response(status_code=204)

    async def clear_faults(_: Request) -> Response:
        provider.troubles.clear()
        return Response(status_code=204)

    async def time(_: Request) -> Response:
        return JSONResponse(time_record(provider))

    async def move_time(request: Request) -> Response:
        _move(provider, Table(await _json(request)))
        return JSONResponse(time_record(provider))

    return [
        Route("/simulator/sessions", _guarded(sessions), methods=["GET"]),
        Route("/simulator/sessions/{session_id}", _guarded(session), methods=["GET"]),
        Route("/simulator/sessions/{session_id}/acts", _guarded(act), methods=["POST"]),
        Route("/simulator/faults", _guarded(faults), methods=["GET"]),
        Route("/simulator/faults", _guarded(add_fault), methods=["POST"]),
        Route("/simulator/faults", _guarded(clear_faults), methods=["DELETE"]),
        Route("/simulator/faults/{key}", _guarded(remove_fault), methods=["DELETE"]),
        Route("/simulator/time", _guarded(time), methods=["GET"]),
        Route("/simulator/time", _guarded(move_time), methods=["POST"]),
    ]


def _guarded(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            refuse_other_names(request)
            refuse_other_sites(request)
            return await handler(request)
        except RefusedError as refusal:
            return JSONResponse({"error": refusal.detail}, refusal.status_code)
        except ConfigurationError as refusal:
            return JSONResponse({"error": str(refusal)}, 400)
        except KeyError as missing:
            return JSONResponse({"error": f"{missing.args[0]!r} is not known here"}, 404)
        except SessionOverError as refusal:
            return JSONResponse({"error": str(refusal)}, 409)

    return answer


def _move(provider: Provider, table: Table) -> None:
    calendar = provider.now
    if not isinstance(calendar, Calendar):
        raise ConfigurationError("this provider's time cannot be moved: give it now=Calendar()")
    pace, advance = table.number("pace"), table.number("advance")
    to, expiring = table.text("jump_to"), table.text("jump_to_expiry_of")
    table.end()
    moment = calendar() if to is None else _moment(to)
    life = None if expiring is None else provider.life(expiring)
    if pace is not None:
        calendar.pace = pace
    if advance is not None:
        calendar.advance(advance)
    if to is not None:
        calendar.jump(moment)
    if life is not None:
        calendar.jump(life.expiry(calendar()))


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
        raise ConfigurationError("the body is no JSON") from None
