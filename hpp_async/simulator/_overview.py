"""The overview page at ``/simulator``: all sessions with their timelines, and controls for time and faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import attrs
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hpp_async._provider.life import FINAL
from hpp_async._provider.requests import CHOICES
from hpp_async._provider.resource import page_path
from hpp_async.simulator._calendar import Calendar
from hpp_async.simulator._html import asks_to_refresh, form, page
from hpp_async.simulator._records import fault_records, session_record, time_record
from hpp_async.simulator._refusals import RefusedError, refuse_other_names
from hpp_async.testing import (
    Answered,
    Consumer,
    Dropped,
    Operation,
    Provider,
    Slow,
    Stale,
    Throttled,
    Trouble,
)

OVERVIEW: Final = "/simulator"
_MOST: Final = 50
_PACES: Final = (1, 60)
_MODES: Final = ("NONE", *(mode for mode in CHOICES["place_order_mode"] if mode != "NONE"))
_VISITORS: Final[Mapping[str, str]] = {
    Consumer.NOBODY: "you, on its payment page",
    **{visitor: f"somebody who {visitor.story}" for visitor in Consumer if visitor != Consumer.NOBODY},
}
_FAULTS: Final = {
    "Slow answers: 2 s": Trouble(Slow(2)),
    "Half of the answers are 503": Trouble(Answered(503), share=0.5),
    "Throttled: 429 for all": Trouble(Throttled(5)),
    "A third of the connections dropped": Trouble(Dropped(), share=1 / 3),
    "Half of the reads 10 s stale": Trouble(Stale(10), share=0.5),
    "Callbacks lost": Trouble(Dropped(), on=frozenset({Operation.CALLBACK})),
}
"""The faults that a person can turn on here; there are more over HTTP."""


def overview_routes(provider: Provider) -> list[Route]:
    """Return the routes of *provider*'s overview page, which needs no credentials."""

    async def overview(request: Request) -> Response:
        refuse_other_names(request)
        return _shown(provider, request)

    async def changed(request: Request) -> Response:
        refuse_other_names(request)
        _change(provider, await form(request))
        return RedirectResponse(_path(request), 303)

    return [
        Route(OVERVIEW, overview, methods=["GET"]),
        Route(OVERVIEW, changed, methods=["POST"]),
    ]


def _path(request: Request) -> str:
    return f"{OVERVIEW}?refresh=on" if asks_to_refresh(request) else OVERVIEW


# -- what is shown -----------------------------------------------------------------------------------------------------


@attrs.frozen
class _Switch:
    """A fault as a button: what a press *does* to it, and with which *value*."""

    label: str
    does: str
    value: str
    is_on: bool = False
    met: object = 0


def _shown(provider: Provider, request: Request) -> Response:
    moment = provider.now()
    ids = provider.sessions
    lives = [provider.life(session_id) for session_id in reversed(ids[-_MOST:])]
    return page(
        "overview.html",
        is_refreshed=asks_to_refresh(request),
        path=_path(request),
        url=provider.base_url,
        visitors=_VISITORS,
        modes=_MODES,
        time=time_record(provider),
        paces=_PACES,
        faults=_switches(provider),
        number=len(ids),
        sessions=[
            session_record(provider, life, moment)
            | {
                "path": page_path(life.session_id),
                "has_expired": life.is_over(moment) and life.status(moment) not in FINAL,
            }
            for life in lives
        ],
    )


def _switches(provider: Provider) -> list[_Switch]:
    """Return those that are on, oldest first, then those that can be turned on."""
    names = {trouble: name for name, trouble in _FAULTS.items()}
    troubles = provider.troubles.all
    on: list[_Switch] = []
    for record in fault_records(provider):
        key = str(record["key"])
        on.append(_Switch(names.get(troubles[key]) or _described(record), "end", key, is_on=True, met=record["met"]))
    off = [_Switch(name, "fault", name) for name, trouble in _FAULTS.items() if trouble not in troubles.values()]
    return on + off


def _described(record: Mapping[str, object]) -> str:
    """Return a fault that has no name here in the words of its record."""
    said = [f"{name} {_word(value)}" for name, value in sorted(record.items()) if name not in ("key", "kind", "met")]
    return f"{record['kind']}: {', '.join(said)}" if said else str(record["kind"])


def _word(value: object) -> str:
    match value:
        case float():
            return f"{value:g}"
        case list():
            return " ".join(map(str, cast("list[object]", value)))
        case _:
            return str(value)


# -- what is done ------------------------------------------------------------------------------------------------------


def _change(provider: Provider, said: dict[str, str]) -> None:
    """
    Do what the button does that was pressed.

    Raises:
        RefusedError: there is no such button.
    """
    match said:
        case {"create": _}:
            _create(provider, said)
        case {"pace": pace} if pace in map(str, _PACES) and isinstance(provider.now, Calendar):
            provider.now.pace = float(pace)
        case {"expire": session_id} if session_id in provider.sessions and isinstance(provider.now, Calendar):
            provider.now.jump(provider.life(session_id).expiry(provider.now()))
        # A second press finds things as the first one left them.
        case {"fault": name} if name in _FAULTS:
            if _FAULTS[name] not in provider.troubles.all.values():
                provider.add_trouble(_FAULTS[name])
        case {"end": key}:
            if key in provider.troubles.all:
                provider.troubles.remove(key)
        case _:
            raise RefusedError(400, "There is no such button.")


def _create(provider: Provider, said: dict[str, str]) -> None:
    visitor, mode = said.get("visitor", Consumer.NOBODY), said.get("place_order_mode", "NONE")
    if visitor not in list(Consumer) or mode not in _MODES:
        raise RefusedError(400, "There is no such choice.")
    provider.create(Consumer(visitor), place_order_mode=mode)
