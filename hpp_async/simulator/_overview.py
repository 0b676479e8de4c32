"""The overview page at ``/simulator``: sessions with their timelines, controls for time and faults, the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import attrs
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hpp_async import FINAL
from hpp_async._provider.requests import page_path
from hpp_async.simulator._calendar import Calendar, jump_past_expiry
from hpp_async.simulator._cart import total_of
from hpp_async.simulator._html import asks_to_refresh, form, page
from hpp_async.simulator._journal import Journal
from hpp_async.simulator._records import fault_records, session_record, time_record
from hpp_async.simulator._refusals import RefusedError, refuse_other_names
from hpp_async.testing import (
    Answered,
    Consumer,
    Dropped,
    Fault,
    Operation,
    Provider,
    Slow,
    Stale,
    Throttled,
)

OVERVIEW: Final = "/simulator"
_MOST: Final = 50
_PACES: Final = (1, 60)
_ADVANCES: Final[Mapping[str, str]] = {"60": "1 minute", "3600": "1 hour", "86400": "1 day"}
_NOTED: Final = 20
_MODES: Final = ("NONE", "PLACE_ORDER", "CAPTURE_ORDER")
_VISITORS: Final[Mapping[str, str]] = {
    Consumer.NOBODY: "You, on the payment page",
    **{visitor: f"A script: {visitor.story}" for visitor in Consumer if visitor != Consumer.NOBODY},
}
_FAULTS: Final = {
    "Answers take 2 s longer": Fault(Slow(2)),
    "Half of the answers are 503": Fault(Answered(503), share=0.5),
    "All answers are 429": Fault(Throttled(5)),
    "A third of the connections break": Fault(Dropped(), share=1 / 3),
    "Half of the reads are 10 s stale": Fault(Stale(10), share=0.5),
    "All callbacks are lost": Fault(Dropped(), on=frozenset({Operation.CALLBACK})),
}
"""The faults that have a button; the others can be added over HTTP."""


def overview_routes(provider: Provider, journal: Journal) -> list[Route]:
    """Return the routes of *provider*'s overview page, which needs no credentials."""

    async def overview(request: Request) -> Response:
        refuse_other_names(request)
        return _shown(provider, journal, request)

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
    """A fault's button: the name and the value that it sends, and how many requests the fault has *affected*."""

    label: str
    name: str
    value: str
    is_on: bool = False
    affected: object = 0


def _shown(provider: Provider, journal: Journal, request: Request) -> Response:
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
        advances=_ADVANCES,
        faults=_switches(provider),
        journal=journal.entries[: -_NOTED - 1 : -1],
        number=len(ids),
        sessions=[
            session_record(provider, life, moment)
            | {
                "path": page_path(life.session_id),
                "total": total_of(provider, life),
                "has_expired": life.is_over(moment) and life.status(moment) not in FINAL,
            }
            for life in lives
        ],
    )


def _switches(provider: Provider) -> list[_Switch]:
    """Return the faults that are on, oldest first, and then those that can be turned on."""
    labels = {fault: label for label, fault in _FAULTS.items()}
    faults = provider.faults.all
    on: list[_Switch] = []
    for record in fault_records(provider):
        key = str(record["key"])
        label = labels.get(faults[key]) or _described(record)
        on.append(_Switch(label, "end", key, is_on=True, affected=record["affected"]))
    off = [_Switch(label, "fault", label) for label, fault in _FAULTS.items() if fault not in faults.values()]
    return on + off


def _described(record: Mapping[str, object]) -> str:
    """Return the label of a fault that has no button, from its record."""
    shown = {name: _word(value) for name, value in sorted(record.items()) if name not in ("key", "kind", "affected")}
    return f"{record['kind']}: {', '.join(f'{name} {word}' for name, word in shown.items())}".removesuffix(": ")


def _word(value: object) -> str:
    match value:
        case float():
            return f"{value:g}"
        case list():
            return " ".join(map(str, cast("list[object]", value)))
        case _:
            return str(value)


# -- what is done ------------------------------------------------------------------------------------------------------


def _change(provider: Provider, fields: dict[str, str]) -> None:
    """
    Do what the pressed button is for.

    Raises:
        RefusedError: there is no such button.
    """
    match fields:
        case {"create": _}:
            _create(provider, fields)
        case {"pace": pace} if pace in map(str, _PACES) and isinstance(provider.now, Calendar):
            provider.now.pace = float(pace)
        case {"expire": session_id} if session_id in provider.sessions and isinstance(provider.now, Calendar):
            jump_past_expiry(provider.now, provider.life(session_id))
        case {"advance": by} if by in _ADVANCES and isinstance(provider.now, Calendar):
            provider.now.advance(float(by))
        # A second press of the same button changes nothing.
        case {"fault": label} if label in _FAULTS:
            if _FAULTS[label] not in provider.faults.all.values():
                provider.add_fault(_FAULTS[label])
        case {"end": key}:
            if key in provider.faults.all:
                provider.faults.remove(key)
        case _:
            raise RefusedError(400, "There is no such button.")


def _create(provider: Provider, fields: dict[str, str]) -> None:
    visitor, mode = fields.get("visitor", Consumer.NOBODY), fields.get("place_order_mode", "NONE")
    if visitor not in list(Consumer) or mode not in _MODES:
        raise RefusedError(400, "There is no such choice.")
    provider.create(Consumer(visitor), place_order_mode=mode)
